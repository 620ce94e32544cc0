"""Distance of generated images from real ones, overall and by subgroup, at one sample size."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Shaped

from fairgen.cohort.seed import derive
from fairgen.metrics.arrays import Labels
from fairgen.metrics.bootstrap import bootstrap, percentiles
from fairgen.metrics.fidelity import weighted_frechet, weighted_kernel
from fairgen.metrics.score import Score
from fairgen.metrics.tally import share

DRAWS = 10
"""Samples of the matched size over which a value is averaged."""

REDRAWS = 4
"""The same within each bootstrap replicate."""

Distance = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Cloud:
    """Holds the features of a set of images.

    Attributes:
        features: One row an image.
        subgroups: Subgroup of every image.
        subjects: Subject of every image; each generated image is its own.
    """

    features: Float[np.ndarray, "n d"]
    subgroups: tuple[str, ...]
    subjects: tuple[str, ...]

    def part(self, subgroup: str) -> "Cloud":
        """Return the images of one subgroup; those of all for ``overall``."""
        if subgroup == "overall":
            return self
        rows = [i for i, s in enumerate(self.subgroups) if s == subgroup]
        return Cloud(
            self.features[rows],
            tuple(self.subgroups[i] for i in rows),
            tuple(self.subjects[i] for i in rows),
        )

    def counts(self, subgroups: Sequence[str]) -> dict[str, int]:
        """Return the number of images of every subgroup, zeros included."""
        return {s: self.subgroups.count(s) for s in subgroups}


def matched_size(counts: Sequence[dict[str, int]], dimension: int) -> int:
    """Return the sample size at which all sets and subgroups can be compared.

    Args:
        counts: Images of every subgroup, one dictionary a set: the test split and every synthetic
            set of the comparison.
        dimension: Number of features. A subgroup that has no more images than this in some set
            is left out: its FID is missing.

    Returns:
        The smallest count of the others, or 0 if there are none.
    """
    smallest = [min(c[s] for c in counts) for s in counts[0]]
    return min((n for n in smallest if n > dimension), default=0)


@dataclass(frozen=True)
class Matching:
    """Says how sets of images are compared.

    Attributes:
        size: Images drawn from each set; the same for every set and subgroup of a comparison.
        name: Name of the feature extractor, which becomes part of the metrics' names.
        replicates: Bootstrap replicates of the intervals.
        seed: Seed of draws and replicates.
    """

    size: int
    name: str
    replicates: int = 100
    seed: int = 0


def distance_scores(
    real: Cloud, made: Cloud, subgroups: Sequence[str], matching: Matching
) -> list[Score]:
    """Return FID and KID overall and by subgroup, and the variance of the subgroups' FIDs.

    Values are means over draws of the matched size. For the intervals, the subjects of real images
    and the generated images are resampled before drawing. Resampled sets repeat images, which
    inflates FID; the intervals are therefore shifted by the replicates' mean excess over the value.

    Args:
        real: Images of the test split.
        made: Generated images.
        subgroups: All subgroups, the empty ones too.
        matching: Sample size and seeds.
    """
    found = []
    for metric, distance in (("fid", weighted_frechet), ("kid", weighted_kernel)):
        measured = {
            group: _measure(real.part(group), made.part(group), distance, group, matching)
            for group in ("overall", *subgroups)
        }
        floor = 0.0 if metric == "fid" else -math.inf
        full = f"{metric}_{matching.name}"
        found += [m.score(full, group, floor, matching) for group, m in measured.items()]
        if metric == "fid":
            found.append(_variance(f"{full}_variance", [measured[s] for s in subgroups], matching))
    return found


@dataclass(frozen=True)
class _Measured:
    """Holds a distance with its replicates, or why there is none."""

    value: float
    replicates: Float[np.ndarray, " r"]
    reason: str = ""

    def score(self, metric: str, group: str, floor: float, matching: Matching) -> Score:
        """Return the score, its interval cut off at ``floor``."""
        if self.reason:
            return Score(metric, group, math.nan, 0, reason=self.reason)
        low, high = percentiles(self.replicates - self.replicates.mean() + self.value)
        return Score(metric, group, self.value, matching.size, max(floor, low), max(floor, high))


def _measure(
    real: Cloud, made: Cloud, distance: Distance, group: str, matching: Matching
) -> _Measured:
    size, dimension = matching.size, real.features.shape[1]
    fewest = min(len(real.subgroups), len(made.subgroups))
    if size <= dimension or fewest < size:
        reason = f"{fewest} images of {group}; more than {dimension} features ask for more images"
        return _Measured(math.nan, np.empty(0), reason)
    random = np.random.default_rng(derive(matching.seed, "distance", group))
    sets = (real, made)
    draws = [np.stack([_draw(len(s.subgroups), size, random) for _ in range(DRAWS)]) for s in sets]
    again = [
        np.concatenate([_resample(s.subjects, size, random) for _ in range(matching.replicates)])
        for s in sets
    ]
    measure = partial(distance, real.features, made.features)
    replicates = measure(*again).reshape(-1, REDRAWS).mean(1)
    return _Measured(float(measure(*draws).mean()), replicates)


def _draw(n: int, size: int, random: np.random.Generator) -> Float[np.ndarray, " n"]:
    """Return weights of one draw without replacement."""
    weights = np.zeros(n)
    weights[random.permutation(n)[:size]] = 1.0
    return weights


def _resample(
    subjects: Sequence[str], size: int, random: np.random.Generator
) -> Float[np.ndarray, "k n"]:
    """Return weights of draws of ``size`` images from one resampling of all subjects."""
    names, position = np.unique(np.array(subjects), return_inverse=True)
    times = np.bincount(random.integers(len(names), size=len(names)), minlength=len(names))
    images = np.repeat(np.arange(len(position)), times[position])
    draws = [random.choice(images, size, replace=len(images) < size) for _ in range(REDRAWS)]
    return np.stack([np.bincount(d, minlength=len(position)).astype(np.float64) for d in draws])


def _variance(metric: str, parts: Sequence[_Measured], matching: Matching) -> Score:
    """Return the variance of the subgroups' FIDs (ddof = 1)."""
    missing = [p.reason for p in parts if p.reason]
    if missing or len(parts) < 2:
        return Score(metric, "overall", math.nan, 0, reason="; ".join(missing) or "one subgroup")
    value = float(np.var([p.value for p in parts], ddof=1))
    replicates = np.var([p.replicates for p in parts], axis=0, ddof=1)
    return _Measured(value, replicates).score(metric, "overall", 0.0, matching)


def share_scores(
    metric: str, right: Bool[np.ndarray, " n"], cloud: Cloud, subgroups: Sequence[str], seed: int
) -> list[Score]:
    """Return the share of images that are right, overall and by subgroup.

    Args:
        metric: Name of the figure.
        right: Whether each image is right.
        cloud: The images.
        subgroups: All subgroups, the empty ones too.
        seed: Seed of the bootstrap over subjects.
    """
    found = []
    for group in ("overall", *subgroups):
        rows = np.array([group in ("overall", s) for s in cloud.subgroups], dtype=bool)
        who = [s for s, row in zip(cloud.subjects, rows, strict=True) if row]
        found.append(share_score(metric, group, right[rows], who, seed))
    return found


def share_score(
    metric: str, group: str, right: Bool[np.ndarray, " n"], subjects: Labels, seed: int
) -> Score:
    """Return the share of a group's images that are right; missing where it has none.

    Args:
        metric: Name of the figure.
        group: Which images these are.
        right: Whether each image is right.
        subjects: Subject of each image.
        seed: Seed of the bootstrap over subjects.
    """
    if not len(right):
        return Score(metric, group, math.nan, 0, reason=f"no image of {group}")
    found = bootstrap(partial(_weighted_share, right.astype(np.float64)), subjects, seed=seed)
    return Score(metric, group, found.value, len(right), found.low, found.high)


def _weighted_share(
    values: Float[np.ndarray, " n"], weights: Shaped[np.ndarray, "r n"]
) -> Float[np.ndarray, " r"]:
    counted = weights.astype(np.float64)
    return share(counted @ values, counted.sum(1))
