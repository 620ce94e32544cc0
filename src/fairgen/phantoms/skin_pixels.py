"""Reads each pixel of a skin image: what sign of a lesion does it show?"""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

Lab = Float[np.ndarray, "3 n n"]
Table = Float[np.ndarray, "rows _"]


def skin_surface(lab: Lab, rounds: int = 5) -> tuple[Lab, Float[np.ndarray, " 3"]]:
    """Return the colour that healthy skin has at each pixel, and how much it varies there.

    A surface, quadratic in lightness and plane in colour, is fitted; pixels that differ (the
    lesion) lose their say, and those near the image's border have more of it.

    Args:
        lab: CIELAB of the image.
        rounds: Number of fits, each with the weights that the last one's residuals give.

    Returns:
        The surface, and the robust standard deviation of each channel around it.
    """
    n = lab.shape[1]
    u = np.linspace(-1, 1, n)
    x, y = (m.ravel() for m in np.meshgrid(u, u))
    basis = np.stack([np.ones(n * n), x, y, x * x, x * y, y * y], axis=1)
    outward = 0.25 + np.maximum(np.abs(x), np.abs(y)) ** 2
    values = gaussian_filter(lab, (0, 1, 1)).reshape(3, -1).T.astype(np.float64)
    weight, spread = outward, np.ones(3)
    fitted = values
    for _ in range(rounds):
        lightness = _least_squares(basis, values[:, :1], weight)
        colour = _least_squares(basis[:, :3], values[:, 1:], weight)
        fitted = np.column_stack([lightness, colour])
        off = np.abs(values - fitted)
        spread = np.clip(1.48 * np.median(off, axis=0), (1.0, 0.6, 0.6), (8.0, 6.0, 6.0))
        weight = outward / (1 + (np.sum((off / spread) ** 2, axis=1) / 9) ** 2)
    return fitted.T.reshape(lab.shape).astype(np.float32), spread


def _least_squares(basis: Table, values: Table, weight: np.ndarray) -> Table:
    """Return the weighted least-squares fit of each column of the values."""
    moment = basis.T @ (basis * weight[:, None]) + 1e-6 * np.eye(basis.shape[1])
    return basis @ np.linalg.solve(moment, basis.T @ (values * weight[:, None]))


def readings(lab: Lab, surface: Lab) -> Float[np.ndarray, "k n n"]:
    """Return what the neighbourhood of each pixel looks like, relative to the skin around.

    Differences in colour at four scales, their squares, local contrast, thin lines, and how the
    differences depend on the skin's own lightness.
    """
    change = (lab - surface) / 10
    near, wide, far, all_about = (gaussian_filter(change, (0, s, s)) for s in (0.8, 1.6, 3.2, 6.5))
    detail = np.stack([near - wide, wide - far]).reshape(6, *lab.shape[1:])
    tone = ((surface[0] - 50) / 20)[None]
    rough = np.sqrt(gaussian_filter((change - wide) ** 2, (0, 1.2, 1.2)) + 1e-4)
    lines = np.stack([_ridges(near[0]), _ridges(near[1])])
    shared = np.concatenate([change, near, far, all_about])
    return np.concatenate(
        [
            *(shared, wide, np.tanh(2 * wide), tone, tone**2, tone * shared[3:]),
            *(near**2, near[:2] * near[1:], np.abs(near)),
            *(detail * np.abs(detail), rough, lines),
        ]
    )


def _ridges(field: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Return the larger principal curvature's size: high on thin lines, signed by its direction."""
    dy, dx = np.gradient(field)
    yy, yx = np.gradient(dy)
    xx = np.gradient(dx, axis=1)
    middle, half = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    return np.asarray(middle + np.where(middle < 0, -half, half))
