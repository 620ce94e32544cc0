"""The chest oracle: measures the anatomy that a radiograph shows, from its pixels alone."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8

from fairgen.phantoms.chest_calibration import Look, calibration, estimates
from fairgen.phantoms.chest_pixels import first_readings, normalised
from fairgen.phantoms.fields import Field
from fairgen.phantoms.scaling import READING, central_square, rescaled

SIGNED = ("opacity_laterality", "opacity_height", "opacity_periphery")
"""Quantities that may be negative."""

COLOURED = 6.0
"""Mean difference of the channels from their mean, in grey levels, that makes an image coloured."""


def measure(image: UInt8[np.ndarray, "h w c"]) -> Mapping[str, float] | None:
    """Return the anatomy that an image shows, under the names that ``anatomy`` uses.

    It sees pixels only: no label, no sex, no file name. Images of any size are read at 64 pixels a
    side, after a centre crop to a square. Of colour images the mean of the channels is read; a
    channel beyond the third, or a second one, is taken for transparency.

    Args:
        image: A grey picture in one channel or three, of a phantom, generated or other.

    Returns:
        The measures, or ``None`` where the image is blank, coloured, noise, or no frontal chest.
    """
    if min(image.shape[:2]) < 16:
        return None
    planes = central_square(image)[:, :, : 3 if image.shape[2] >= 3 else 1]
    if coloured(planes):
        return None
    grey = reduced(planes)
    known = calibration()
    if not looks_like_chest(grey, known.look):
        return None
    found = estimates(first_readings(normalised(grey)), known.readers, known.breasts)
    lined = {k: known.lines[k][0] + known.lines[k][1] * v for k, v in found.items()}
    if not (0.08 < lined["lung_area"] < 0.50 and 0.2 < lined["cardiothoracic_ratio"] < 0.9):
        return None
    return {k: v if k in SIGNED else max(v, 0.0) for k, v in lined.items()}


def coloured(image: UInt8[np.ndarray, "h w c"]) -> bool:
    """Return whether the channels of an image differ by more than a faint tint."""
    values = image.astype(np.float32)
    return bool(np.abs(values - values.mean(axis=2, keepdims=True)).mean() > COLOURED)


def reduced(image: UInt8[np.ndarray, "side side c"]) -> Float[np.ndarray, "64 64"]:
    """Return the mean of the channels at the size at which the oracle reads."""
    grey = image.astype(np.float32).mean(axis=2)
    if len(grey) == READING:
        return np.asarray(grey)
    return np.asarray(rescaled(grey[None], READING)[0].astype(np.float32))


def looks_like_chest(grey: Field, look: Look) -> bool:
    """Return whether an image is like the mean chest, and varies from it only as chests do."""
    if grey.std() < 4:
        return False
    alike, unexplained = look.likeness(grey)
    return bool(alike > 0.5 and unexplained < 0.20 and textured(grey))


def textured(grey: Field) -> bool:
    """Return whether neighbouring pixels are alike, as in noise they are not."""
    across = np.corrcoef(grey[:, :-1].ravel(), grey[:, 1:].ravel())[0, 1]
    down = np.corrcoef(grey[:-1].ravel(), grey[1:].ravel())[0, 1]
    return bool(min(across, down) > 0.60)
