"""Gaps between subgroups, in [0, 1], from labels alone.

All functions take one label, one prediction and one subgroup a sample, as texts or whole numbers.
Where a figure is undefined they return NaN and never a made-up zero.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from fairgen.metrics.arrays import Labels, check_lengths, label_array
from fairgen.metrics.tally import (
    Tally,
    coded,
    over_classes,
    overall_accuracy,
    predicted_rates,
    share,
    spread,
    subgroup_accuracy,
    tally,
    true_positive_rates,
)


def demographic_parity(
    y_true: Labels, y_pred: Labels, groups: Labels, *, over: str = "worst"
) -> float:
    r"""Return how far the shares of predicted labels differ between subgroups.

    $$\max_{s,s'} \lvert P(\hat y=k\mid s)-P(\hat y=k\mid s')\rvert$$ for every class $k$, then the
    worst or the mean over classes. For two classes both equal fairlearn's
    ``demographic_parity_difference``.

    Args:
        y_true: True labels; they only complete the list of classes.
        y_pred: Predicted labels.
        groups: Subgroup of every sample.
        over: ``worst`` or ``mean`` over classes.

    Returns:
        A gap in [0, 1], 0 meaning equal shares; NaN with fewer than two subgroups.

    Raises:
        ValueError: If lengths differ, an input is empty, a value is missing, or ``over`` is
            unknown.

    Reference:
        Dwork et al., "Fairness Through Awareness", ITCS 2012; paper, "Evaluation metrics".
    """
    return float(parity_gap(tally(coded(y_true, y_pred, groups)), over)[0])


def equal_opportunity(
    y_true: Labels, y_pred: Labels, groups: Labels, *, over: str = "worst", at_least: int = 0
) -> float:
    r"""Return how far the rates of recognised samples differ between subgroups.

    $$\max_{s,s'} \lvert P(\hat y=k\mid y=k,s)-P(\hat y=k\mid y=k,s')\rvert$$ for every class $k$,
    then the worst or the mean over classes. A subgroup without samples of a class has no rate there
    and is left out of that class; a class with fewer than two rates is left out.

    Args:
        y_true: True labels.
        y_pred: Predicted labels.
        groups: Subgroup of every sample.
        over: ``worst`` or ``mean`` over classes. The worst cell is mostly noise in small samples.
        at_least: Leave out classes of which some subgroup has fewer samples; 0 leaves none out.

    Returns:
        A gap in [0, 1], 0 meaning equal rates; NaN where no class can be compared.

    Raises:
        ValueError: If lengths differ, an input is empty, a value is missing, ``over`` is unknown,
            or ``at_least`` is negative.

    Reference:
        Hardt, Price, Srebro, "Equality of Opportunity in Supervised Learning", NeurIPS 2016.
    """
    if at_least < 0:
        raise ValueError(f"at_least: {at_least}; expected zero or more samples")
    counts = tally(coded(y_true, y_pred, groups))
    return float(opportunity_gap(counts, over, filled_classes(counts, at_least))[0])


def essp(y_true: Labels, y_pred: Labels, groups: Labels) -> float:
    r"""Return the accuracy, scaled down by how far subgroups are from it.

    $$\frac{acc}{1+\sum_s \lvert acc-acc_s\rvert}$$ The sum grows with the number of subgroups, so
    that attributes with different numbers of levels cannot be compared.

    Args:
        y_true: True labels.
        y_pred: Predicted labels.
        groups: Subgroup of every sample.

    Returns:
        A value in [0, 1]; 1 means that every prediction is right.

    Raises:
        ValueError: If lengths differ, an input is empty, or a value is missing.

    Reference:
        Tian et al., "FairSeg", ICLR 2024, arXiv 2311.02189.
    """
    return float(scaled_accuracy(tally(coded(y_true, y_pred, groups)))[0])


def nar(y_true: Labels, y_pred: Labels, groups: Labels) -> float:
    r"""Return the range of subgroup accuracies, divided by their mean.

    $$\frac{\max_s acc_s-\min_s acc_s}{\frac1{|S|}\sum_s acc_s}$$

    Args:
        y_true: True labels.
        y_pred: Predicted labels.
        groups: Subgroup of every sample.

    Returns:
        A value of at least 0, 0 meaning equal accuracies (at most the number of subgroups); NaN
        with fewer than two subgroups, or where no prediction is right.

    Raises:
        ValueError: If lengths differ, an input is empty, or a value is missing.

    Reference:
        Pakzad, Abhishek, Hamarneh, "CIRCLe", ECCV Workshops 2022, arXiv 2208.13528.
    """
    return float(normalized_range(tally(coded(y_true, y_pred, groups)))[0])


def worst_subgroup_accuracy(y_true: Labels, y_pred: Labels, groups: Labels) -> float:
    """Return the lowest accuracy of any subgroup, in [0, 1].

    Raises:
        ValueError: If lengths differ, an input is empty, or a value is missing.
    """
    return float(lowest_accuracy(tally(coded(y_true, y_pred, groups)))[0])


def equity_scaled(overall: float, subgroups: Mapping[str, float]) -> float:
    """Return ESSP of accuracies that are already known.

    Args:
        overall: Accuracy over all samples, in [0, 1].
        subgroups: Accuracy of every subgroup, in [0, 1].

    Raises:
        ValueError: If there is no subgroup or an accuracy is outside [0, 1]: ESSP of percentages
            is another, meaningless number.
    """
    if not subgroups:
        raise ValueError("subgroups: none; expected the accuracy of at least one")
    for name, value in {"overall": overall, **subgroups}.items():
        if not 0 <= value <= 1:
            raise ValueError(f"accuracy of {name}: {value}; expected a share in [0, 1], no percent")
    return overall / (1 + sum(abs(overall - value) for value in subgroups.values()))


@dataclass(frozen=True)
class GroupValue:
    """Holds one subgroup's value and the number of samples behind it."""

    value: float
    n: int


def by_group(
    metric: Callable[..., float], groups: Labels, *samples: Labels
) -> dict[object, GroupValue]:
    """Return any metric for every subgroup on its own, with counts.

    Args:
        metric: Function of the sample arrays, such as ``accuracy``.
        groups: Subgroup of every sample.
        *samples: Arrays with one entry a sample, handed to the metric in this order.

    Raises:
        ValueError: If lengths differ or an input is empty.
    """
    names = label_array(groups, "groups")
    arrays = [np.asarray(s if hasattr(s, "__array__") else list(s)) for s in samples]
    check_lengths(groups=names, **{f"samples[{i}]": a for i, a in enumerate(arrays)})
    found = {}
    for name in np.unique(names):
        rows = names == name
        value = float(metric(*(a[rows] for a in arrays)))
        found[name.item()] = GroupValue(value, int(rows.sum()))
    return found


def filled_classes(counts: Tally, at_least: int) -> Bool[np.ndarray, " k"]:
    """Return which classes have enough samples in every subgroup of the first replicate."""
    present = counts[0].sum((1, 2)) > 0
    kept: np.ndarray = counts[0].sum(2)[present].min(0) >= at_least
    return kept


def parity_gap(counts: Tally, over: str) -> Float[np.ndarray, " r"]:
    """Return demographic parity of each replicate of a tally."""
    return over_classes(spread(predicted_rates(counts)), over)


def opportunity_gap(
    counts: Tally, over: str, classes: Bool[np.ndarray, " k"]
) -> Float[np.ndarray, " r"]:
    """Return equal opportunity of each replicate, over the classes that are true."""
    gaps = np.where(classes[None], spread(true_positive_rates(counts)), np.nan)
    return over_classes(gaps, over)


def scaled_accuracy(counts: Tally) -> Float[np.ndarray, " r"]:
    """Return ESSP of each replicate; a subgroup without samples adds nothing."""
    overall = overall_accuracy(counts)
    away = np.abs(overall[:, None] - subgroup_accuracy(counts))
    scaled: np.ndarray = overall / (1 + np.where(np.isnan(away), 0.0, away).sum(1))
    return scaled


def normalized_range(counts: Tally) -> Float[np.ndarray, " r"]:
    """Return NAR of each replicate."""
    values = subgroup_accuracy(counts)
    known = ~np.isnan(values)
    mean = share(np.where(known, values, 0.0).sum(1), known.sum(1).astype(np.float64))
    return share(spread(values), mean)


def lowest_accuracy(counts: Tally) -> Float[np.ndarray, " r"]:
    """Return the lowest subgroup accuracy of each replicate."""
    values = subgroup_accuracy(counts)
    lowest: np.ndarray = np.where(np.isnan(values), np.inf, values).min(1)
    return lowest
