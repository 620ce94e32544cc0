"""DICOM files as pixels: what a viewer would show, and no word of what the header says of a person.

The reader asks for a closed list of elements, so names, dates, identifiers, private elements and
overlays are skipped unread; facts are numbers or terms from closed lists.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from fairgen.intake.identity_errors import medical

MOST_PIXELS = 40_000_000

Window = Literal["file", "percentiles"] | tuple[float, float]


@dataclass(frozen=True)
class DicomFacts:
    """Holds what a DICOM header says of its image; none of it names or dates anybody.

    Attributes:
        rows: Height in pixels.
        columns: Width in pixels.
        photometric: Photometric interpretation, such as ``MONOCHROME1``.
        bits: Bits of a stored value that count.
        signed: Whether stored values may be negative.
        transfer_syntax: How the pixels are encoded, in the standard's words.
        modality: Such as ``CR`` or ``MR``; ``other`` for one that is not in ``MODALITIES``.
        body_part: Such as ``CHEST``; ``other`` for one not in ``BODY_PARTS``, empty if absent.
        view: Such as ``PA``; ``other`` for one not in ``VIEWS``, empty if absent.
        burned_in: What the header says of burned-in annotation: ``yes``, ``no`` or nothing.
        secondary_capture: Whether the image was captured from a screen, film or scanner.
    """

    rows: int
    columns: int
    photometric: str
    bits: int
    signed: bool
    transfer_syntax: str
    modality: str
    body_part: str
    view: str
    burned_in: Literal["yes", "no", ""]
    secondary_capture: bool


def read_dicom(
    path: Path, *, window: Window = "file", most_pixels: int = MOST_PIXELS
) -> UInt8[np.ndarray, "h w c"]:
    """Return a DICOM image's pixels: one channel if it is grey, else three.

    Grey values are rescaled as the header says, windowed, and inverted if they are
    ``MONOCHROME1``; padding is black. Colour is converted to RGB of eight bits a channel.

    Args:
        path: File of one frame.
        window: ``file`` takes the file's lookup table, else its first window; without a usable
            one, unsigned values of at most eight bits stay as they are and others are windowed by
            percentiles 0.5 and 99.5. ``percentiles`` ignores what the file says; a pair is centre
            and width. Colour is never windowed.
        most_pixels: Largest number of pixels to decode.

    Raises:
        CohortError: If the file is missing, broken, cut short, no DICOM, no image, or holds
            several frames or too many pixels.
        MissingExtra: If the packages that decode it are not installed.
    """
    with medical("DICOM"):
        from fairgen.intake.dicom_pixels import pixels_of  # noqa: PLC0415 - optional packages
    return pixels_of(path, window, most_pixels)


def dicom_facts(path: Path, *, most_pixels: int = MOST_PIXELS) -> DicomFacts:
    """Return what a DICOM header says of its image, without decoding pixels.

    Raises:
        CohortError: If ``read_dicom`` would refuse the header.
        MissingExtra: If the packages that read it are not installed.
    """
    with medical("DICOM"):
        from fairgen.intake.dicom_layout import facts_of  # noqa: PLC0415 - optional packages
    return facts_of(path, most_pixels)
