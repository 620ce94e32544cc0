"""The skin oracle: measures the anatomy that an image shows, from its pixels alone."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8

from fairgen.phantoms.scaling import READING, central_square, rescaled
from fairgen.phantoms.skin_calibration import calibration, estimates
from fairgen.phantoms.skin_colour import decode, encode, lab_from_pixels
from fairgen.phantoms.skin_pixels import Lab, skin_surface

SIGNED = ("ita", "redness", "darkening", "violaceous")
"""Quantities that may be negative."""


def measure(image: UInt8[np.ndarray, "h w c"]) -> Mapping[str, float] | None:
    """Return the anatomy that an image shows, under the names that ``anatomy`` uses.

    It sees pixels only: no label, no tone, no file name. Images of any size are read at 64 pixels
    a side, after a centre crop to a square.

    Args:
        image: An sRGB photograph, of a phantom, generated or other.

    Returns:
        The measures, or ``None`` where the image is blank, noise, or does not look like skin.
    """
    if image.shape[2] != 3 or min(image.shape[:2]) < 16:
        return None
    lab = lab_from_pixels(reduced(image))
    surface, spread = skin_surface(lab)
    if not looks_like_skin(lab, surface, spread):
        return None
    known = calibration()
    found = estimates(lab, surface, known.reader)
    lined = {k: known.lines[k][0] + known.lines[k][1] * v for k, v in found.items()}
    return {k: v if k in SIGNED else max(v, 0.0) for k, v in lined.items()}


def reduced(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "64 64 3"]:
    """Return the central square at the size at which the oracle reads."""
    square = central_square(image)
    if len(square) == READING:
        return square
    linear = decode(square.astype(np.float32).transpose(2, 0, 1) / 255)
    small = encode(rescaled(linear, READING))
    return np.asarray(np.rint(255 * small).astype(np.uint8).transpose(1, 2, 0))


def looks_like_skin(lab: Lab, surface: Lab, spread: Float[np.ndarray, " 3"]) -> bool:
    """Return whether most of an image is a smooth surface of a colour that skin can have."""
    lightness, a, b = surface.mean(axis=(1, 2))
    hue, chroma = np.degrees(np.arctan2(b, a)), np.hypot(a, b)
    colour = 20 < hue < 85 and 8 < chroma < 42 and 14 < lightness < 94
    slope = np.ptp(surface, axis=(1, 2))
    even = np.all(spread < (5.5, 5.2, 4.0)) and np.all(slope < (48, 20, 20))
    return bool(colour and even and textured(lab))


def textured(lab: Lab) -> bool:
    """Return whether lightness varies, but not independently from pixel to pixel."""
    lightness = lab[0]
    if lightness.std() < 0.4:
        return False
    across = np.corrcoef(lightness[:, :-1].ravel(), lightness[:, 1:].ravel())[0, 1]
    down = np.corrcoef(lightness[:-1].ravel(), lightness[1:].ravel())[0, 1]
    return bool(min(across, down) > 0.30)
