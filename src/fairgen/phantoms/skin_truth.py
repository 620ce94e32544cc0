"""The true anatomy of a skin phantom, read from its drawing before light and camera."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.scaling import READING, area_weights, canvas
from fairgen.phantoms.skin_anatomy import Lesion, Person
from fairgen.phantoms.skin_render import draw, scene
from fairgen.phantoms.skin_sheet import Sheet

SIGNS = ("vesicles", "vessels", "crust", "ulcer", "scale", "papules", "lesion", "skin")
"""What a pixel may show, the uppermost first; ``lesion`` is a plaque with nothing on it."""

Shares = Float[np.ndarray, "8 n n"]


def visible(sheet: Sheet) -> Shares:
    """Return which share of each pixel shows each sign; the shares of a pixel sum to 1."""
    n = sheet.side
    rest = np.ones((n, n), np.float32)
    shares = []
    for name in SIGNS[:-1]:
        shares.append(rest * np.clip(sheet.signs.get(name, np.zeros_like(rest)), 0, 1))
        rest = rest - shares[-1]
    smaller = area_weights(n, READING)
    return np.asarray(smaller @ np.stack([*shares, rest]) @ smaller.T)


def anatomy(specimen: Specimen) -> Mapping[str, float]:
    """Return the true anatomy of a specimen, under the names that ``measure`` uses.

    ``ita`` is in degrees; ``lesion_area`` a share of the image; ``redness``, ``darkening`` and
    ``violaceous`` are the lesion's differences in CIELAB (+a*, -L*, -b*) from the skin around;
    ``scale``, ``crust``, ``ulceration`` and ``telangiectasia`` are shares of the lesion;
    ``border_sharpness`` is the mean slope of the border, per side of the image; the rest counts.
    """
    patient, lesion, _ = scene(specimen)
    return described(patient, lesion, draw(specimen, patient, lesion, canvas(READING)))


def described(patient: Person, lesion: Lesion, sheet: Sheet) -> dict[str, float]:
    """Return the anatomy of a patient and a lesion that are drawn on a sheet."""
    smaller = area_weights(sheet.side, READING)
    lab = smaller @ sheet.lab @ smaller.T
    shares = visible(sheet)
    healthy = (lab * shares[-1]).sum(axis=(1, 2)) / max(float(shares[-1].sum()), 1.0)
    change = contrast(lab - healthy[:, None, None], shares)
    return {
        "ita": patient.ita,
        **areas(shares),
        **change,
        "border_sharpness": sharpness(1 - shares[-1]),
        "papule_count": float(len(lesion.papules)),
        "vesicle_count": float(len(lesion.vesicles)),
    }


def areas(shares: Shares) -> dict[str, float]:
    """Return the lesion's share of the image and the signs' shares of the lesion."""
    mass = dict(zip(SIGNS, shares.mean(axis=(1, 2)), strict=True))
    whole = float(1 - mass["skin"])
    part = {name: float(mass[name]) / max(whole, 1e-3) for name in SIGNS}
    return {
        "lesion_area": whole,
        "scale": part["scale"],
        "crust": part["crust"],
        "ulceration": part["ulcer"],
        "telangiectasia": part["vessels"],
    }


def contrast(change: Float[np.ndarray, "3 n n"], shares: Shares) -> dict[str, float]:
    """Return how plaque and papules differ in colour from the skin; zero where there are none."""
    weight = shares[SIGNS.index("papules")] + shares[SIGNS.index("lesion")]
    total = max(float(weight.sum()), 8.0)
    lightness, a, b = (float((weight * c).sum()) / total for c in change)
    return {"redness": a, "darkening": -lightness, "violaceous": -b}


def sharpness(lesion: Float[np.ndarray, "n n"], blur: float = 1.0) -> float:
    r"""Return the mean slope of a border, $\int|\nabla m|^2 / \int|\nabla m|$, per side.

    A border of logistic profile and width $s$, much wider than the blur, has $1 / 6s$.

    Args:
        lesion: The lesion's share of each pixel, in [0, 1].
        blur: Smoothing before slopes are taken, in pixels.
    """
    slope = np.hypot(*np.gradient(gaussian_filter(lesion, blur), 1 / len(lesion)))
    total = float(slope.sum())
    return float((slope * slope).sum()) / total if total > 1 else 0.0
