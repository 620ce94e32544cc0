"""The true anatomy of a chest phantom, read from its drawing before the film is exposed."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from fairgen.phantoms.chest_anatomy import View
from fairgen.phantoms.chest_render import Film, draw, placed, scene
from fairgen.phantoms.fields import Field, axis
from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.scaling import READING, area_weights, canvas

SIGNS = ("effusion", "opacity", "haze", "lung", "heart", "rest")
"""What a pixel may show; the first four are the lung field, the first five the thorax."""

Shares = Float[np.ndarray, "6 n n"]


def visible(film: Film, camera: View) -> Shares:
    """Return which share of each pixel shows each sign; the shares of a pixel sum to 1."""
    organs, signs = film.frame, film.signs
    within = np.clip(20 * organs.height, 0, 1)
    heart = organs.heart * within
    lung = organs.lungs * (1 - heart)
    shares = []
    for name in SIGNS[:3]:
        shares.append(lung * signs[name])
        lung = lung - shares[-1]
    maps = np.stack([seen(part, camera) for part in (*shares, lung, heart)])
    return np.concatenate([maps, 1 - maps.sum(axis=0, keepdims=True)])


def seen(part: Field, camera: View) -> Float[np.ndarray, "64 64"]:
    """Return a map as the view shows it, at the size at which it is read."""
    smaller = area_weights(len(part), READING)
    return np.asarray(smaller @ placed(part.astype(np.float32), camera) @ smaller.T)


def anatomy(specimen: Specimen) -> Mapping[str, float]:
    """Return the true anatomy of a specimen, under the names that ``measure`` uses.

    ``effusion_left`` and ``effusion_right`` are shares of the lung's height, the others shares of
    the lung fields: see ``measures``.
    """
    patient, findings, camera = scene(specimen)
    film = draw(specimen, patient, findings, camera, canvas(READING))
    return described(film, camera)


def described(film: Film, camera: View) -> dict[str, float]:
    """Return the anatomy that is drawn on a film."""
    return measures(visible(film, camera), seen(film.signs["breast"], camera))


def measures(shares: Shares, breast: Field) -> dict[str, float]:
    """Return the anatomy that maps of signs show; where there is nothing it is zero.

    The site of opacities is the sum of a weight over them, as a share of the lung fields: the
    weight is 1 on the left and -1 on the right, 1 at the top and -1 at the bottom, 1 at the ribs
    and -1 in the middle.
    """
    lungs, thorax = shares[:4].sum(axis=0), shares[:5].sum(axis=0)
    effusion, opacity, haze = shares[:3]
    across, up, width = places(thorax)
    whole = max(float(lungs.sum()), 1.0)
    left = np.clip(len(lungs) * width * across + 0.5, 0, 1)
    side = np.clip(4 * across, -1, 1)
    outward = np.clip((np.abs(across) - 0.6) / 0.35, -1, 1)
    root = np.exp(-(((np.abs(across) - 0.3) / 0.25) ** 2) - (up / 0.6) ** 2)
    return {
        "effusion_left": filled(effusion * left, lungs * left),
        "effusion_right": filled(effusion * (1 - left), lungs * (1 - left)),
        "opacity_extent": float(opacity.sum()) / whole,
        "opacity_laterality": float((side * opacity).sum()) / whole,
        "opacity_height": float((up * opacity).sum()) / whole,
        "opacity_periphery": float((outward * opacity).sum()) / whole,
        "perihilar_index": float((root * haze).sum()) / max(float((root * lungs).sum()), 1.0),
        "breast_shadow": float(breast.mean()),
        "cardiothoracic_ratio": widest(shares[4]) / max(widest(thorax), 0.1),
        "lung_area": whole / lungs.size,
    }


def places(thorax: Field) -> tuple[Field, Field, float]:
    """Return coordinates in the thorax, and half its width as a share of the side.

    The first is -1 at the right ribs and 1 at the left ones, the second 1 at the top and -1 at the
    bottom.
    """
    n = len(thorax)
    u = axis(n)
    total = max(float(thorax.sum()), 1e-3)
    centre = float((thorax.sum(axis=0) * u).sum()) / total
    half = max(widest(thorax) / 2, 0.05)
    rows = np.cumsum(thorax.sum(axis=1)) / total
    top, bottom = np.interp((0.02, 0.98), rows, u)
    across = np.broadcast_to(((u - centre) / half)[None, :], thorax.shape)
    up = 1 - 2 * (u - top) / max(bottom - top, 0.05)
    return (
        across.astype(np.float32),
        np.broadcast_to(up[:, None], thorax.shape).astype(np.float32),
        float(half),
    )


def widest(part: Field) -> float:
    """Return the greatest width of a map, as a share of the side."""
    return float(gaussian_filter1d(part.mean(axis=1), 1.5).max())


def filled(part: Field, whole: Field) -> float:
    """Return the share of a map's height that its part takes, a row counting as it is filled."""
    there, full = part.sum(axis=1), whole.sum(axis=1)
    rows = np.clip(full / 2, 0, 1)
    return float((rows * there / np.maximum(full, 0.5)).sum() / max(float(rows.sum()), 1.0))
