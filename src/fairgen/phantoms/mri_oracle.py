"""The brain oracle: measures the anatomy that an image shows, from its pixels alone."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter, map_coordinates

from fairgen.phantoms.mri_calibration import calibration, estimates, traces
from fairgen.phantoms.mri_pixels import Frame, Grey, frame, readings
from fairgen.phantoms.scaling import READING, central_square, rescaled

COLOURED = 6.0
"""Mean difference of the channels from their mean, in grey levels, above which there is colour."""

STRANGE = 3.0
"""Distance from the phantoms' traces, in those of a usual phantom, above which it is no brain."""


def measure(image: UInt8[np.ndarray, "h w c"]) -> Mapping[str, float] | None:
    """Return the anatomy that an image shows, under the names that ``anatomy`` uses.

    It sees pixels only: no label, no age, no file name. Images of any size are read at 64 pixels a
    side, after a centre crop to a square.

    Args:
        image: A slice of a phantom, generated or other: grey, or of three channels nearly alike.

    Returns:
        The measures, or ``None`` where the image is blank, noise, coloured, or does not look like
        a skull-stripped axial slice on a dark ground.
    """
    if image.shape[2] not in (1, 3) or min(image.shape[:2]) < 16:
        return None
    planes = reduced(image)
    grey = planes.mean(axis=0)
    if np.abs(planes - grey).mean() > COLOURED:
        return None
    head = frame(grey)
    if head is None or not looks_like_brain(grey, head):
        return None
    known = calibration()
    shares = known.reader.shares(readings(grey, head))
    row = traces(grey, head, shares)
    if known.usual.strangeness(row) > STRANGE:
        return None
    found = estimates(row, known.slopes)
    lined = {k: known.lines[k][0] + known.lines[k][1] * v for k, v in found.items()}
    return {k: max(v, 0.0) for k, v in lined.items()}


def reduced(image: UInt8[np.ndarray, "h w c"]) -> Float[np.ndarray, "c 64 64"]:
    """Return the channels of the central square at the size at which the oracle reads."""
    planes: np.ndarray = central_square(image).astype(np.float32).transpose(2, 0, 1)
    return planes if planes.shape[1] == READING else rescaled(planes, READING)


def looks_like_brain(grey: Grey, head: Frame) -> bool:
    """Return whether an image shows an oval, alike on both sides, of dark and bright tissue."""
    level = np.clip(grey / head.white, 0, 1.5)
    return bool(
        1.0 < head.aspect < 1.5
        and oval(head) > 0.90
        and level[~head.mask].mean() < 0.12
        and varied(level[head.mask])
        and symmetry(level, head) > 0.25
    )


def oval(head: Frame) -> float:
    """Return the overlap (intersection over union) of the outline with an ellipse."""
    ellipse = np.hypot(head.x, head.y) < 2
    return float((head.mask & ellipse).sum() / max((head.mask | ellipse).sum(), 1))


def varied(inside: Float[np.ndarray, " pixels"]) -> bool:
    """Return whether there is fluid, cortex and white matter: dark, middling and bright pixels."""
    bright, dark = np.mean(inside > 0.85), np.mean(inside < 0.55)
    return bool(0.1 < bright < 0.75 and 0.05 < dark < 0.7 and inside.std() > 0.15)


def symmetry(level: Grey, head: Frame) -> float:
    """Return how alike both sides are: the correlation of the inside with its mirror image."""
    smooth = gaussian_filter(level, 1.5)
    across = np.arange(len(level)) - head.middle[0]
    down = (np.arange(len(level)) - head.middle[1])[:, None]
    c, s = np.cos(2 * head.turn), np.sin(2 * head.turn)
    columns = head.middle[0] - across * c + down * s
    rows = head.middle[1] + across * s + down * c
    mirrored = map_coordinates(smooth, [rows, columns], order=1, mode="nearest")
    inside = np.hypot(head.x, head.y) < 1.8
    if smooth[inside].std() < 1e-3:
        return 0.0
    return float(np.corrcoef(smooth[inside], mirrored[inside])[0, 1])
