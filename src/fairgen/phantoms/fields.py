"""Random fields and small marks on the unit square, alike at every resolution."""

from functools import lru_cache
from math import sqrt

import numpy as np
from jaxtyping import Float
from scipy.special import expit

Field = Float[np.ndarray, "n n"]
Marks = Float[np.ndarray, "_ _"]


@lru_cache(maxsize=16)
def axis(n: int) -> Float[np.ndarray, " n"]:
    """Return the pixel centres of one side of the unit square."""
    return ((np.arange(n) + 0.5) / n).astype(np.float32)


@lru_cache(maxsize=128)
def _spline(n: int, cells: int) -> Float[np.ndarray, "n knots"]:
    """Return the weights of cubic B-splines on ``cells`` intervals at the pixel centres."""
    knots = np.arange(-1, cells + 2)
    u = np.abs(axis(n)[:, None] * cells - knots)
    inner = 2 / 3 - u * u * (1 - u / 2)
    return np.where(u < 1, inner, np.clip(2 - u, 0, None) ** 3 / 6).astype(np.float32)


def noise(rng: np.random.Generator, n: int, cells: int) -> Field:
    """Return a smooth random field of about unit variance; flat where pixels cannot show it.

    Args:
        rng: Source of randomness; it advances by the same amount at every resolution.
        n: Pixels a side.
        cells: Bumps a side.
    """
    knots = rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)
    if 2 * cells > n:
        return np.zeros((n, n), np.float32)
    spline = _spline(n, cells)
    return np.asarray(2.1 * (spline @ knots @ spline.T))


def fractal(rng: np.random.Generator, n: int, first: int, octaves: int, fade: float) -> Field:
    """Return the sum of octaves of noise, each doubled in frequency, ``fade`` times as strong."""
    parts = [fade**i * noise(rng, n, first << i) for i in range(octaves)]
    return np.asarray(np.sum(parts, axis=0) / sqrt(sum(fade ** (2 * i) for i in range(octaves))))


def cellular(rng: np.random.Generator, x: Field, y: Field, cells: int) -> tuple[Field, Field]:
    """Return a random mosaic: the distance to its seams, and a random value in [0, 1] of each tile.

    Each pixel looks at the four nearest of one jittered seed a tile, which a seam now and then
    shows by a small jump.

    Args:
        rng: Source of randomness.
        x: Horizontal place in the unit square (it may be warped).
        y: Vertical place.
        cells: Tiles a side.
    """
    wide = cells + 5
    jitter = rng.uniform(0.1, 0.9, (2, wide, wide)).astype(np.float32)
    seed_x = (jitter[0] + np.arange(wide, dtype=np.float32)).ravel()
    seed_y = (jitter[1] + np.arange(wide, dtype=np.float32)[:, None]).ravel()
    value = rng.random(wide * wide, dtype=np.float32)
    px, py = x * np.float32(cells) + 2, y * np.float32(cells) + 2
    column = np.clip((px - 0.5).astype(np.int32), 0, wide - 2)
    row = np.clip((py - 0.5).astype(np.int32), 0, wide - 2)
    corner = row * wide + column
    nearest = np.full(x.shape, 99.0, np.float32)
    second, owner = nearest, corner
    for offset in (0, 1, wide, wide + 1):
        index = corner + offset
        d = np.square(seed_x.take(index) - px) + np.square(seed_y.take(index) - py)
        second = np.minimum(second, np.maximum(nearest, d))
        owner = np.where(d < nearest, index, owner)
        nearest = np.minimum(nearest, d)
    return np.sqrt(second) - np.sqrt(nearest), value.take(owner)


def dots(marks: Marks, n: int) -> Field:
    """Return the sum of Gaussian dots, each of its own size and strength.

    A dot smaller than a pixel keeps its energy, not its height.

    Args:
        marks: Rows of (x, y, standard deviation, height) on the unit square.
        n: Pixels a side.
    """
    x, y, sigma, height = marks.T.astype(np.float32)
    blurred = np.hypot(sigma, 0.45 / n)
    u = np.exp(-0.5 * ((axis(n)[:, None] - x) / blurred) ** 2)
    v = np.exp(-0.5 * ((axis(n)[:, None] - y) / blurred) ** 2)
    return np.asarray((v * (height * sigma / blurred)) @ u.T)


def strokes(marks: Marks, n: int) -> Field:
    """Return how much of each pixel is covered by lines drawn as chains of dots, in [0, 1]."""
    return np.asarray(1 - np.exp(-dots(marks, n)))


def stamps(distance: Float[np.ndarray, "m p p"], corner: np.ndarray, n: int, far: float) -> Field:
    """Return the smallest of many local distance maps, ``far`` where there is none."""
    p = distance.shape[1]
    canvas = np.full((n + 2 * p, n + 2 * p), far, np.float32)
    for patch, (row, column) in zip(distance, corner + p, strict=True):
        window = canvas[row : row + p, column : column + p]
        np.minimum(window, patch, out=window)
    return canvas[p : p + n, p : p + n]


def discs(marks: Marks, n: int) -> Field:
    """Return the signed distance to the nearest disc over its radius: -1 at a centre, 0 at a rim.

    Args:
        marks: Rows of (x, y, radius).
        n: Pixels a side.
    """
    dx, dy, corner = _windows(marks, n)
    return stamps(np.hypot(dx, dy) - 1, corner, n, far=1.0)


def polygons(
    marks: Marks, turns: Float[np.ndarray, "m sides"], reach: Float[np.ndarray, "m sides"], n: int
) -> Field:
    """Return the signed distance to the nearest convex polygon over its radius; see ``discs``.

    Args:
        marks: Rows of (x, y, radius).
        turns: Direction of each side's normal, in radians.
        reach: Distance of each side from the centre, in radii.
        n: Pixels a side.
    """
    dx, dy, corner = _windows(marks, n)
    normal = np.stack([np.cos(turns), np.sin(turns)])[..., None, None].astype(np.float32)
    sides = dx[:, None] * normal[0] + dy[:, None] * normal[1]
    sides -= reach[..., None, None].astype(np.float32)
    return stamps(sides.max(axis=1), corner, n, far=1.0)


def _windows(marks: Marks, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the offsets from each mark's centre, in radii, in a window, and its corner."""
    x, y, radius = marks[:, :3].T
    p = int(np.ceil(3.2 * radius.max() * n)) + 2
    corner = np.clip(np.stack([y, x], axis=1) * n - p / 2, -p, n).astype(int)
    steps = np.arange(p) + 0.5
    dy = ((corner[:, :1] + steps) / n - y[:, None]) / radius[:, None]
    dx = ((corner[:, 1:] + steps) / n - x[:, None]) / radius[:, None]
    shape = (len(marks), p, p)
    wide = np.broadcast_to(dx[:, None, :], shape).astype(np.float32)
    high = np.broadcast_to(dy[:, :, None], shape).astype(np.float32)
    return wide, high, corner


def step(distance: Field, soft: float) -> Field:
    """Return 1 inside (negative distance), 0 outside, with an edge about ``soft`` wide."""
    return expit(np.clip(-distance / soft, -30, 30))
