"""Outlines of the generic pretraining pictures: each returns how far a pixel is covered, 0 to 1."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from fairgen.phantoms.shapes_texture import Field, fractal, leaves

Mask = Callable[[np.random.Generator, Field, Field, float], Field]


def cover(distance: Field, softness: float) -> Field:
    """Return 1 inside (negative distance), 0 outside, with a ramp as wide as ``softness``."""
    return np.asarray(np.clip(0.5 - distance / softness, 0.0, 1.0))


def disk(rng: np.random.Generator, x: Field, y: Field, softness: float) -> Field:
    """Cover an ellipse."""
    return cover(np.hypot(x, y * rng.uniform(1.0, 2.0)) - 1.0, softness)


def ring(rng: np.random.Generator, x: Field, y: Field, softness: float) -> Field:
    """Cover a ring."""
    width = rng.uniform(0.08, 0.35)
    return cover(np.abs(np.hypot(x, y * rng.uniform(1.0, 1.6)) - 1.0) - width, softness)


def polygon(rng: np.random.Generator, x: Field, y: Field, softness: float) -> Field:
    """Cover a convex polygon of three to seven sides."""
    sides = int(rng.integers(3, 8))
    angles = 2.0 * np.pi * (np.arange(sides) + rng.uniform(-0.25, 0.25, sides)) / sides
    reach = [np.cos(a) * x + np.sin(a) * y - 0.8 for a in angles]
    return cover(np.max(reach, axis=0), softness)


def blob(rng: np.random.Generator, x: Field, y: Field, softness: float) -> Field:
    """Cover a blob whose border wavers."""
    angle = np.arctan2(y, x)
    rough = rng.uniform(0.0, 0.35)
    border = sum(
        rng.normal() * rough / k * np.cos(k * angle + rng.uniform(0.0, 2.0 * np.pi))
        for k in range(2, 9)
    )
    return cover(np.hypot(x, y) - 1.0 - border, softness)


def cluster(rng: np.random.Generator, x: Field, y: Field, softness: float) -> Field:
    """Cover a few disks that lie together."""
    count = int(rng.integers(4, 15))
    spots = [
        np.hypot(x - rng.normal(0.0, 0.7), y - rng.normal(0.0, 0.7)) - rng.uniform(0.08, 0.35)
        for _ in range(count)
    ]
    return cover(np.min(spots, axis=0), softness)


def tree(rng: np.random.Generator, x: Field, y: Field, softness: float) -> Field:
    """Cover lines that branch and become thinner."""
    twigs = [(0.0, 1.2, -np.pi / 2, rng.uniform(0.5, 0.9))]
    nearest = np.full_like(x, np.inf)
    width = rng.uniform(0.03, 0.12)
    for depth in range(4):
        following = []
        for x0, y0, angle, length in twigs:
            dx, dy = length * np.cos(angle), length * np.sin(angle)
            along = np.clip(((x - x0) * dx + (y - y0) * dy) / length**2, 0.0, 1.0)
            far = np.hypot(x - x0 - along * dx, y - y0 - along * dy) - width / (1 + depth)
            nearest = np.minimum(nearest, far)
            following += [
                (x0 + dx, y0 + dy, angle + turn + rng.normal(0.0, 0.2), length * 0.75)
                for turn in (-rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8))
            ]
        twigs = following
    return cover(nearest, min(softness, 0.2))


def scatter(rng: np.random.Generator, x: Field, y: Field, softness: float) -> Field:
    """Cover many small flecks everywhere."""
    count = int(rng.integers(12, 40))
    place = rng.uniform(-2.5, 2.5, (2, count, 1, 1))
    size = rng.uniform(0.04, 0.22, (count, 1, 1))
    far = np.sqrt((x - place[0]) ** 2 + ((y - place[1]) * rng.uniform(1.0, 2.0)) ** 2) - size
    return cover(far.min(axis=0), min(softness, 0.3))


def nest(rng: np.random.Generator, x: Field, y: Field, softness: float) -> Field:
    """Cover ellipses inside one another, each to another degree."""
    covered = np.zeros_like(x)
    size = 1.4
    for _ in range(int(rng.integers(3, 7))):
        shift = rng.normal(0.0, 0.06, 2)
        reach = np.hypot((x - shift[0]) / size, (y - shift[1]) / size * rng.uniform(1.0, 1.3))
        inside = cover(reach - 1.0, softness)
        covered = covered * (1.0 - inside) + inside * rng.uniform(0.0, 1.0)
        size *= rng.uniform(0.55, 0.93)
    return covered


def weave(rng: np.random.Generator, x: Field, y: Field, softness: float) -> Field:
    """Cover curved stripes, sometimes crossed."""
    bend = rng.uniform(-0.5, 0.5) * x**2
    wave = np.sin(rng.uniform(3.0, 12.0) * (y + bend) + rng.uniform(0.0, 6.0))
    if rng.random() < 0.3:
        wave = np.maximum(wave, np.sin(rng.uniform(3.0, 12.0) * x))
    return cover(rng.uniform(-0.5, 0.5) - wave, 4.0 * softness)


def mosaic(rng: np.random.Generator, x: Field, y: Field, softness: float) -> Field:  # noqa: ARG001
    """Cover overlapping leaves, or smooth patches, each to another degree."""
    size = len(x)
    if rng.random() < 0.6:
        return leaves(rng, size)
    return cover(-fractal(rng, size, power=rng.uniform(1.2, 2.4)), 1.0 + softness)


MASKS: Mapping[str, Mask] = MappingProxyType(
    {
        m.__name__: m
        for m in (disk, ring, polygon, blob, cluster, tree, scatter, nest, weave, mosaic)
    }
)
