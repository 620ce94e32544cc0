"""What an oracle measured in sets of images, and how far two sets' anatomy lies apart."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from fairgen.cohort.schema import Schema
from fairgen.cohort.seed import derive
from fairgen.metrics.bootstrap import percentiles, subject_weights
from fairgen.metrics.score import Score

REPLICATES = 200
FEWEST = 5
"""Measured images of a group that a distance asks for, in each set."""


@dataclass(frozen=True)
class Anatomy:
    """Holds what an oracle measured in a set of images.

    Attributes:
        names: Quantity of each column.
        values: One row an image; NaN throughout where nothing could be measured.
        groups: Key of the group that each image belongs to, or was asked to show.
    """

    names: tuple[str, ...]
    values: Float[np.ndarray, "n q"]
    groups: tuple[str, ...]

    @cached_property
    def measurable(self) -> np.ndarray:
        """Return whether each image could be measured."""
        return np.asarray(~np.isnan(self.values).any(axis=1))

    def of(self, group: str) -> Float[np.ndarray, "m q"]:
        """Return the measured images of a group."""
        rows = np.array([g == group for g in self.groups], dtype=bool) & self.measurable
        return np.asarray(self.values[rows])

    def only(self, names: Sequence[str]) -> "Anatomy":
        """Return the same images with some of the quantities."""
        columns = [self.names.index(n) for n in names]
        return Anatomy(tuple(names), self.values[:, columns], self.groups)


def places(anatomy: Anatomy, schema: Schema) -> dict[str, np.ndarray]:
    """Return which images belong to all, to each subgroup and to each group."""
    own = [schema.group(key) for key in anatomy.groups]
    found = {"overall": [True for _ in own]}
    found |= {s: [g.subgroup == s for g in own] for s in schema.subgroups()}
    found |= {g.key: [o == g for o in own] for g in schema.groups()}
    return {place: np.array(rows, dtype=bool) for place, rows in found.items()}


def wasserstein(
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " m"],
    x_weights: Float[np.ndarray, "r n"],
    y_weights: Float[np.ndarray, "r m"],
) -> Float[np.ndarray, " r"]:
    r"""Return the Wasserstein-1 distance $\int|F_x-F_y|$ under each row of sample weights.

    Args:
        x: One value an image.
        y: The same for the other set.
        x_weights: How often each counts in each replicate.
        y_weights: The same for the other set.

    Reference:
        Equal to ``scipy.stats.wasserstein_distance`` for each row.
    """
    order = np.argsort(np.concatenate([x, y]), kind="stable")
    gaps = np.diff(np.concatenate([x, y])[order])
    first = x_weights / x_weights.sum(axis=1, keepdims=True)
    second = y_weights / y_weights.sum(axis=1, keepdims=True)
    signed = np.concatenate([first, -second], axis=1)[:, order]
    away = np.abs(np.cumsum(signed, axis=1)[:, :-1])
    return np.asarray(away @ gaps)


def anatomy_distances(
    reference: Anatomy, made: Anatomy, schema: Schema, robust: Sequence[str], *, seed: int = 0
) -> list[Score]:
    """Return how far measured anatomy lies from that of the reference images of the same group.

    Rows ``wasserstein_<quantity>`` of every group, in standard deviations of the quantity over all
    reference images; ``anatomy_distance`` is their mean over the robust quantities, for every
    group, subgroup (mean of its groups) and overall. A distance between finite samples of one
    distribution is above zero; compare with the same distance of real images. Intervals come from
    a bootstrap of both sets, shifted by the replicates' mean excess over the value, because
    resampling adds to a distance.

    Args:
        reference: Measured real images, several of every group.
        made: The images to judge, each its own subject.
        schema: The groups.
        robust: The quantities that enter ``anatomy_distance``.
        seed: Seed of the bootstrap.
    """
    spread = np.maximum(reference.values[reference.measurable].std(axis=0), 1e-9)
    found: list[Score] = []
    means: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}
    chosen = [made.names.index(n) for n in robust]
    for group in schema.groups():
        real, own = reference.of(group.key) / spread, made.of(group.key) / spread
        counts[group.key] = len(own)
        values = _group_distances(real, own, derive(seed, "anatomy", group.key))
        found += [
            _distance(f"wasserstein_{name}", group.key, values[:, i], len(own))
            for i, name in enumerate(made.names)
        ]
        means[group.key] = values[:, chosen].mean(axis=1)
    members = _members(schema)
    return found + [
        _distance(
            "anatomy_distance",
            place,
            np.mean([means[k] for k in keys], axis=0),
            sum(counts[k] for k in keys),
        )
        for place, keys in members.items()
    ]


def _members(schema: Schema) -> Mapping[str, list[str]]:
    """Return the keys of the groups of each place: all, each subgroup, each group."""
    groups = schema.groups()
    return {
        "overall": [g.key for g in groups],
        **{s: [g.key for g in groups if g.subgroup == s] for s in schema.subgroups()},
        **{g.key: [g.key] for g in groups},
    }


def _group_distances(
    real: Float[np.ndarray, "n q"], made: Float[np.ndarray, "m q"], seed: int
) -> Float[np.ndarray, "r q"]:
    """Return the distance of each quantity: the value, then its replicates."""
    if min(len(real), len(made)) < FEWEST:
        return np.full((REPLICATES + 1, real.shape[1]), math.nan)
    weights = [
        np.vstack([np.ones(len(s)), subject_weights(range(len(s)), replicates=REPLICATES, seed=d)])
        for s, d in ((real, seed), (made, derive(seed, "made")))
    ]
    columns = zip(real.T, made.T, strict=True)
    return np.stack([wasserstein(x, y, *weights) for x, y in columns], axis=1)


def _distance(metric: str, place: str, values: Float[np.ndarray, " r"], n: int) -> Score:
    value, replicates = float(values[0]), values[1:]
    if math.isnan(value):
        reason = f"fewer than {FEWEST} measurable images of a group"
        return Score(metric, place, math.nan, n, reason=reason)
    low, high = percentiles(replicates - replicates.mean() + value)
    return Score(metric, place, value, n, max(0.0, low), max(0.0, high))
