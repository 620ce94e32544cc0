"""The pixels of whatever a table names: a picture, a DICOM file, or a slice of a volume."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from pydantic import BaseModel

from fairgen.files.image import SUFFIXES, read_image, refuse_special, square
from fairgen.intake.dicom import DicomFacts, Window, dicom_facts, read_dicom
from fairgen.intake.nifti import LARGEST, Axis, Place, SliceOptions, read_slice

Pixels = UInt8[np.ndarray, "h w c"]

VOLUMES = (".nii", ".nii.gz", ".hdr", ".img")
ENDINGS = (*SUFFIXES, ".dcm", *VOLUMES)
"""Endings of what can be read; DICOM files often have none."""


class Showing(BaseModel, extra="forbid", frozen=True):
    """Says how files that are no ordinary pictures are shown.

    Attributes:
        window: Of DICOM files: what the ``file`` says, ``percentiles``, or centre and width.
        axis: Direction that slices of volumes are perpendicular to.
        volume: How slices are taken and shown.
    """

    window: Window = "file"
    axis: Axis = "axial"
    volume: SliceOptions = SliceOptions()


@dataclass(frozen=True)
class Decoding:
    """Says how images become the pixels of a cohort.

    Attributes:
        size: Side in pixels of a centre crop to a square; ``None`` keeps the size.
        channels: 3 for colour, 1 for grey.
        show: How DICOM files and volumes are shown.
        flag_text: Whether words that seem burned into a picture are looked for.
    """

    size: int | None
    channels: int
    show: Showing = field(default_factory=Showing)
    flag_text: bool = True


def read_pixels(path: Path, at: Place | None, how: Decoding) -> Pixels:
    """Return an image's pixels in their own size; nothing else of the file goes on.

    Args:
        path: A picture, a DICOM file or a volume.
        at: Which slice of a volume; ``None`` is where a brain is largest.
        how: How they are read; ``fitted`` brings them to its size.

    Raises:
        CohortError: If the file cannot be read.
        MissingExtra: If the extra ``medical`` is needed and not installed.
    """
    show = how.show
    refuse_special(path)
    if is_volume(path):
        place = LARGEST if at is None else at
        pixels = read_slice(path, axis=show.axis, at=place, options=show.volume)
    elif is_picture(path):
        return read_image(path, channels=how.channels)
    else:
        pixels = read_dicom(path, window=show.window)
    return array(image_of(pixels).convert("RGB" if how.channels == 3 else "L"))


def fitted(pixels: Pixels, how: Decoding) -> UInt8[np.ndarray, "h2 w2 c"]:
    """Return pixels as the cohort keeps them: a square of the size asked for, if one is."""
    return pixels if how.size is None else array(square(image_of(pixels), how.size))


def facts_of(path: Path) -> DicomFacts | None:
    """Return what a DICOM header says of its image; nothing for other files.

    Raises:
        CohortError: If the file cannot be read.
        MissingExtra: If the extra ``medical`` is needed and not installed.
    """
    return None if is_volume(path) or is_picture(path) else dicom_facts(path)


def is_volume(path: Path) -> bool:
    """Return whether a file's name is that of a volume."""
    return path.name.lower().endswith(VOLUMES)


def is_picture(path: Path) -> bool:
    """Return whether a file's name is that of an ordinary picture."""
    return path.suffix.lower() in SUFFIXES


def image_of(pixels: Pixels) -> Image.Image:
    """Return pixels as Pillow has them."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def array(picture: Image.Image) -> Pixels:
    """Return the pixels of a picture of one channel or three."""
    return np.array(picture, dtype=np.uint8).reshape(picture.height, picture.width, -1)
