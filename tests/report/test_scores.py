"""Reading scores, and their summary over seeds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairgen.report.scores import Row, Scores, parse_rows, pooled

NUMBERS = st.floats(-1e6, 1e6)


def seeded(*values):
    return [Row("fid_indomain", "sd", value=v, low=v - 1, high=v + 2, n=50 + i, seed=i)
            for i, v in enumerate(values)]  # fmt: skip


def test_seeds_are_pooled_to_their_mean_and_the_span_of_their_intervals():
    found = pooled(seeded(10.0, 14.0))
    assert (found.value, found.low, found.high) == (12.0, 9.0, 16.0)
    assert (found.n, found.seeds) == (50, 2)


@given(st.lists(NUMBERS, min_size=1, max_size=6))
def test_the_interval_holds_every_seed(values):
    found = pooled(seeded(*values))
    assert found.low <= min(values)
    assert found.high >= max(values)
    assert found.low <= found.value <= found.high


def test_an_undefined_figure_keeps_its_reason():
    found = pooled([Row("nar", "sd", reason="no test images of dark", seed=0)])
    assert found.value is None
    assert found.reason == "no test images of dark"


def test_a_seed_without_interval_leaves_the_summary_without_one():
    rows = [*seeded(10.0), Row("fid_indomain", "sd", value=11.0, seed=5)]
    assert (pooled(rows).low, pooled(rows).high) == (None, None)


def test_a_repeated_row_counts_once_and_the_last_holds():
    first, second = Row("nar", "sd", value=1.0, seed=0), Row("nar", "sd", value=3.0, seed=0)
    assert pooled([first, second]).value == 3.0


def test_broken_lines_are_counted_and_left_out():
    good = json.dumps({"metric": "essp", "method": "sd", "value": 0.5})
    rows, bad = parse_rows(f'{good}\n\n{{"metric": "es\n[1]\n{{"value": 1}}\n')
    assert [r.metric for r in rows] == ["essp"]
    assert bad == 3


@pytest.mark.parametrize("value", ["NaN", "Infinity", "true", '"7"', "null"])
def test_only_finite_numbers_are_values(value):
    rows, _ = parse_rows(f'{{"metric": "essp", "method": "sd", "value": {value}}}')
    assert rows[0].value is None


def test_rows_are_found_by_their_fields():
    rows = (Row("a", "sd", reweight=True), Row("a", "sd", reweight=False), Row("a", "cbrs"))
    scores = Scores(rows)
    assert scores.where(method="sd", reweight=False).rows == (rows[1],)
    assert scores.where(reweight=None).rows == (rows[2],)
    assert scores.names("method") == ("sd", "cbrs")
    assert scores.estimate("b") is None
