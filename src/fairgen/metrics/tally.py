"""Counts of (subgroup, truth, prediction), from which every rate follows.

A tally has a leading axis of replicates, so that a bootstrap costs one matrix product. A rate
without a single sample under it is NaN: an empty cell is missing, never zero.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from fairgen.metrics.arrays import Labels, check_lengths, codes, label_array

Tally = Float[np.ndarray, "r s k k"]


@dataclass(frozen=True)
class Coded:
    """Holds truth, prediction and subgroup of every sample as positions in sorted lists.

    Attributes:
        classes: Labels seen in truth or prediction, or a closed list in a given order.
        subgroups: Subgroups seen, or a closed list in a given order.
        truth: Position of the true label in ``classes``.
        prediction: Position of the predicted label in ``classes``.
        subgroup: Position of the subgroup in ``subgroups``.
    """

    classes: tuple[object, ...]
    subgroups: tuple[object, ...]
    truth: Int[np.ndarray, " n"]
    prediction: Int[np.ndarray, " n"]
    subgroup: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.truth)


def coded(y_true: Labels, y_pred: Labels, groups: Labels) -> Coded:
    """Return the samples in coded form.

    Raises:
        ValueError: If lengths differ, an input is empty, or a value is missing or no label.
    """
    truth, prediction = label_array(y_true, "y_true"), label_array(y_pred, "y_pred")
    subgroup = label_array(groups, "groups")
    check_lengths(y_true=truth, y_pred=prediction, groups=subgroup)
    classes, (t, p) = codes(truth, prediction)
    subgroups, (s,) = codes(subgroup)
    return Coded(tuple(classes.tolist()), tuple(subgroups.tolist()), t, p, s)


def tally(samples: Coded, weights: Shaped[np.ndarray, "r n"] | None = None) -> Tally:
    """Return how often each (subgroup, truth, prediction) occurs, for each row of weights.

    Args:
        samples: The coded samples.
        weights: How often each sample counts in each replicate; none means once.
    """
    shape = (len(samples.subgroups), len(samples.classes), len(samples.classes))
    cell = np.ravel_multi_index((samples.subgroup, samples.truth, samples.prediction), shape)
    if weights is None:
        weights = np.ones((1, len(samples)))
    rows = np.arange(len(weights))[:, None] * int(np.prod(shape))
    counts = np.bincount(
        (rows + cell[None]).ravel(),
        weights=weights.astype(np.float64).ravel(),
        minlength=len(weights) * int(np.prod(shape)),
    )
    return counts.reshape(len(weights), *shape)


def share(part: Float[np.ndarray, "..."], whole: Float[np.ndarray, "..."]) -> np.ndarray:
    """Return ``part / whole``, NaN where the whole is zero."""
    missing = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    quotient: np.ndarray = np.divide(part, whole, out=missing, where=whole > 0)
    return quotient


def overall_accuracy(counts: Tally) -> Float[np.ndarray, " r"]:
    """Return the accuracy over all samples of each replicate."""
    return share(np.einsum("rskk->r", counts), counts.sum((1, 2, 3)))


def subgroup_accuracy(counts: Tally) -> Float[np.ndarray, "r s"]:
    """Return the accuracy of each subgroup; NaN where it has no sample."""
    return share(np.einsum("rskk->rs", counts), counts.sum((2, 3)))


def predicted_rates(counts: Tally) -> Float[np.ndarray, "r s k"]:
    """Return P(prediction = k | subgroup)."""
    return share(counts.sum(2), counts.sum((2, 3))[..., None])


def true_positive_rates(counts: Tally) -> Float[np.ndarray, "r s k"]:
    """Return P(prediction = k | truth = k, subgroup); NaN where no sample has that truth."""
    return share(np.einsum("rskk->rsk", counts), counts.sum(3))


def spread(rates: Float[np.ndarray, "r s ..."]) -> np.ndarray:
    """Return the largest difference over pairs of subgroups (second axis).

    Missing rates are left out; with fewer than two left there is no pair, and the result is NaN.
    """
    known = ~np.isnan(rates)
    high = np.where(known, rates, -np.inf).max(1)
    low = np.where(known, rates, np.inf).min(1)
    pairs = known.sum(1) >= 2
    return np.where(pairs, high - np.where(pairs, low, 0.0), np.nan)


def over_classes(gaps: Float[np.ndarray, "r k"], over: str) -> Float[np.ndarray, " r"]:
    """Return the worst or the mean gap over the classes that have one.

    Raises:
        ValueError: If ``over`` is neither ``worst`` nor ``mean``.
    """
    if over not in ("worst", "mean"):
        raise ValueError(f"over: '{over}'; expected 'worst' or 'mean'")
    known = ~np.isnan(gaps)
    if over == "mean":
        return share(np.where(known, gaps, 0.0).sum(1), known.sum(1).astype(np.float64))
    worst = np.where(known, gaps, -np.inf).max(1)
    return np.where(known.any(1), worst, np.nan)
