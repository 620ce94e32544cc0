"""All figures of one classifier on one split, with intervals over subjects."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from fairgen.metrics.bootstrap import percentiles, permuted_subgroups, subject_weights
from fairgen.metrics.groups import (
    filled_classes,
    lowest_accuracy,
    normalized_range,
    opportunity_gap,
    parity_gap,
    scaled_accuracy,
)
from fairgen.metrics.prediction import binary_auc, macro_auc
from fairgen.metrics.score import Score
from fairgen.metrics.tally import (
    Coded,
    Tally,
    overall_accuracy,
    subgroup_accuracy,
    tally,
    true_positive_rates,
)

AT_LEAST = 10
"""Samples of a class that every subgroup must have for it to enter mean equal opportunity."""

PERMUTATIONS = 200


@dataclass(frozen=True)
class Predictions:
    """Holds what a classifier said about one split.

    Attributes:
        samples: Truth, prediction and subgroup, with all classes and subgroups of the schema.
        probabilities: One column a class, in the order of ``samples.classes``.
        subjects: Subject of every sample.
        images: Name of every sample; classifiers are compared on the same ones only.
    """

    samples: Coded
    probabilities: Float[np.ndarray, "n k"]
    subjects: tuple[str, ...]
    images: tuple[str, ...]

    @cached_property
    def counts(self) -> Tally:
        """Return the tally of the split itself."""
        return tally(self.samples)

    @cached_property
    def classes(self) -> Bool[np.ndarray, " k"]:
        """Return which classes are large enough in every subgroup for mean equal opportunity."""
        return filled_classes(self.counts, AT_LEAST)


@dataclass(frozen=True)
class Draws:
    """Holds bootstrap weights, shared by all figures so that they can be compared in pairs."""

    weights: Int[np.ndarray, "r n"]
    seed: int

    def score(self, metric: str, n: int, values: np.ndarray, point: np.ndarray) -> Score:
        """Return the score of a value and its replicates."""
        low, high = percentiles(values) if math.isfinite(point[0]) else (math.nan, math.nan)
        return Score(metric, "overall", float(point[0]), n, low, high)


def draws_of(predictions: Predictions, *, replicates: int, seed: int) -> Draws:
    """Return the bootstrap draws of a split's subjects."""
    weights = subject_weights(predictions.subjects, replicates=replicates, seed=seed)
    return Draws(weights, seed)


def fairness_scores(predictions: Predictions, draws: Draws, *, least: int = 1) -> list[Score]:
    """Return accuracy, AUC and all gaps, overall, by subgroup and by group.

    Args:
        predictions: One classifier on one split.
        draws: Bootstrap draws of this split.
        least: Images that a subgroup or group must have for its accuracy and AUC to be reported.
    """
    counts = tally(predictions.samples, draws.weights)
    return [
        *_overall(predictions, draws, counts),
        _permuted(predictions, draws.seed),
        *(_reported(s, least) for s in _accuracies(predictions, counts)),
        *(_reported(s, least) for s in _areas(predictions, draws)),
    ]


def _reported(score: Score, least: int) -> Score:
    """Return a score, or why it is kept back if too few images are behind it."""
    if score.n >= least or math.isnan(score.value):
        return score
    reason = f"{score.n} images; fewer than {least} are not reported"
    return Score(score.metric, score.group, math.nan, score.n, reason=reason)


def gap_functions(predictions: Predictions) -> dict[str, Callable[[Tally], np.ndarray]]:
    """Return the figures over all samples as functions of tallies, one value a replicate."""
    every = np.ones(len(predictions.samples.classes), dtype=bool)
    filled = predictions.classes
    return {
        "demographic_parity_worst": lambda counts: parity_gap(counts, "worst"),
        "demographic_parity_mean": lambda counts: parity_gap(counts, "mean"),
        "equal_opportunity_worst": lambda counts: opportunity_gap(counts, "worst", every),
        "equal_opportunity_mean": lambda counts: opportunity_gap(counts, "mean", filled),
        "essp": scaled_accuracy,
        "nar": normalized_range,
        "worst_subgroup_accuracy": lowest_accuracy,
        "accuracy": overall_accuracy,
    }


def _overall(predictions: Predictions, draws: Draws, counts: Tally) -> list[Score]:
    n = len(predictions.samples)
    found = []
    for metric, function in gap_functions(predictions).items():
        score = draws.score(metric, n, function(counts), function(predictions.counts))
        reason = _why(metric, predictions) if math.isnan(score.value) else ""
        found.append(replace(score, reason=reason, note=_note(metric, predictions)))
    return found


def _why(metric: str, predictions: Predictions) -> str:
    present = int((predictions.counts[0].sum((1, 2)) > 0).sum())
    if present < 2:
        return f"{present} subgroup with images; a gap needs two"
    if metric == "equal_opportunity_mean":
        return f"no class has {AT_LEAST} images in every subgroup"
    if metric == "equal_opportunity_worst":
        return "no class has images in two subgroups"
    return "no prediction is right in any subgroup"


def _note(metric: str, predictions: Predictions) -> str:
    counts = predictions.counts[0]
    present = counts.sum((1, 2)) > 0
    cells = counts.sum(2)[present]
    if metric == "essp":
        return f"{int(present.sum())} subgroups"
    if metric == "equal_opportunity_worst":
        empty = int((cells == 0).sum())
        return f"smallest cell {int(cells.min())} images" + (f"; {empty} empty" if empty else "")
    if metric == "equal_opportunity_mean":
        return f"{int(predictions.classes.sum())} of {len(predictions.classes)} classes"
    return ""


def _permuted(predictions: Predictions, seed: int) -> Score:
    """Return mean equal opportunity where the subgroup has nothing to do with the prediction."""
    samples = predictions.samples
    shuffles = permuted_subgroups(
        samples.subgroup,
        samples.truth,
        predictions.subjects,
        permutations=PERMUTATIONS,
        seed=seed,
    )
    counts = np.concatenate([tally(replace(samples, subgroup=row)) for row in shuffles])
    values = opportunity_gap(counts, "mean", predictions.classes)
    known = values[~np.isnan(values)]
    mean = float(known.mean()) if len(known) else math.nan
    reason = "" if len(known) else _why("equal_opportunity_mean", predictions)
    note = f"mean and range over {PERMUTATIONS} permutations of subgroups"
    low, high = percentiles(values)
    name = "equal_opportunity_permuted"
    return Score(name, "overall", mean, len(samples), low, high, reason, note)


def _accuracies(predictions: Predictions, counts: Tally) -> list[Score]:
    """Return the accuracy of every subgroup and of every group."""
    samples, own = predictions.samples, predictions.counts
    by_subgroup = zip(
        [str(s) for s in samples.subgroups],
        own[0].sum((1, 2)),
        subgroup_accuracy(own)[0],
        subgroup_accuracy(counts).T,
        strict=True,
    )
    by_group = zip(
        [f"{s}|{k}" for s in samples.subgroups for k in samples.classes],
        own[0].sum(2).ravel(),
        true_positive_rates(own)[0].ravel(),
        true_positive_rates(counts).reshape(len(counts), -1).T,
        strict=True,
    )
    return [_cell(*row) for row in (*by_subgroup, *by_group)]


def _cell(name: str, n: float, value: float, replicates: np.ndarray) -> Score:
    if not n:
        return Score("accuracy", name, math.nan, 0, reason=f"no image of {name}")
    return Score("accuracy", name, float(value), int(n), *percentiles(replicates))


def _areas(predictions: Predictions, draws: Draws) -> list[Score]:
    samples = predictions.samples
    every = np.ones(len(samples), dtype=bool)
    found = [_area("overall", every, predictions, draws)]
    for position, name in enumerate(samples.subgroups):
        found.append(_area(str(name), samples.subgroup == position, predictions, draws))
    return found


def _area(name: str, rows: Bool[np.ndarray, " n"], predictions: Predictions, draws: Draws) -> Score:
    if not rows.any():
        return Score("auc", name, math.nan, 0, reason=f"no image of {name}")
    truth, scores = predictions.samples.truth[rows], predictions.probabilities[rows]
    own = np.ones((1, int(rows.sum())))
    value = float(macro_auc(truth, scores, own)[0])
    if math.isnan(value):
        return Score("auc", name, value, int(rows.sum()), reason=f"one class alone in {name}")
    lacking = [
        str(label)
        for k, label in enumerate(predictions.samples.classes)
        if math.isnan(binary_auc(truth == k, scores[:, k], own)[0])
    ]
    note = f"without {', '.join(lacking)}: no image" if lacking else ""
    low, high = percentiles(macro_auc(truth, scores, draws.weights[:, rows]))
    return Score("auc", name, value, int(rows.sum()), low, high, note=note)
