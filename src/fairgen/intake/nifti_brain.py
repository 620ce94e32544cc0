"""Where a brain is largest: the largest bright body of a volume, once thin bridges are cut."""

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

GRID = 3.0
BRIDGE = 6.0


def largest_slice(
    volume: Float32[np.ndarray, "x y z"], spacing: tuple[float, float, float], across: int
) -> int:
    """Return the number of the slice in which the brain covers most.

    The volume is thinned to about 3 mm; Otsu's threshold parts tissue from air and bone; what is
    thinner than 12 mm (scalp, neck muscles, meninges) is worn off; the largest body that stays is
    grown back and counted slice by slice. It is a rule of thumb for T1-weighted heads, with or
    without skull.

    Args:
        volume: Finite values, not all alike.
        spacing: Distance of voxels along each axis in millimetres.
        across: Axis that slices are perpendicular to.
    """
    steps = [max(1, int(GRID // s)) for s in spacing]
    thin = volume[:: steps[0], :: steps[1], :: steps[2]]
    wide = [s * n for s, n in zip(spacing, steps, strict=True)]
    body = largest_body(thin > otsu(thin), wide)
    areas = body.sum(axis=tuple(i for i in range(3) if i != across))
    middle = int(areas.argmax()) * steps[across] + steps[across] // 2
    return min(middle, int(volume.shape[across]) - 1)


def largest_body(
    mask: Bool[np.ndarray, "x y z"], spacing: list[float]
) -> Bool[np.ndarray, "x y z"]:
    """Return the largest connected part of a mask, once what is thin is worn off.

    Args:
        mask: What is bright.
        spacing: Distance of voxels along each axis in millimetres.
    """
    deep = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    core = deep > BRIDGE
    if not core.any():
        core = mask
    parts, count = ndimage.label(core)
    if count == 0:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept = parts == sizes.argmax()
    away = ndimage.distance_transform_edt(~kept, sampling=spacing)
    return mask & (away <= BRIDGE)


def otsu(values: Float32[np.ndarray, "x y z"]) -> float:
    """Return the threshold that best parts values into two classes.

    Reference:
        Otsu, "A Threshold Selection Method from Gray-Level Histograms", IEEE Transactions on
        Systems, Man, and Cybernetics 1979.
    """
    top = float(np.percentile(values, 99.5))
    counts, edges = np.histogram(np.clip(values, None, top), 256)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    mean = np.cumsum(counts * middles) / np.maximum(below, 1)
    above = below[-1] - below
    rest = (mean[-1] * below[-1] - np.cumsum(counts * middles)) / np.maximum(above, 1)
    return float(middles[(below * above * (mean - rest) ** 2).argmax()])
