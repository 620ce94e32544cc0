"""Where volumes are cut into slices, and what reads them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import AfterValidator

from fairgen.intake.dicom import read_dicom
from fairgen.intake.nifti import read_slice

Place = int | float | Literal["largest brain area"]
"""A slice by its number from below, as a share of the height, or where the brain is largest."""
Reader = Callable[[Path, Place | None], UInt8[np.ndarray, "h w c"]]
"""Gives the pixels of a slice of a volume, or of a picture at ``None``."""


def places(values: tuple[Place, ...]) -> tuple[Place, ...]:
    """Return places of slices if they are such.

    Raises:
        ValueError: If there is none, a share is not from 0 to 1, a number is below 0, or a place
            is named twice.
    """
    shares = all(0 <= v <= 1 for v in values if isinstance(v, float))
    numbers = all(v >= 0 for v in values if isinstance(v, int))
    if not values or not shares or not numbers or len(set(map(str, values))) < len(values):
        raise ValueError(
            f"{values}; expected different slices, each a share from 0.0 to 1.0, "
            "a number from 0, or 'largest brain area'"
        )
    return values


Slices = Annotated[tuple[Place, ...], AfterValidator(places)]


def read_other(path: Path, at: Place | None) -> UInt8[np.ndarray, "h w c"]:
    """Return the pixels of a DICOM file, or of a slice of a NIfTI or Analyze volume.

    Args:
        path: The file; DICOM files often have no ending.
        at: Which slice; ``None`` for a file that is one picture.

    Raises:
        CohortError: If the file cannot be read.
        MissingExtra: If the extra ``medical`` is not installed.
    """
    return read_dicom(path) if at is None else read_slice(path, at=at)
