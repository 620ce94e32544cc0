"""Sizes of images: what is drawn larger and averaged, and the one size at which oracles read."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8

from fairgen.errors import CohortError

READING = 64
"""Pixels a side at which anatomy is read, whatever the size of the image."""


SIZES = (32, 512)
"""Smallest and largest side of a phantom in pixels."""


def canvas(size: int) -> int:
    """Return how many pixels a side are drawn, before averaging, for an image of ``size``.

    Raises:
        CohortError: If no phantom is drawn at this size.
    """
    if not SIZES[0] <= size <= SIZES[1]:
        raise CohortError(f"size: found {size}; expected {SIZES[0]} to {SIZES[1]} pixels")
    return max(96, size * 3 // 2) if size <= 128 else size


@lru_cache(maxsize=16)
def area_weights(n: int, size: int) -> Float[np.ndarray, "size n"]:
    """Return the share of each of ``n`` fine pixels in each of ``size`` coarse ones, in a row."""
    edges = np.arange(size + 1) * (n / size)
    low, high = np.arange(n), np.arange(1, n + 1)
    overlap = np.minimum(edges[1:, None], high) - np.maximum(edges[:-1, None], low)
    return np.asarray((np.clip(overlap, 0, None) * (size / n)).astype(np.float32))


@lru_cache(maxsize=16)
def stretch(side: int, size: int) -> Float[np.ndarray, "size side"]:
    """Return the weights that interpolate a row of ``side`` pixels at a larger size."""
    place = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1)
    return np.asarray(
        np.clip(1 - np.abs(place[:, None] - np.arange(side)), 0, 1).astype(np.float32)
    )


def rescaled(planes: Float[np.ndarray, "c n n"], size: int) -> Float[np.ndarray, "c size size"]:
    """Return planes at another size: averaged if smaller, interpolated if larger."""
    side = planes.shape[1]
    weights = area_weights(side, size) if side > size else stretch(side, size)
    return np.asarray(weights @ planes @ weights.T)


def central_square(image: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "side side c"]:
    """Return the largest square in the middle of an image."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]
