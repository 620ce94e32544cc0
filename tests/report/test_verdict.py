"""What the verdict may say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairgen.report.scores import Estimate, Row, Scores
from fairgen.report.verdict import ONE_SEED, compare, findings, paragraph, worst_subgroup


def estimate(*values, width=1.0):
    mean = sum(values) / len(values)
    return Estimate(mean, min(values) - width, max(values) + width, 90, dict(enumerate(values)))


def fid(method, value, *, group="overall", seed=0, width=1.0):
    if value is None:
        return Row("fid_indomain", method, group=group, seed=seed, reason="too few images")
    return Row("fid_indomain", method, group=group, value=value, low=value - width,
               high=value + width, n=90, seed=seed)  # fmt: skip


def test_intervals_apart_in_all_of_several_seeds_show_a_gain():
    words, shown = compare(estimate(10, 11), estimate(20, 21), "lower")
    assert words == "lower than sd, intervals do not overlap, same sign in 2 of 2 seeds"
    assert shown == "better"


def test_the_direction_decides_between_better_and_worse():
    assert compare(estimate(10, 11), estimate(20, 21), "higher")[1] == "worse"
    assert compare(estimate(30, 31), estimate(20, 21), "higher")[1] == "better"


def test_overlapping_intervals_show_nothing():
    words, shown = compare(estimate(10, 11, width=8), estimate(14, 15, width=8), "lower")
    assert words == "lower than sd, intervals overlap, same sign in 2 of 2 seeds"
    assert shown == ""


def test_one_seed_shows_nothing_however_far_apart():
    words, shown = compare(estimate(1), estimate(1000), "lower")
    assert words == "lower than sd, intervals do not overlap, one seed"
    assert shown == ""


def test_a_figure_without_interval_shows_nothing():
    bare = Estimate(1.0, by_seed={0: 1.0, 1: 1.0})
    assert compare(bare, estimate(20, 21), "lower") == (
        "lower than sd, no intervals, same sign in 2 of 2 seeds", "",
    )  # fmt: skip


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=4),
    st.lists(st.floats(-100, 100), min_size=1, max_size=4),
    st.floats(0, 50),
)
def test_a_gain_is_never_claimed_when_intervals_overlap_or_seeds_lack(ours, theirs, width):
    mine, base = estimate(*ours, width=width), estimate(*theirs, width=width)
    _, shown = compare(mine, base, "lower")
    if shown:
        assert min(len(ours), len(theirs)) >= 2
        assert mine.low > base.high or mine.high < base.low
        assert (shown == "better") == (mine.value < base.value)


@pytest.mark.parametrize(
    ("mine", "theirs", "words"),
    [
        (None, estimate(1), "not measured"),
        (estimate(1), None, "sd: not measured"),
        (Estimate(None, reason="base gap is zero"), estimate(1), "undefined: base gap is zero"),
    ],
)
def test_what_is_missing_is_said(mine, theirs, words):
    assert compare(mine, theirs, "lower") == (words, "")


def test_the_worst_subgroup_is_each_seeds_own():
    rows = [fid("sd", v, group=g, seed=s)
            for s, pair in enumerate([(10, 30), (40, 20)])
            for g, v in zip(("light", "dark"), pair, strict=True)]  # fmt: skip
    found = worst_subgroup(Scores(tuple(rows)), "fid_indomain", ["light", "dark"])
    assert found.by_seed == {0: 30, 1: 40}


def test_a_subgroup_that_is_undefined_for_one_method_is_left_out_for_all_and_named():
    rows = [fid(m, v, group=g, seed=s)
            for s in (0, 1)
            for m, light, dark in (("sd", 50, 90), ("fairgen", 20, None))
            for g, v in (("overall", light), ("light", light), ("dark", dark))]  # fmt: skip
    found = findings(Scores(tuple(rows)), ["sd", "fairgen"], ["light", "dark"])
    worst = next(f for f in found if f.figure.startswith("Worst"))
    assert "without dark" in worst.figure
    assert (worst.mine.value, worst.theirs.value) == (20, 50)


def test_reweighting_is_compared_with_reweighting():
    rows = [
        Row("fairness_improvement", m, "vit", w, value=v, low=v - 0.1, high=v + 0.1, seed=0)
        for m, w, v in (("sd", False, 0.1), ("sd", True, 0.5), ("fairgen", True, 0.2))
    ]
    found = {f.figure: f for f in findings(Scores(tuple(rows)), ["sd", "fairgen"], [])}
    plain = found["Fairness improvement\u00a0↑ (vit)"]
    weighted = found["Fairness improvement\u00a0↑ (vit, reweighted)"]
    assert plain.words == "not measured"
    assert weighted.words.startswith("lower than sd")


def told(seeds, gap):
    rows = [fid(m, v, seed=s) for s in range(seeds) for m, v in (("sd", 50), ("fairgen", 50 - gap))]
    found = findings(Scores(tuple(rows)), ["sd", "fairgen"], [])
    return paragraph(found, ["sd", "fairgen"], seeds)


def test_the_paragraph_names_a_gain_with_both_values():
    text = told(3, 20)
    assert "In 1 of 1 the intervals are apart and every seed has the same sign" in text
    assert "Better than sd in FID (indomain): fairgen (30.0 against 50.0)." in text


def test_the_paragraph_of_one_seed_claims_nothing():
    text = told(1, 20)
    assert ONE_SEED in text
    assert "none of them counts as a gain or a loss" in text
    assert "Better than" not in text


def test_the_paragraph_of_overlapping_intervals_claims_nothing():
    text = told(3, 1)
    assert "In none of 1 the intervals are apart" in text
    assert "Better than" not in text


def test_a_run_without_reference_or_figures_says_so():
    assert "no method “sd”" in paragraph([], ["fairgen"], 1)
    assert "No figure is defined" in paragraph([], ["sd", "fairgen"], 1)


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("phenotype_fit", "Anatomy fits the prompt"),
        ("unseen_fit", "Unseen anatomy fits the prompt"),
    ],
)
def test_the_anatomy_of_a_phantom_is_part_of_the_verdict(metric, name):
    rows = [
        Row(metric, m, value=v, low=v - 0.05, high=v + 0.05, seed=0)
        for m, v in (("sd", 0.4), ("fairgen", 0.6))
    ]
    (found,) = findings(Scores(tuple(rows)), ["sd", "fairgen"], [])
    assert found.figure.startswith(name)
    assert found.words == "higher than sd, intervals do not overlap, one seed"
