"""Intervals from resampling subjects, and values under permuted subgroups."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from fairgen.cohort.seed import derive
from fairgen.metrics.arrays import Labels, label_array

Statistic = Callable[[np.ndarray], np.ndarray]

DEFINED = 0.9
"""Smallest share of replicates that must have a value for an interval to be stated."""


@dataclass(frozen=True)
class Interval:
    """Holds a value and its percentile interval; NaN where undefined."""

    value: float
    low: float
    high: float


def subject_weights(
    subjects: Labels, *, replicates: int = 500, seed: int = 0
) -> Int[np.ndarray, "r n"]:
    """Return how often each sample counts when subjects are drawn with replacement.

    All samples of a subject are drawn together, since they are not independent.

    Args:
        subjects: Subject of every sample.
        replicates: Number of replicates, at least 1.
        seed: Seed; the same seed gives the same draws, so that two scores can be compared in pairs.

    Raises:
        ValueError: If there is no subject or no replicate.
    """
    if replicates < 1:
        raise ValueError(f"replicates: {replicates}; expected at least 1")
    names, position = np.unique(label_array(subjects, "subjects"), return_inverse=True)
    random = np.random.default_rng(derive(seed, "bootstrap"))
    draws = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=replicates)
    return draws[:, position]


def percentiles(values: Float[np.ndarray, " r"], level: float = 0.95) -> tuple[float, float]:
    """Return the central interval of the replicates; NaN where too many of them are undefined.

    Raises:
        ValueError: If the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level: {level}; expected a share between 0 and 1")
    known = values[~np.isnan(values)]
    if len(known) < DEFINED * len(values) or not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap(
    statistic: Statistic,
    subjects: Labels,
    *,
    replicates: int = 500,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return a statistic with its percentile interval over resampled subjects.

    Args:
        statistic: Takes weights [replicates, samples] and returns one value a replicate.
        subjects: Subject of every sample.
        replicates: Number of replicates.
        seed: Seed of the draws.
        level: Share of replicates inside the interval.

    Raises:
        ValueError: If there is no subject, no replicate, or the level is no share.
    """
    weights = subject_weights(subjects, replicates=replicates, seed=seed)
    value = float(statistic(np.ones((1, weights.shape[1])))[0])
    return Interval(value, *percentiles(statistic(weights), level))


def permuted_subgroups(
    subgroup: Int[np.ndarray, " n"],
    truth: Int[np.ndarray, " n"],
    subjects: Labels,
    *,
    permutations: int,
    seed: int,
) -> Int[np.ndarray, "p n"]:
    """Return subgroups shuffled among the samples of the same true label.

    Within a label, because equal opportunity asks whether predictions depend on the subgroup given
    the label; the number of samples in each cell then stays what it is. Samples of one subject with
    one label keep a common subgroup, if they had one.

    Args:
        subgroup: Position of each sample's subgroup.
        truth: Position of each sample's true label.
        subjects: Subject of every sample.
        permutations: Number of shuffles, at least 1.
        seed: Seed of the shuffles.
    """
    if permutations < 1:
        raise ValueError(f"permutations: {permutations}; expected at least 1")
    random = np.random.default_rng(derive(seed, "permute"))
    unit, first = _units(subgroup, truth, subjects)
    found = np.empty((permutations, len(subgroup)), dtype=subgroup.dtype)
    for row in range(permutations):
        shuffled = subgroup[first].copy()
        for label in np.unique(truth):
            members = np.flatnonzero(truth[first] == label)
            shuffled[members] = shuffled[random.permutation(members)]
        found[row] = shuffled[unit]
    return found


def _units(
    subgroup: Int[np.ndarray, " n"], truth: Int[np.ndarray, " n"], subjects: Labels
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " u"]]:
    """Return each sample's exchangeable unit and one sample of every unit."""
    names, person = np.unique(label_array(subjects, "subjects"), return_inverse=True)
    key = truth.astype(np.int64) * len(names) + person
    _, first, unit = np.unique(key, return_index=True, return_inverse=True)
    if (subgroup != subgroup[first][unit]).any():
        return np.arange(len(subgroup)), np.arange(len(subgroup))
    return unit, first
