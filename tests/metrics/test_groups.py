import math

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    equal_opportunity_difference,
    true_positive_rate,
)
from hypothesis import given
from hypothesis import strategies as st

from fairgen.metrics import (
    accuracy,
    by_group,
    demographic_parity,
    equal_opportunity,
    equity_scaled,
    essp,
    nar,
    worst_subgroup_accuracy,
)

TRUTH = [0, 0, 0, 1, 1, 1, 2, 2, 2] * 2
PREDICTION = [0, 0, 1, 1, 1, 1, 2, 2, 0, 0, 1, 1, 1, 1, 0, 2, 1, 1]
GROUPS = ["light"] * 9 + ["dark"] * 9
GAPS = (demographic_parity, equal_opportunity, nar)

triples = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from("abc")), min_size=1, max_size=40
)


def test_the_joint_vector_gives_the_figures_worked_out_by_hand():
    assert accuracy(TRUTH, PREDICTION) == pytest.approx(11 / 18)
    assert demographic_parity(TRUTH, PREDICTION, GROUPS) == pytest.approx(2 / 9)
    assert demographic_parity(TRUTH, PREDICTION, GROUPS, over="mean") == pytest.approx(4 / 27)
    assert equal_opportunity(TRUTH, PREDICTION, GROUPS) == pytest.approx(1 / 3)
    assert equal_opportunity(TRUTH, PREDICTION, GROUPS, over="mean") == pytest.approx(1 / 3)
    assert essp(TRUTH, PREDICTION, GROUPS) == pytest.approx((11 / 18) / (4 / 3))
    assert nar(TRUTH, PREDICTION, GROUPS) == pytest.approx((3 / 9) / (11 / 18))
    assert worst_subgroup_accuracy(TRUTH, PREDICTION, GROUPS) == pytest.approx(4 / 9)


def test_any_names_of_labels_and_subgroups_give_the_same_figures():
    names = ["eczema", "nevus", "acne"]
    truth, prediction = ([names[i] for i in values] for values in (TRUTH, PREDICTION))
    numbers = np.array([7 if g == "light" else 3 for g in GROUPS])
    for metric in (*GAPS, essp):
        assert metric(truth, prediction, numbers) == metric(TRUTH, PREDICTION, GROUPS)


@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.sampled_from("abc")), min_size=2, max_size=50
    )
)
def test_two_classes_agree_with_fairlearn(rows):
    truth, prediction, groups = (list(column) for column in zip(*rows, strict=True))
    if len(set(groups)) < 2:
        return
    theirs = demographic_parity_difference(truth, prediction, sensitive_features=groups)
    for over in ("worst", "mean"):
        assert demographic_parity(truth, prediction, groups, over=over) == pytest.approx(theirs)


def test_two_classes_agree_with_fairlearns_true_positive_rates_class_by_class():
    random = np.random.default_rng(5)
    truth, prediction = random.integers(0, 2, 300), random.integers(0, 2, 300)
    groups = random.choice(["a", "b", "c"], 300)
    positive = equal_opportunity_difference(truth, prediction, sensitive_features=groups)
    negative = equal_opportunity_difference(1 - truth, 1 - prediction, sensitive_features=groups)
    found = equal_opportunity(truth, prediction, groups)
    assert found == pytest.approx(max(positive, negative), rel=1e-12)


def test_many_classes_agree_with_fairlearns_frames_one_against_the_rest():
    random = np.random.default_rng(6)
    truth, prediction = random.integers(0, 5, 600), random.integers(0, 5, 600)
    groups = random.choice(["a", "b", "c"], 600)
    frames = [
        MetricFrame(
            metrics=true_positive_rate,
            y_true=truth == k,
            y_pred=prediction == k,
            sensitive_features=groups,
        )
        for k in range(5)
    ]
    gaps = [frame.difference() for frame in frames]
    assert equal_opportunity(truth, prediction, groups) == pytest.approx(max(gaps))
    assert equal_opportunity(truth, prediction, groups, over="mean") == pytest.approx(np.mean(gaps))


def test_a_perfect_classifier_has_no_gap_but_may_lack_parity():
    truth, groups = ["x", "x", "x", "y", "x", "y"], ["a", "a", "a", "a", "b", "b"]
    assert equal_opportunity(truth, truth, groups) == 0
    assert nar(truth, truth, groups) == 0
    assert essp(truth, truth, groups) == 1
    assert demographic_parity(truth, truth, groups) == pytest.approx(0.25)


def test_swapping_truth_and_prediction_changes_the_result():
    truth, groups = [0, 0, 0, 1, 0, 1, 1, 1], ["a"] * 4 + ["b"] * 4
    prediction = [0, 0, 1, 1, 1, 1, 1, 1]
    assert demographic_parity(truth, prediction, groups) == pytest.approx(0.5)
    assert demographic_parity(prediction, truth, groups) == pytest.approx(0.5)
    assert equal_opportunity(truth, prediction, groups) == pytest.approx(2 / 3)
    assert equal_opportunity(prediction, truth, groups) == pytest.approx(0.25)
    truth, prediction = [0, 0, 0, 1], [0, 1, 0, 1]
    assert demographic_parity(truth, prediction, list("aabb")) == 0
    assert demographic_parity(prediction, truth, list("aabb")) == 0.5


@given(triples)
def test_every_figure_stays_in_its_range(rows):
    truth, prediction, groups = (list(column) for column in zip(*rows, strict=True))
    for metric in (demographic_parity, equal_opportunity):
        worst = metric(truth, prediction, groups)
        mean = metric(truth, prediction, groups, over="mean")
        assert math.isnan(worst) == math.isnan(mean)
        assert math.isnan(worst) or 0 <= mean <= worst + 1e-12 <= 1 + 2e-12
    scaled = essp(truth, prediction, groups)
    assert 0 <= scaled <= accuracy(truth, prediction)
    spread = nar(truth, prediction, groups)
    assert math.isnan(spread) or 0 <= spread <= len(set(groups)) + 1e-12


@given(triples, st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(rows, random):
    shuffled = random.sample(rows, len(rows))
    for metric in (*GAPS, essp):
        values = [metric(*(list(c) for c in zip(*r, strict=True))) for r in (rows, shuffled)]
        assert values[0] == pytest.approx(values[1], nan_ok=True)


def test_an_empty_cell_is_missing_and_not_zero():
    truth = ["x", "x", "y", "y", "x", "x"]
    prediction = ["x", "y", "y", "y", "x", "x"]
    groups = ["a", "a", "a", "a", "b", "b"]
    assert equal_opportunity(truth, prediction, groups) == pytest.approx(0.5)
    assert equal_opportunity(truth, prediction, groups, over="mean") == pytest.approx(0.5)


def test_a_third_subgroup_without_the_class_leaves_the_other_pair():
    truth, prediction = list("xxxxyy"), list("xxxyyy")
    assert equal_opportunity(truth, prediction, list("aabbcc")) == pytest.approx(0.5)


def test_classes_with_small_cells_are_left_out_on_request():
    truth = ["x"] * 20 + ["y"] * 4
    prediction = ["x"] * 15 + ["y"] * 5 + ["y", "y", "x", "x"]
    groups = ["a"] * 10 + ["b"] * 10 + ["a"] * 2 + ["b"] * 2
    assert equal_opportunity(truth, prediction, groups, over="mean") == pytest.approx(0.75)
    found = equal_opportunity(truth, prediction, groups, over="mean", at_least=10)
    assert found == pytest.approx(0.5)
    assert math.isnan(equal_opportunity(truth, prediction, groups, at_least=11))


def test_gaps_of_a_single_subgroup_are_missing():
    for metric in GAPS:
        assert math.isnan(metric([0, 1], [0, 0], ["a", "a"]))
    assert essp([0, 1], [0, 0], ["a", "a"]) == 0.5


def test_a_range_without_one_right_prediction_is_missing():
    assert math.isnan(nar([0, 0], [1, 1], ["a", "b"]))


def test_essp_of_percentages_is_refused():
    assert equity_scaled(0.6, {"a": 0.7, "b": 0.5}) == pytest.approx(0.5)
    with pytest.raises(ValueError, match=r"accuracy of overall: 60.0; .* no percent"):
        equity_scaled(60.0, {"a": 0.7, "b": 0.5})
    with pytest.raises(ValueError, match="accuracy of b: 50"):
        equity_scaled(0.6, {"a": 0.7, "b": 50.0})
    with pytest.raises(ValueError, match="at least one"):
        equity_scaled(0.6, {})


def test_subgroups_add_up_in_the_sum_of_essp():
    truth, prediction = [0] * 8, [0, 0, 1, 1, 0, 1, 0, 0]
    two, four = list("aaaabbbb"), list("aabbccdd")
    assert essp(truth, prediction, two) == pytest.approx(0.625 / 1.25)
    assert essp(truth, prediction, four) == pytest.approx(
        0.625 / (1 + 0.375 + 0.625 + 0.125 + 0.375)
    )


@pytest.mark.parametrize("metric", [demographic_parity, equal_opportunity, essp, nar])
@pytest.mark.parametrize(
    ("truth", "prediction", "groups", "message"),
    [
        ([0, 1], [0], ["a", "b"], "different lengths: y_true 2, y_pred 1, groups 2"),
        ([], [], [], "y_true: shape"),
        ([0, 1], [0.5, 1], ["a", "b"], "y_pred: holds 0.5; expected labels"),
        ([0, np.nan], [0, 1], ["a", "b"], "y_true: holds NaN"),
        ([0, 1], [0, 1], ["a", None], "groups: row 1 holds None"),
        ([0, 1], ["0", "1"], ["a", "b"], "some are texts and some are numbers"),
        ([[0, 1]], [[0, 1]], ["a"], "expected one label a sample"),
    ],
)
def test_wrong_input_is_refused_in_clear_words(metric, truth, prediction, groups, message):
    with pytest.raises(ValueError, match=message):
        metric(truth, prediction, groups)


@pytest.mark.parametrize("metric", [demographic_parity, equal_opportunity])
def test_an_unknown_way_over_classes_is_refused(metric):
    with pytest.raises(ValueError, match="over: 'median'; expected 'worst' or 'mean'"):
        metric([0, 1], [0, 1], ["a", "b"], over="median")
    with pytest.raises(ValueError, match="at_least: -1"):
        equal_opportunity([0, 1], [0, 1], ["a", "b"], at_least=-1)


def test_any_metric_is_given_by_group_with_counts():
    found = by_group(accuracy, GROUPS, TRUTH, PREDICTION)
    assert {name: (v.value, v.n) for name, v in found.items()} == {
        "light": (pytest.approx(7 / 9), 9),
        "dark": (pytest.approx(4 / 9), 9),
    }
    with pytest.raises(ValueError, match="different lengths"):
        by_group(accuracy, ["a"], [0, 1], [0, 1])
