"""Reads each pixel of a brain image: which tissue does it show?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import (
    binary_fill_holes,
    distance_transform_edt,
    gaussian_filter,
    gaussian_laplace,
    label,
)

Grey = Float[np.ndarray, "n n"]
Readings = Float[np.ndarray, "k n n"]

BRIGHTEST = 95
"""Percentile of the whole image that stands for its brightest tissue."""


@dataclass(frozen=True)
class Frame:
    """Holds where the head lies in an image.

    Attributes:
        mask: What is within the outline.
        x: Place to the side of the middle line, in standard deviations of the mask.
        y: Place backwards of the middle.
        aspect: Length over width.
        middle: Column and row of the middle.
        turn: Rotation of the head.
        white: Brightness that white matter has at each pixel.
    """

    mask: Bool[np.ndarray, "n n"]
    x: Grey
    y: Grey
    aspect: float
    middle: tuple[float, float]
    turn: float
    white: Grey


def outline(grey: Grey) -> Bool[np.ndarray, "n n"]:
    """Return the largest bright region, without holes."""
    top = float(np.percentile(grey, BRIGHTEST))
    parts, count = label(gaussian_filter(grey, 0.7) > 0.11 * top)
    if count == 0:
        return np.zeros(grey.shape, bool)
    largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return np.asarray(binary_fill_holes(parts == largest))


def frame(grey: Grey) -> Frame | None:
    """Return where the head lies, or ``None`` where there is next to nothing."""
    mask = outline(grey)
    if mask.sum() < 0.1 * mask.size:
        return None
    rows, columns = np.nonzero(mask)
    middle = (float(columns.mean()), float(rows.mean()))
    turn = _tilt(columns, rows)
    across, down = np.arange(len(grey)) - middle[0], (np.arange(len(grey)) - middle[1])[:, None]
    c, s = np.cos(turn), np.sin(turn)
    x, y = (across * c - down * s).astype(np.float32), (across * s + down * c).astype(np.float32)
    wide, tall = float(x[mask].std()) + 1e-6, float(y[mask].std()) + 1e-6
    x, y = x / np.float32(wide), y / np.float32(tall)
    return Frame(mask, x, y, tall / wide, middle, turn, white_matter(grey, mask, x, y))


def _tilt(columns: np.ndarray, rows: np.ndarray) -> float:
    """Return the angle between a region's long axis and the vertical; large ones are not heads'."""
    spread = np.cov(np.stack([columns, rows])) + 1e-6 * np.eye(2)
    long = np.linalg.eigh(spread)[1][:, 1]
    return float(np.clip(np.arctan(long[0] / (long[1] + 1e-9)), -0.22, 0.22))


def white_matter(
    grey: Grey, mask: Bool[np.ndarray, "n n"], x: Grey, y: Grey, rounds: int = 4
) -> Grey:
    """Return a smooth surface through the white matter: the brighter half, then what is near it.

    Args:
        grey: The image.
        mask: What is within the outline.
        x: Place to the side.
        y: Place backwards.
        rounds: Number of fits.
    """
    basis = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)
    values = gaussian_filter(grey, 0.5)
    fitted = np.full_like(grey, np.percentile(grey[mask], 75))
    for _ in range(rounds):
        ratio = values / np.maximum(fitted, 1)
        chosen = mask & (ratio > 0.9) & (ratio < 1.35)
        rows = basis[chosen].astype(np.float64)
        penalty = np.diag([0, 1, 1, 1, 1, 1]) * 0.02 * max(len(rows), 1)
        moment = rows.T @ rows + penalty + 1e-3 * np.eye(6)
        fitted = (basis @ np.linalg.solve(moment, rows.T @ grey[chosen])).astype(np.float32)
    typical = max(float(np.median(fitted[mask])), 1.0)
    return np.asarray(np.clip(fitted, 0.6 * typical, 1.6 * typical))


def readings(grey: Grey, head: Frame) -> Readings:
    """Return what the neighbourhood of each pixel looks like, and where in the head it lies.

    Brightness at three scales, how like fluid, cortex and lesion it is, curvature and roughness;
    all of it again by place, and by how sharp the image is.
    """
    level = np.clip(grey / head.white, 0, 1.5)
    near, wide, far = (gaussian_filter(level, s) for s in (0.7, 1.4, 3.0))
    dark = 1 / (1 + np.exp((near - 0.45) / 0.07))
    pale, dim = np.exp(-(((near - 0.72) / 0.11) ** 2)), np.exp(-(((near - 0.6) / 0.09) ** 2))
    pool = gaussian_filter(dark, 1.2) ** 2
    bright = np.tanh(3 * wide - 2)
    seen = np.stack([level, near, wide, far, near**2, dark, pale, dim, pool, bright])
    bend = np.stack([-gaussian_laplace(level, s) * s * s for s in (0.8, 1.4, 2.4)])
    rough = np.sqrt(gaussian_filter((level - wide) ** 2, 1.5) + 1e-5)[None]
    where = place(head)
    by_place = [kind * where for kind in (dark, pale, dim, pool, far)]
    focus = np.float32(sharpness(level, head))
    by_focus = [focus * seen, focus**2 * seen, focus * bend, np.full_like(rough, focus)]
    shared = [seen, bend, np.abs(bend), rough, where, dim * bend, (dim * far)[None]]
    return np.asarray(np.concatenate([*shared, *by_place, *by_focus]), np.float32)


def place(head: Frame) -> Readings:
    """Return where each pixel lies: a cubic in |x| and y, and the depth below the outline."""
    x, y = np.clip(np.abs(head.x), 0, 3), np.clip(head.y, -3, 3)
    depth = np.asarray(distance_transform_edt(head.mask)) / len(x)
    powers = [x, y, x * x, x * y, y * y, x**3, x * y * y, x * x * y, y**3]
    return np.asarray(np.stack([*powers, depth, np.exp(-depth / 0.03)]), np.float32)


def sharpness(level: Grey, head: Frame) -> float:
    """Return how sharp the outline is: its mean slope, about 0 (blurred) to 1 (a pixel wide)."""
    depth = gaussian_filter(head.mask.astype(np.float32), 2.0)
    edge = (depth > 0.1) & (depth < 0.8)
    slope = np.hypot(*np.gradient(gaussian_filter(level, 0.4)))[edge]
    return float((slope**2).sum() / (slope.sum() + 1e-3)) * 3 - 0.7
