"""How different the images of one group are from each other, beside real ones."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from fairgen.cohort.schema import Schema
from fairgen.cohort.seed import derive
from fairgen.metrics.bootstrap import percentiles
from fairgen.metrics.score import Score

REPLICATES = 100
FEWEST = 5
"""Images of a group that a figure asks for, in each set."""

Features = Float[np.ndarray, "_ _"]


def mean_distance(features: Features) -> float:
    """Return the mean Euclidean distance between two different rows.

    Args:
        features: At least two rows, one an image.
    """
    squares = (features**2).sum(axis=1)
    gaps = squares[:, None] + squares[None, :] - 2 * features @ features.T
    n = len(features)
    return float(np.sqrt(np.maximum(gaps, 0)).sum() / (n * (n - 1)))


def spread_scores(
    real: Mapping[str, Features],
    made: Mapping[str, Features],
    schema: Schema,
    name: str,
    seed: int = 0,
) -> list[Score]:
    """Return how different generated images of a group are from each other.

    Rows ``within_group_<name>``: the mean distance between two images of a group over that between
    two real ones; 1 means as various as real images, near 0 that one image was learnt by heart. A
    subgroup's figure, and the overall one, is the mean over its groups. Intervals come from
    resampling generated images; a resampled image is at no distance from itself, so they are
    shifted by the replicates' mean excess over the value.

    Args:
        real: Features of real images by group's key.
        made: Features of generated images likewise.
        schema: The groups.
        name: Name of the feature extractor.
        seed: Seed of the bootstrap.
    """
    found = {
        g.key: _ratios(real.get(g.key), made.get(g.key), derive(seed, "spread", g.key))
        for g in schema.groups()
    }
    counts = {g.key: len(made.get(g.key, ())) for g in schema.groups()}
    keys = {g.key: [g.key] for g in schema.groups()}
    subgroups = {s: [g.key for g in schema.groups() if g.subgroup == s] for s in schema.subgroups()}
    places = {"overall": [g.key for g in schema.groups()], **subgroups, **keys}
    return [
        _score(f"within_group_{name}", place, [found[k] for k in own], sum(counts[k] for k in own))
        for place, own in places.items()
    ]


def _ratios(real: Features | None, made: Features | None, seed: int) -> Float[np.ndarray, " r"]:
    """Return the ratio of a group, then that of every replicate; NaN where images are too few."""
    if real is None or made is None or min(len(real), len(made)) < FEWEST:
        return np.full(REPLICATES + 1, math.nan)
    random, beside = np.random.default_rng(seed), mean_distance(real)
    drawn = [made[random.integers(len(made), size=len(made))] for _ in range(REPLICATES)]
    return np.array([mean_distance(own) for own in (made, *drawn)]) / beside


def _score(metric: str, place: str, ratios: Sequence[np.ndarray], n: int) -> Score:
    value, *again = np.mean(ratios, axis=0)
    if math.isnan(value):
        return Score(metric, place, math.nan, n, reason=f"a group has fewer than {FEWEST} images")
    low, high = percentiles(np.array(again) - np.mean(again) + value)
    return Score(metric, place, float(value), n, max(0.0, low), max(0.0, high))
