"""Reads each pixel of a radiograph: what does it show, by its grey, its surroundings, its place?"""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from fairgen.phantoms.chest_truth import Shares, places
from fairgen.phantoms.fields import Field, axis

Readings = Float[np.ndarray, "_ n n"]


def normalised(grey: Field) -> Field:
    """Return an image whose dark is about -1 and whose bright is about 1, whatever its exposure."""
    n = len(grey)
    middle = grey[n // 8 : -n // 8, n // 8 : -n // 8]
    low, high = np.percentile(middle, (8, 92))
    relative = (grey - (low + high) / 2) / max((high - low) / 2, 4.0)
    return np.asarray(np.clip(relative, -2, 2).astype(np.float32))


def first_readings(grey: Field) -> Readings:
    """Return what surrounds each pixel of a normalised image, and where in the image it is.

    The grey at five scales, slopes, fine contrast, the mean grey of all that lies above, below,
    right and left, how the mirrored image differs, and products of these with the place.
    """
    u = 2 * axis(len(grey)) - 1
    x, y = (np.ascontiguousarray(m) for m in np.meshgrid(u, u))
    scales = [grey, *(gaussian_filter(grey, s) for s in (1.0, 2.0, 4.0, 8.0))]
    near, mid = scales[1], scales[2]
    slopes = [*np.gradient(near), *np.gradient(mid), *np.gradient(scales[3])]
    rough = np.sqrt(gaussian_filter((grey - mid) ** 2, 1.5) + 1e-4)
    other = mid[:, ::-1] - mid
    context = [*_passed(near), *(m[::-1, ::-1] for m in _passed(near[::-1, ::-1]))]
    sided = np.abs(x)
    spot = [x, y, sided, x * y, x**2, y**2, sided * y, y**3, sided**3, x**2 * y, sided * y**2]
    greys = [*scales, *context, other]
    waves = [np.cos(np.pi * k * m) for k in (1, 2) for m in (x, y)]
    products = [g * p for g in (near, mid, scales[3], *context) for p in (x, y, sided, y * y)]
    squares = [near**2, mid**2, scales[3] ** 2, other**2, near * mid, mid * scales[4]]
    return np.stack(
        [*greys, *slopes, rough, near - mid, *squares, *spot, *waves, *products, other * x]
    ).astype(np.float32)


def _passed(grey: Field) -> tuple[Field, Field]:
    """Return the mean grey of all pixels down to each pixel, and of those to its left."""
    n = len(grey)
    count = np.arange(1, n + 1, dtype=np.float32)
    return np.cumsum(grey, axis=0) / count[:, None], np.cumsum(grey, axis=1) / count


def second_readings(first: Readings, shares: Shares) -> Readings:
    """Return the readings beside what a first glance saw there and around, and where in the thorax.

    Args:
        first: The readings of the first glance.
        shares: What it took each pixel for.
    """
    across, up, _ = places(shares[:5].sum(axis=0))
    across, up, sided = np.clip(across, -2, 2), np.clip(up, -2, 2), np.abs(np.clip(across, -2, 2))
    wide, far = (gaussian_filter(shares[:5], (0, s, s)) for s in (2.0, 5.0))
    opposite = far[:3, :, ::-1]
    spot = [across, up, sided, sided * up, up**2, sided**2, up**3, sided**3, sided * up**2]
    greys = against_lung(first[:4], shares)
    products = [g * p for g in greys[1:] for p in (1, up, sided, sided * up, up**2, sided**2)]
    products += [m * p for m in wide[:3] for p in (up, sided)]
    levels = [np.tanh(4 * (g - t)) for g in greys[1:3] for t in (0.15, 0.4, 0.65, 0.9)]
    products += [m * p for m in levels for p in (1, up, sided)]
    return np.concatenate([first, shares[:5], wide, far, opposite, np.stack([*spot, *products])])


def against_lung(greys: Readings, shares: Shares) -> Readings:
    """Return greys on a scale where clear lung is 0 and the heart is 1."""
    clear, heart = shares[3] ** 2, shares[4] ** 2
    dark = float((clear * greys[2]).sum() / max(float(clear.sum()), 1.0))
    bright = float((heart * greys[2]).sum() / max(float(heart.sum()), 1.0))
    return np.asarray(np.clip((greys - dark) / max(bright - dark, 0.3), -1, 2))
