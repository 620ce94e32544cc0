"""Loss curves and draws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairgen.report.run import Trained
from fairgen.report.training import blocks, curve_chart, draws, draws_chart, smoothed, thinned

LOG = [
    {"step": s, "loss": 1.0 / s, "parts": {"denoising": 0.5 / s, "diversity": 0.5 / s},
     "draws": {"light|acne": 3, "dark|acne": 1, "dark|nevus": 1}, "images_per_second": 10.0 + s}
    for s in range(1, 41)
]  # fmt: skip


def points(values):
    return [(i, float(v)) for i, v in enumerate(values)]


@given(st.floats(-10, 10), st.integers(1, 200))
def test_smoothing_leaves_a_constant_as_it_is(value, count):
    assert all(v == pytest.approx(value) for _, v in smoothed(points([value] * count)))


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=80))
def test_smoothed_values_stay_within_the_range(values):
    found = [v for _, v in smoothed(points(values))]
    assert found[0] == pytest.approx(values[0])
    assert min(values) - 1e-9 <= min(found) <= max(found) <= max(values) + 1e-9


@given(st.integers(1, 3000))
def test_a_thinned_line_is_short_and_keeps_its_end(count):
    found = thinned(points(range(count)))
    assert len(found) <= 300
    assert found[-1] == (count - 1, count - 1)


def test_draws_are_summed_over_the_log_by_group_and_by_subgroup():
    assert draws(LOG) == {"light|acne": 120, "dark|acne": 40, "dark|nevus": 40}
    assert draws(LOG, by_subgroup=True) == {"light": 120, "dark": 80}


def test_shares_of_draws_stand_beside_shares_of_images():
    chart = draws_chart(Trained(0, "sqrs", tuple(LOG)), 0, {"light": 90, "dark": 10}, few=False)
    found = {(r["row"], r["series"]): r["value"] for r in chart.data}
    assert found == {
        ("light", "images"): 0.9, ("light", "draws"): 0.6,
        ("dark", "images"): 0.1, ("dark", "draws"): 0.4,
    }  # fmt: skip


def test_a_curve_shows_total_and_parts():
    chart = curve_chart(Trained(0, "cbdm", tuple(LOG)), 0)
    assert {r["part"] for r in chart.data} == {"loss", "denoising", "diversity"}
    for name in ("total", "denoising", "diversity"):
        assert f">{name}</text>" in chart.svg


def test_the_table_gives_the_last_step_and_the_median_speed():
    table = next(b for b in blocks([Trained(3, "cbdm", tuple(LOG))], None) if b.kind == "table")
    assert [c.text for c in table.rows[0]][:3] == ["cbdm", "3", "40"]
    assert table.rows[0][-1].text == "31.0"


@pytest.mark.parametrize(
    "log",
    [
        [{"step": 1}],
        [{"step": 1, "loss": None, "parts": None, "draws": None}],
        [{"step": 1, "loss": -1.0}, {"step": 2, "loss": 0.0}],
        [{"step": 1, "loss": 1.0, "condition_strength": {"dark": None}}],
    ],
)
def test_a_log_that_lacks_parts_is_still_drawn(log):
    assert blocks([Trained(0, "sd", tuple(log))], None)


def test_a_run_without_logs_has_a_note():
    (note,) = blocks([Trained(0, "sd")], None)
    assert note.missing
