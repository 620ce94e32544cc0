"""The sulci of the brain phantom: where a subject's folds run, and how far each pixel is from them.

Places are those of the head: the middle is (0, 0), x to the right of the image, y backwards.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fairgen.phantoms.fields import Field, stamps
from fairgen.phantoms.mri_anatomy import Person, State

Segments = Float[np.ndarray, "_ 5"]
Paths = Float[np.ndarray, "_ _ 2"]

REACH = 0.05
"""Distance from a sulcus, in sides, beyond which nothing depends on it."""

SIDE_FOLDS, STEPS = 16, 5


@dataclass(frozen=True)
class Folds:
    """Holds the sulci as straight pieces.

    Attributes:
        pieces: Rows of (x, y, x, y, half of the width).
        width: Mean width of the sulci, by length.
    """

    pieces: Segments
    width: float


def radius(patient: Person, angle: np.ndarray) -> np.ndarray:
    """Return how far the outline lies from the middle, at angles counted from the image's right."""
    c, s = np.cos(angle), np.sin(angle)
    oval = (np.abs(c / patient.width) ** 2.25 + np.abs(s / patient.length) ** 2.25) ** (-1 / 2.25)
    wave = patient.egg * s * c * c
    for order, (strength, phase) in zip((2, 3, 5), patient.bumps, strict=True):
        wave = wave + strength * np.cos(order * angle + phase)
    return np.asarray(oval * (1 + wave))


def folds(patient: Person, state: State) -> Folds:
    """Return a subject's sulci; in another slice they have moved a little."""
    rng = np.random.default_rng(patient.folds)
    drift = state.drop * rng.normal(0, 0.06, 2 * SIDE_FOLDS)
    main, gauge = _convexity(rng, patient, drift)
    medial, thin = _medial(rng, patient, state.drop)
    fissure, wide = _fissures(rng, patient, state.drop)
    everything = [
        _pieces(main, gauge),
        _pieces(_branches(rng, main), 0.75 * gauge),
        _pieces(medial, thin),
        _pieces(fissure, wide),
    ]
    pieces = np.concatenate(everything)
    pieces[:, 4] *= 0.5 * state.sulcus
    length = np.hypot(*(pieces[:, 2:4] - pieces[:, :2]).T)
    return Folds(pieces.astype(np.float32), float(2 * np.average(pieces[:, 4], weights=length)))


def _pieces(paths: Paths, gauge: np.ndarray) -> Segments:
    """Return the pieces of paths, each narrower than the one before."""
    taper = np.linspace(1.2, 0.8, paths.shape[1] - 1)
    half = (gauge[:, None] * taper)[..., None]
    return np.concatenate([paths[:, :-1], paths[:, 1:], half], axis=2).reshape(-1, 5)


def _wander(
    rng: np.random.Generator, start: np.ndarray, end: np.ndarray, sway: float, steps: int = STEPS
) -> Paths:
    """Return paths from starts to ends that sway to both sides."""
    t = np.linspace(0, 1, steps)[None, :, None]
    along = (end - start)[:, None]
    across = np.stack([-along[..., 1], along[..., 0]], axis=2)
    phase = rng.uniform(0, 6.3, (len(start), 1, 1))
    turns = rng.uniform(3.0, 6.5, (len(start), 1, 1))
    swing = sway * (np.sin(phase + turns * t) - np.sin(phase)) * rng.uniform(0.5, 1, phase.shape)
    return np.asarray(start[:, None] + t * along + swing * across)


def _convexity(
    rng: np.random.Generator, patient: Person, drift: np.ndarray
) -> tuple[Paths, np.ndarray]:
    """Return the sulci that run inwards from the outline, and their relative widths."""
    m = SIDE_FOLDS
    even = (np.arange(m) + 0.5 + rng.uniform(-0.26, 0.26, (2, m))) / m
    right = -np.pi / 2 + 0.16 + even[0] * (np.pi - 0.32)
    left = np.pi / 2 + 0.16 + even[1] * (np.pi - 0.32)
    angle = np.concatenate([right, left]) + drift
    angle = (
        angle + 0.10 * np.tanh(np.sin(angle) * np.sign(np.cos(angle)) / 0.1) * np.cos(angle) ** 4
    )
    r = radius(patient, angle)
    depth = rng.uniform(0.065, 0.15, 2 * m) * (0.75 + 0.35 * np.abs(np.cos(angle)))
    start = r[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    inward = angle + rng.normal(0, 0.06, 2 * m)
    end = (r - depth)[:, None] * np.stack([np.cos(inward), np.sin(inward)], axis=1)
    return _wander(rng, 1.02 * start, end, 0.2), rng.uniform(0.7, 1.3, 2 * m)


def _aside(angle: np.ndarray) -> np.ndarray:
    """Return how far sulci move along the outline to make room for the fissure at each side."""
    forward = np.sin(angle) * np.sign(np.cos(angle))
    return np.asarray(0.10 * np.tanh(forward / 0.1) * np.cos(angle) ** 4)


def _branches(rng: np.random.Generator, main: Paths) -> Paths:
    """Return a side branch of each sulcus."""
    fork = rng.integers(2, STEPS, len(main))
    start = main[np.arange(len(main)), fork]
    heading = main[:, -1] - main[:, 0]
    turn = rng.choice((-1, 1), len(main)) * rng.uniform(0.9, 1.5, len(main))
    way = np.arctan2(heading[:, 1], heading[:, 0]) + turn
    size = rng.uniform(0.02, 0.042, len(main))[:, None]
    end = start + size * np.stack([np.cos(way), np.sin(way)], axis=1)
    return _wander(rng, start, end, 0.2, 3)


def _medial(rng: np.random.Generator, patient: Person, drop: float) -> tuple[Paths, np.ndarray]:
    """Return the sulci on both sides of the fissure between the hemispheres."""
    front, back = -patient.length, patient.length
    places = [front + 0.05, front + 0.105, back - 0.045, back - 0.095, back - 0.15]
    y = np.array([p + rng.normal(0, 0.008) for p in places for _ in range(2)])
    side = np.tile((-1.0, 1.0), len(places))
    start = np.stack([0.004 * side, y], axis=1)
    rise = np.where(y < 0, 0.03, -0.02) + rng.normal(0, 0.015, len(y)) - 0.01 * drop
    reach = side * rng.uniform(0.045, 0.085, len(y))
    paths = _wander(rng, start, start + np.stack([reach, rise], axis=1), 0.22)
    return paths, rng.uniform(0.6, 1.0, len(y))


def _fissures(rng: np.random.Generator, patient: Person, drop: float) -> tuple[Paths, np.ndarray]:
    """Return the fissure between the hemispheres and, at each side, the one above the insula."""
    back_end = 0.285 + 0.03 * drop
    mid = [
        [(0.0, -1.02 * patient.length), (0.0, -0.295)],
        [(0, 1.02 * patient.length), (0, back_end)],
    ]
    side = []
    for sign in (-1, 1):
        y = rng.normal(0.0, 0.012) - 0.02 * drop
        edge = sign * patient.width
        inner = sign * (0.245 + 0.01 * rng.normal()) * patient.width / 0.365
        side += [
            [(1.03 * edge, y + 0.02), (inner, y)],
            [(inner, y), (0.94 * inner, y - 0.095)],
            [(inner, y), (0.97 * inner, y + 0.095)],
        ]
    ends = np.array([*mid, *side])
    paths = _wander(rng, ends[:, 0], ends[:, 1], 0.06)
    return paths, np.array([1.3, 1.1, *(1.7, 1.4, 1.4) * 2])


def nearness(pieces: Segments, n: int) -> Field:
    """Return the signed distance to the nearest piece's surface, in sides; far away ``REACH``.

    Args:
        pieces: Rows of (x, y, x, y, half of the width) on the unit square.
        n: Pixels a side.
    """
    a, b, half = pieces[:, None, None, :2], pieces[:, None, None, 2:4], pieces[:, 4, None, None]
    longest = float(np.hypot(*(pieces[:, 2:4] - pieces[:, :2]).T).max())
    p = int(np.ceil((longest + 2 * REACH) * n)) + 2
    middle = (pieces[:, :2] + pieces[:, 2:4]) / 2
    corner = np.clip(middle[:, ::-1] * n - p / 2, -p, n).astype(int)
    steps = (np.arange(p, dtype=np.float32) + 0.5) / n
    x = steps + (corner[:, 1, None, None] / n).astype(np.float32) - a[..., 0]
    y = steps[:, None] + (corner[:, 0, None, None] / n).astype(np.float32) - a[..., 1]
    ux, uy = b[..., 0] - a[..., 0], b[..., 1] - a[..., 1]
    t = np.clip((x * ux + y * uy) / np.maximum(ux * ux + uy * uy, 1e-9), 0, 1)
    distance = np.sqrt((x - t * ux) ** 2 + (y - t * uy) ** 2) - half
    return stamps(np.asarray(distance, np.float32), corner, n, far=REACH)
