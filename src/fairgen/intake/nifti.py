"""Volumes as slices: NIfTI and Analyze files, upright, with square pixels and eight bits.

Only sizes, types and the orientation are taken from a header; descriptions, names, patient numbers
and extensions are never read into anything.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import BaseModel, Field

from fairgen.intake.identity_errors import medical

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
LARGEST: Literal["largest brain area"] = "largest brain area"

Axis = Literal["axial", "coronal", "sagittal"]
Place = int | float | Literal["largest brain area"]


class SliceOptions(BaseModel, extra="forbid", frozen=True):
    """Says how a slice is taken and shown.

    Attributes:
        volume: Which volume of a series counts, from zero; ``None`` refuses a series.
        orientation: Where the three stored axes point, such as ``LAS``: the first to the left, the
            second to the front, the third up. ``None`` takes what the header says.
        convention: ``radiological`` shows the patient's right on the left, and a face in profile
            looks to the left; ``neurological`` is the mirror image.
        window: Whether percentiles are taken over the whole volume or over each slice.
        low: Per cent of the values that become black.
        high: Per cent of the values that do not become white.
    """

    volume: int | None = Field(default=None, ge=0)
    orientation: str | None = Field(default=None, pattern="^[LRAPSI]{3}$")
    convention: Literal["radiological", "neurological"] = "radiological"
    window: Literal["volume", "slice"] = "volume"
    low: float = Field(default=0.5, ge=0, le=100)
    high: float = Field(default=99.5, ge=0, le=100)


@dataclass(frozen=True)
class VolumeFacts:
    """Holds what a header says of its volume.

    Attributes:
        shape: Voxels along each stored axis.
        volumes: How many volumes there are.
        spacing: Distance of voxels along each stored axis, in millimetres by convention.
        orientation: Where the stored axes point, such as ``LAS``.
        stated: Whether the header states the orientation, rather than it being assumed.
    """

    shape: tuple[int, int, int]
    volumes: int
    spacing: tuple[float, float, float]
    orientation: str
    stated: bool


DEFAULT = SliceOptions()


def read_slice(
    path: Path, *, axis: Axis = "axial", at: Place = LARGEST, options: SliceOptions = DEFAULT
) -> UInt8[np.ndarray, "h w 1"]:
    """Return one slice of a volume: front or top of the head up, pixels square.

    Oblique volumes are taken along their nearest axes, not resampled. Where voxels are not as wide
    as high, the coarser side is interpolated linearly to the finer one's spacing. Values that are
    not finite count as the smallest.

    Args:
        path: A file whose name ends in one of ``SUFFIXES``; ``.hdr`` and ``.img`` are a pair.
        axis: Direction that the slice is perpendicular to, by name of the plane.
        at: A whole number counts slices from the patient's right, back or feet, from zero; a
            fraction from 0.0 to 1.0 lies between the first and the last; ``largest brain area``
            takes the slice in which the largest connected bright body is largest.
        options: How it is taken and shown.

    Raises:
        CohortError: If the file is missing, broken, cut short, too large, of another kind, or
            constant, or has no such slice.
        MissingExtra: If the package that reads it is not installed.
    """
    with medical("NIfTI"):
        from fairgen.intake.nifti_slice import slice_of  # noqa: PLC0415 - an optional package
    return slice_of(path, axis, at, options)


def volume_facts(path: Path) -> VolumeFacts:
    """Return what a header says of its volume, without reading voxels.

    Raises:
        CohortError: If ``read_slice`` would refuse the header.
        MissingExtra: If the package that reads it is not installed.
    """
    with medical("NIfTI"):
        from fairgen.intake.nifti_header import read_header  # noqa: PLC0415 - an optional package
    return read_header(path).facts
