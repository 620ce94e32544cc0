import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from fairgen.metrics import accuracy, auc, macro_accuracy
from fairgen.metrics.prediction import binary_auc, macro_auc


def test_two_classes_give_the_area_counted_by_hand():
    scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]])
    assert auc(["n", "n", "p", "p"], scores, ["n", "p"]) == pytest.approx(0.75)


def test_a_tie_counts_half():
    assert auc([0, 1], [[0.5, 0.5], [0.5, 0.5]], [0, 1]) == 0.5


@given(st.integers(0, 2**32 - 1), st.integers(3, 6))
def test_many_classes_agree_with_scikit_learn(seed, k):
    random = np.random.default_rng(seed)
    truth = np.r_[np.arange(k), random.integers(0, k, 60)]
    scores = random.dirichlet(np.ones(k), len(truth)).round(2)
    scores[:, -1] = 1 - scores[:, :-1].sum(1)
    theirs = roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    assert auc(truth, scores, range(k)) == pytest.approx(theirs, rel=1e-9)


def test_weights_agree_with_scikit_learns_sample_weights():
    random = np.random.default_rng(3)
    truth, score = random.integers(0, 2, 200), random.random(200).round(1)
    weights = random.integers(0, 4, (5, 200))
    found = binary_auc(truth == 1, score, weights.astype(float))
    theirs = [roc_auc_score(truth, score, sample_weight=w) for w in weights]
    np.testing.assert_allclose(found, theirs, rtol=1e-12)


def test_repeating_a_sample_equals_a_weight_of_two():
    random = np.random.default_rng(4)
    truth, scores = random.integers(0, 3, 50), random.random((50, 3))
    weights = np.ones((1, 50))
    weights[0, :10] = 2
    twice = np.r_[np.arange(50), np.arange(10)]
    found = macro_auc(truth, scores, weights)
    expected = macro_auc(truth[twice], scores[twice], np.ones((1, 60)))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_class_without_samples_is_left_out_and_one_class_alone_is_missing():
    scores = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.5, 0.3, 0.2]]
    assert auc(["a", "b", "a"], scores, ["a", "b", "c"]) == 1.0
    assert math.isnan(auc(["a", "a", "a"], scores, ["a", "b", "c"]))
    assert math.isnan(auc(["a"], scores[:1], ["a", "b", "c"]))


@pytest.mark.parametrize(
    ("truth", "scores", "classes", "message"),
    [
        (["z"], [[0.1, 0.9]], ["a", "b"], "unknown label 'z'"),
        (["a"], [[0.1, 0.9]], ["a"], "expected one a column, 2"),
        (["a", "b"], [[0.1, 0.9]], ["a", "b"], "different lengths"),
        (["a"], [[np.nan, 0.9]], ["a", "b"], "NaN"),
        (["a"], [0.1], ["a"], "expected a row a sample"),
    ],
)
def test_wrong_scores_are_refused_in_clear_words(truth, scores, classes, message):
    with pytest.raises(ValueError, match=message):
        auc(truth, scores, classes)


def test_macro_accuracy_agrees_with_scikit_learns_balanced_accuracy():
    random = np.random.default_rng(8)
    truth, prediction = random.integers(0, 4, 100), random.integers(0, 4, 100)
    theirs = balanced_accuracy_score(truth, prediction)
    assert macro_accuracy(truth, prediction) == pytest.approx(theirs)
    assert accuracy(truth, prediction) == pytest.approx((truth == prediction).mean())
    with pytest.raises(ValueError, match="different lengths"):
        accuracy([0], [0, 1])
