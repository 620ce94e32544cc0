"""A volume's voxels in one orientation, the slice asked for, and how it is shown."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from nibabel.arrayproxy import ArrayProxy
from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform
from PIL import Image

from fairgen.errors import CohortError
from fairgen.intake.identity_errors import quiet
from fairgen.intake.nifti import Axis, Place, SliceOptions
from fairgen.intake.nifti_brain import largest_slice
from fairgen.intake.nifti_header import Header, read_header
from fairgen.intake.windowing import filled, percentiles, stretch

AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
MOST_SIDE = 4096
SAME = 0.01

Spacing = tuple[float, float, float]


def slice_of(
    path: Path, axis: Axis, at: Place, options: SliceOptions
) -> UInt8[np.ndarray, "h w 1"]:
    """Return one slice, as ``read_slice`` describes.

    Raises:
        CohortError: If the file is wrong, or has no such slice.
    """
    header = read_header(path)
    volume, spacing = upright(path, header, options)
    across = AXES[axis]
    index = place_of(path, volume, spacing, across, at)
    plane = laid_out(np.take(volume, index, axis=across), options.convention)
    columns, rows = (s for i, s in enumerate(spacing) if i != across)
    shown = square_pixels(path, plane, rows, columns)
    counted = volume if options.window == "volume" else plane
    return stretch(shown, *percentiles(counted, options.low, options.high))[:, :, None]


def upright(
    path: Path, header: Header, options: SliceOptions
) -> tuple[Float32[np.ndarray, "x y z"], Spacing]:
    """Return voxels, and their spacing, along axes that point right, to the front and up.

    Raises:
        CohortError: If they are cut short, broken or all alike, or a series has no such volume.
    """
    codes = options.orientation or header.facts.orientation
    if {pair_of(c) for c in codes} != {"LR", "PA", "SI"}:
        raise CohortError(f"{path}: orientation {codes}; expected each of LR, PA, SI once")
    turn = ornt_transform(axcodes2ornt(tuple(codes)), axcodes2ornt(("R", "A", "S")))
    volume = filled(voxels(path, header, options.volume))
    if volume.min() == volume.max():
        raise CohortError(f"{path}: every voxel has the same value; expected an image")
    spacing = header.facts.spacing
    order = np.argsort(turn[:, 0])
    turned = (spacing[order[0]], spacing[order[1]], spacing[order[2]])
    return np.asarray(apply_orientation(volume, turn)), turned


def pair_of(code: str) -> str:
    """Return the axis that a letter such as ``L`` is an end of."""
    return next(axis for axis in ("LR", "PA", "SI") if code in axis)


def voxels(path: Path, header: Header, volume: int | None) -> Float32[np.ndarray, "x y z"]:
    """Return the values of one volume.

    Raises:
        CohortError: If they are cut short or broken, or a series has no such volume.
    """
    facts = header.facts
    if volume is None and facts.volumes > 1:
        raise CohortError(
            f"{path}: is a series of {facts.volumes} volumes; expected one, or the option volume"
        )
    if (volume or 0) >= facts.volumes:
        raise CohortError(f"{path}: has {facts.volumes} volumes; expected one of number {volume}")
    spec = ((*facts.shape, facts.volumes), header.kind, header.offset)
    with quiet(path, "its voxels are cut short or broken"):
        raw = np.asarray(ArrayProxy(str(header.data), spec, mmap=False)[..., volume or 0])
    with np.errstate(over="ignore", invalid="ignore"):
        found = raw.astype(np.float32) * np.float32(header.slope) + np.float32(header.intercept)
    return np.asarray(found, np.float32)


def place_of(
    path: Path, volume: Float32[np.ndarray, "x y z"], spacing: Spacing, across: int, at: Place
) -> int:
    """Return the number of the slice that is asked for.

    Raises:
        CohortError: If the volume has none of that number, or the fraction is outside 0 to 1.
    """
    if isinstance(at, str):
        return largest_slice(volume, spacing, across)
    count = volume.shape[across]
    index = at if isinstance(at, int) else round(at * (count - 1)) if 0 <= at <= 1 else -1
    if not 0 <= index < count:
        raise CohortError(
            f"{path}: slice {at} of {count}; expected 0 to {count - 1}, or 0.0 to 1.0"
        )
    return index


def laid_out(plane: Float32[np.ndarray, "a b"], convention: str) -> Float32[np.ndarray, "b a"]:
    """Return a plane as rows from the top and columns from the left of the picture."""
    rows = plane.T[::-1]
    return rows[:, ::-1] if convention == "radiological" else rows


def square_pixels(
    path: Path, plane: Float32[np.ndarray, "h w"], rows: float, columns: float
) -> Float32[np.ndarray, "h2 w2"]:
    """Return a plane whose pixels are as high as wide, at the finer of both spacings.

    Raises:
        CohortError: If it would be larger than any image.
    """
    fine = min(rows, columns)
    height, width = (round(n * s / fine) for n, s in zip(plane.shape, (rows, columns), strict=True))
    if max(height, width) > MOST_SIDE:
        raise CohortError(
            f"{path}: voxels of {rows:g} x {columns:g} would give {height} x {width} pixels; "
            f"expected at most {MOST_SIDE} a side"
        )
    if max(rows, columns) <= fine * (1 + SAME):
        return plane
    picture = Image.fromarray(np.ascontiguousarray(plane))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
