from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from fairgen.metrics.calibration import (
    HOTTEST,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability,
)

samples = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=60
)


def drawn(n=500, seed=0):
    random = np.random.default_rng(seed)
    said = random.uniform(size=n)
    return said, (random.uniform(size=n) < said).astype(int)


def test_the_brier_score_has_the_worked_value():
    assert brier_score([0.9, 0.2, 0.5], [1, 0, 0]) == pytest.approx((0.01 + 0.04 + 0.25) / 3)
    assert brier_score([1.0, 0.0], [1, 0]) == 0.0
    assert brier_score([0.5], [0.5]) == 0.0


def test_the_brier_score_is_that_of_scikit_learn():
    said, seen = drawn()
    assert brier_score(said, seen) == pytest.approx(brier_score_loss(seen, said))


def test_the_calibration_error_has_the_worked_value():
    said, seen = [0.8, 0.2, 0.8, 0.2], [1, 0, 1, 1]
    assert expected_calibration_error(said, seen, bins=2) == pytest.approx((0.3 + 0.2) / 2)
    assert expected_calibration_error(said, seen, bins=1) == pytest.approx(0.25)


def test_the_reliability_table_has_the_worked_rows():
    found = reliability([0.1, 0.2, 0.6, 0.9], [0, 1, 1, 1], bins=2)
    assert [astuple(b) for b in found] == [
        pytest.approx((0.1, 0.2, 0.15, 0.5, 2)),
        pytest.approx((0.6, 0.9, 0.75, 1.0, 2)),
    ]


def test_bins_of_equal_mass_are_those_of_scikit_learn():
    said, seen = drawn()
    found = reliability(said, seen, bins=10)
    frequency, mean = calibration_curve(seen, said, n_bins=10, strategy="quantile")
    np.testing.assert_allclose([b.seen for b in found], frequency)
    np.testing.assert_allclose([b.said for b in found], mean)
    assert {b.n for b in found} == {50}
    error = np.abs(frequency - mean).mean()
    assert expected_calibration_error(said, seen) == pytest.approx(error)


def test_equal_probabilities_are_never_parted():
    found = reliability([0.7] * 9 + [0.9], [1] * 10, bins=5)
    assert [(b.low, b.n) for b in found] == [(0.7, 9), (0.9, 1)]


def test_calibrated_probabilities_have_a_small_error_and_overconfident_ones_a_large_one():
    said, seen = drawn(20_000)
    assert expected_calibration_error(said, seen) < 0.02
    assert expected_calibration_error(np.round(said), seen) > 0.2


@given(samples, st.integers(1, 12), st.randoms())
def test_figures_lie_in_the_unit_interval_whatever_the_order(rows, bins, random):
    shuffled = random.sample(rows, len(rows))
    first, again = (tuple(zip(*r, strict=True)) for r in (rows, shuffled))
    for figure in (brier_score, lambda p, y: expected_calibration_error(p, y, bins)):
        assert 0 <= figure(*first) <= 1
        assert figure(*first) == pytest.approx(figure(*again))
    assert sum(b.n for b in reliability(*first, bins)) == len(rows)


def test_the_temperature_that_made_the_outcomes_is_found_as_by_logistic_regression():
    random = np.random.default_rng(3)
    logits = random.normal(0, 4, 5000)
    seen = (random.uniform(size=5000) < 1 / (1 + np.exp(-logits / 2.5))).astype(int)
    found = fit_temperature(logits, seen)
    assert found == pytest.approx(2.5, abs=0.2)
    slope = LogisticRegression(C=np.inf, fit_intercept=False).fit(logits[:, None], seen).coef_[0, 0]
    assert found == pytest.approx(1 / slope, rel=0.01)


def test_a_few_samples_without_a_mistake_do_not_make_everything_certain():
    assert 0.2 < fit_temperature([2.0, 1.0, 3.0], [1, 1, 1]) < 1


def test_logits_that_say_nothing_are_cooled_down():
    random = np.random.default_rng(0)
    assert fit_temperature(random.normal(0, 3, 400), random.integers(0, 2, 400)) > 10
    assert fit_temperature(np.full(10_000, 5.0), np.zeros(10_000)) == pytest.approx(HOTTEST, 1e-3)


@pytest.mark.parametrize(
    ("said", "seen", "message"),
    [
        ([0.5, 1.2], [1, 0], "probabilities: holds 1.2; expected values in"),
        ([0.5], [-1], "outcomes: holds -1.0; expected values in"),
        ([0.5, np.nan], [1, 0], "probabilities: holds NaN or infinity"),
        ([], [], "probabilities: shape .* expected one value a sample"),
        ([[0.5]], [1], "probabilities: shape .* expected one value a sample"),
        (["a"], [1], "probabilities: type .* expected numbers"),
        ([0.5, 0.5], [1], "different lengths: probabilities 2, outcomes 1"),
    ],
)
def test_wrong_inputs_are_refused_in_clear_words(said, seen, message):
    for figure in (brier_score, expected_calibration_error, reliability):
        with pytest.raises(ValueError, match=message):
            figure(said, seen)


def test_no_bin_and_infinite_logits_are_refused():
    with pytest.raises(ValueError, match="bins: 0; expected at least 1"):
        reliability([0.5], [1], bins=0)
    with pytest.raises(ValueError, match="logits: holds NaN or infinity"):
        fit_temperature([np.inf], [1])
