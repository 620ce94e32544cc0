"""How a classifier's fairness changed against the one without synthetic images."""

import math

import numpy as np
from jaxtyping import Float

from fairgen.metrics.bootstrap import percentiles
from fairgen.metrics.fairness import Draws, Predictions, gap_functions
from fairgen.metrics.improvement import TERMS, fairness_improvement, improvement_terms, levelling
from fairgen.metrics.score import Score
from fairgen.metrics.tally import Tally, subgroup_accuracy, tally

CHANGED = ("accuracy", "worst_subgroup_accuracy")
"""Figures whose change is told."""


def improvement_scores(base: Predictions, new: Predictions, draws: Draws) -> list[Score]:
    """Return changes in accuracy, fairness improvement with its terms, and levelling.

    Demographic parity and equal opportunity enter as means over classes. Intervals draw the same
    subjects for both classifiers.

    Args:
        base: The classifier without synthetic images.
        new: Another classifier on the same images in the same order.
        draws: Bootstrap draws of this split.

    Raises:
        ValueError: If the two were not scored on the same samples.
    """
    pairs = [(getattr(base.samples, f), getattr(new.samples, f)) for f in ("truth", "subgroup")]
    if base.images != new.images or not all((a == b).all() for a, b in pairs):
        raise ValueError("base and new: different samples; expected the same images in one order")
    changes = [_change(metric, base, new, draws) for metric in CHANGED]
    return [*changes, *_terms(base, new, draws), *_levels(base, new, draws)]


def _change(metric: str, base: Predictions, new: Predictions, draws: Draws) -> Score:
    """Return how much higher a figure is than the base's, with a paired interval."""
    figure = gap_functions(new)[metric]
    point = figure(new.counts) - figure(base.counts)
    before, after = (figure(tally(p.samples, draws.weights)) for p in (base, new))
    return draws.score(f"{metric}_change", len(new.samples), after - before, point)


def _columns(predictions: Predictions, counts: Tally) -> Float[np.ndarray, "r 4"]:
    gaps = gap_functions(predictions)
    names = ("essp", "demographic_parity_mean", "equal_opportunity_mean", "nar")
    return np.stack([gaps[name](counts) for name in names], axis=1)


def _terms(base: Predictions, new: Predictions, draws: Draws) -> list[Score]:
    before, after = (
        dict(zip(TERMS, _columns(p, p.counts)[0].tolist(), strict=True)) for p in (base, new)
    )
    point = fairness_improvement(before, after)
    columns = [_columns(p, tally(p.samples, draws.weights)) for p in (base, new)]
    replicates = improvement_terms(columns[0], columns[1])
    n = len(new.samples)
    rows = [("fairness_improvement", point.value, replicates.mean(1))]
    rows += [(f"{t}_term", point.terms[t], replicates[:, i]) for i, t in enumerate(TERMS)]
    return [_term(metric, value, n, column, point.reason) for metric, value, column in rows]


def _term(metric: str, value: float, n: int, column: np.ndarray, reason: str) -> Score:
    if math.isnan(value):
        own = [part for part in reason.split("; ") if metric.removesuffix("_term") in part.split()]
        return Score(metric, "overall", value, n, reason="; ".join(own) or reason)
    return Score(metric, "overall", value, n, *percentiles(column))


def _levels(base: Predictions, new: Predictions, draws: Draws) -> list[Score]:
    names = [str(s) for s in base.samples.subgroups]
    before, after = (subgroup_accuracy(p.counts)[0] for p in (base, new))
    point = levelling(
        dict(zip(names, before.tolist(), strict=True)),
        dict(zip(names, after.tolist(), strict=True)),
    )
    change = np.subtract(*(subgroup_accuracy(tally(p.samples, draws.weights)) for p in (new, base)))
    found = []
    for metric, value, name in (
        ("levelling_best", point.best, point.best_subgroup),
        ("levelling_worst", point.worst, point.worst_subgroup),
    ):
        column = names.index(name)
        n = int(new.counts[0, column].sum())
        low, high = percentiles(change[:, column])
        found.append(Score(metric, "overall", value, n, low, high, note=f"subgroup {name}"))
    return found
