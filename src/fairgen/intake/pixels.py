"""The pixels of whatever a table names: a picture, a DICOM file, or a slice of a volume."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fairgen.files.image import SUFFIXES, read_image, square
from fairgen.intake.dicom import read_dicom
from fairgen.intake.nifti import read_slice

Pixels = UInt8[np.ndarray, "h w c"]
Place = int | float | Literal["largest brain area"]
"""A slice by its number from below, as a share of the height, or where the brain is largest."""
Reader = Callable[[Path, Place | None], Pixels]
"""Gives the pixels of a slice of a volume, or of a picture at ``None``."""

VOLUMES = (".nii", ".nii.gz", ".hdr", ".img")
ENDINGS = (*SUFFIXES, ".dcm", *VOLUMES)
"""Endings of what can be read; DICOM files often have none."""


def read_other(path: Path, at: Place | None = None) -> Pixels:
    """Return the pixels of a DICOM file, or of an axial slice of a NIfTI or Analyze volume.

    Args:
        path: The file.
        at: Which slice of a volume; ``None`` is where the brain is largest.

    Raises:
        CohortError: If the file cannot be read.
        MissingExtra: If the extra ``medical`` is not installed.
    """
    if at is None and not path.name.lower().endswith(VOLUMES):
        return read_dicom(path)
    return read_slice(path, at="largest brain area" if at is None else at)


def read_pixels(
    path: Path,
    *,
    size: int | None,
    channels: int,
    at: Place | None = None,
    reader: Reader = read_other,
) -> Pixels:
    """Return an image's pixels as a cohort keeps them; nothing else of the file goes on.

    Args:
        path: A picture, a DICOM file or a volume.
        size: Side in pixels of a centre crop to a square; ``None`` keeps the size.
        channels: 3 for colour, 1 for grey.
        at: Which slice of a volume.
        reader: Reads what is no ordinary picture.

    Raises:
        CohortError: If the file cannot be read.
        MissingExtra: If the extra ``medical`` is needed and not installed.
    """
    if at is None and path.suffix.lower() in SUFFIXES:
        return read_image(path, size=size, channels=channels)
    pixels = np.asarray(reader(path, at), np.uint8)
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    picture = picture.convert("RGB" if channels == 3 else "L")
    if size is not None:
        picture = square(picture, size)
    return np.array(picture, dtype=np.uint8).reshape(picture.height, picture.width, channels)
