"""How well a classifier predicts: accuracy and area under the ROC curve."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from fairgen.metrics.arrays import Labels, check_lengths, codes, feature_matrix, label_array
from fairgen.metrics.tally import share


def accuracy(y_true: Labels, y_pred: Labels) -> float:
    """Return the share of right predictions, in [0, 1].

    Raises:
        ValueError: If lengths differ, an input is empty, or a value is missing.
    """
    truth, prediction = label_array(y_true, "y_true"), label_array(y_pred, "y_pred")
    check_lengths(y_true=truth, y_pred=prediction)
    _, (t, p) = codes(truth, prediction)
    return float((t == p).mean())


def macro_accuracy(y_true: Labels, y_pred: Labels) -> float:
    """Return the mean over true classes of the share recognised, in [0, 1].

    Raises:
        ValueError: If lengths differ, an input is empty, or a value is missing.
    """
    truth, prediction = label_array(y_true, "y_true"), label_array(y_pred, "y_pred")
    check_lengths(y_true=truth, y_pred=prediction)
    _, (t, p) = codes(truth, prediction)
    return float(np.mean([(p[t == k] == k).mean() for k in np.unique(t)]))


def auc(y_true: Labels, probabilities: Labels, classes: Sequence[object]) -> float:
    """Return the area under the ROC curve, one class against the rest, mean over classes.

    Args:
        y_true: True labels.
        probabilities: One row a sample and one column a class; any increasing score will do.
        classes: Label of each column, in order.

    Returns:
        A value in [0, 1], 0.5 for chance. Classes without a sample, or with all of them, have no
        curve and are left out; NaN where none is left.

    Raises:
        ValueError: If lengths differ, a label is not among ``classes``, or a score is not finite.

    Reference:
        Hand & Till 2001 for the one-vs-rest mean; scikit-learn's ``roc_auc_score``.
    """
    truth = label_array(y_true, "y_true")
    scores = _scores(probabilities)
    check_lengths(y_true=truth, probabilities=scores)
    known = list(classes)
    if len(known) != scores.shape[1]:
        raise ValueError(f"classes: {len(known)}; expected one a column, {scores.shape[1]}")
    strange = sorted(set(truth.tolist()) - set(known), key=str)
    if strange:
        raise ValueError(f"y_true: unknown label {strange[0]!r}; expected one of {known}")
    positions = np.array([known.index(t) for t in truth.tolist()])
    return float(macro_auc(positions, scores, np.ones((1, len(truth))))[0])


def _scores(probabilities: Labels) -> Float[np.ndarray, "n k"]:
    array = np.asarray(
        probabilities if hasattr(probabilities, "__array__") else list(probabilities)
    )
    if array.ndim != 2:
        raise ValueError(f"probabilities: shape {array.shape}; expected a row a sample")
    if len(array) == 1:
        return feature_matrix(np.vstack([array, array]), "probabilities")[:1]
    return feature_matrix(array, "probabilities")


def macro_auc(
    truth: Int[np.ndarray, " n"],
    scores: Float[np.ndarray, "n k"],
    weights: Shaped[np.ndarray, "r n"],
) -> Float[np.ndarray, " r"]:
    """Return the macro one-vs-rest AUC under each row of sample weights.

    Args:
        truth: Column of each sample's true class.
        scores: One column a class.
        weights: How often each sample counts in each replicate.
    """
    weights = weights.astype(np.float64)
    values = np.stack(
        [binary_auc(truth == k, scores[:, k], weights) for k in range(scores.shape[1])], axis=1
    )
    known = ~np.isnan(values)
    return share(np.where(known, values, 0.0).sum(1), known.sum(1).astype(np.float64))


def binary_auc(
    positive: Bool[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, "r n"],
) -> Float[np.ndarray, " r"]:
    """Return P(score of a positive > score of a negative), ties half, under each row of weights."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    mine = np.add.reduceat(np.where(positive, weights, 0.0)[:, order], starts, axis=1)
    other = np.add.reduceat(np.where(positive, 0.0, weights)[:, order], starts, axis=1)
    below = np.cumsum(other, axis=1) - other / 2
    return share((mine * below).sum(1), mine.sum(1) * other.sum(1))
