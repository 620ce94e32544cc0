"""Stored values of a DICOM image, decoded once its own code stream is known to be as small."""

import struct
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import (
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from fairgen.errors import CohortError, MissingExtra
from fairgen.intake.dicom_header import readable
from fairgen.intake.dicom_layout import Layout
from fairgen.intake.dicom_terms import PIXELS

GPL_ONLY = JPEGTransferSyntaxes[1:]
"""JPEG of twelve bits, and lossless JPEG: no package of a permissive licence decodes them all."""
FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), 0xCD, 0xCE, 0xCF))
START_OF_LS_FRAME = 0xF7
ALONE = frozenset((0x01, *range(0xD0, 0xDA)))


def stored_values(path: Path, header: Dataset, layout: Layout) -> Shaped[np.ndarray, "..."]:
    """Return the stored values, rows x columns, or rows x columns x 3 for colour, as RGB.

    Raises:
        CohortError: If there are none, too few, more than the header says, or broken ones.
        MissingExtra: If the packages that decode them are not installed.
    """
    if PIXELS not in header:
        raise CohortError(f"{path}: holds no pixels; expected an image object, complete")
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        check_code(path, header, layout)
    else:
        check_length(path, header, layout)
    try:
        with readable(path, "its pixels are broken, cut short or in a form that is not decoded"):
            values: np.ndarray = header.pixel_array
    except CohortError as error:
        if syntax in GPL_ONLY and not (find_spec("libjpeg") or find_spec("gdcm")):
            raise MissingExtra(
                f"{path}: is encoded as {syntax.name}; expected `pip install "
                "'fairgen[medical-gpl]'` (pylibjpeg-libjpeg, whose licence is GPL-3.0)"
            ) from error
        raise
    if values.shape[:2] != (layout.rows, layout.columns):
        raise CohortError(f"{path}: decodes to {values.shape}; expected what its header says")
    return values


def check_length(path: Path, header: Dataset, layout: Layout) -> None:
    """Raise if pixels that are not compressed are fewer than the header says.

    Raises:
        CohortError: If so.
    """
    with readable(path, "its pixels are broken"):
        found = len(header.PixelData)
    half = layout.photometric == "YBR_FULL_422"
    expected = layout.size * 2 // 3 if half else layout.size
    if found < expected:
        raise CohortError(f"{path}: is cut short: {found} bytes of pixels; expected {expected}")


def check_code(path: Path, header: Dataset, layout: Layout) -> None:
    """Raise unless compressed pixels decode to the size that the header says.

    Raises:
        CohortError: If not, or if the code stream is broken or cut short.
    """
    syntax = header.file_meta.TransferSyntaxUID
    with readable(path, "its compressed pixels are broken or cut short"):
        frame = get_frame(header.PixelData, 0, number_of_frames=1)
        if syntax == RLELossless:
            refuse_long_runs(path, frame, layout)
            return
        if syntax in JPEG2000TransferSyntaxes:
            size = jpeg2000_size(frame)
        elif syntax in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes):
            size = jpeg_size(frame)
        else:
            raise CohortError(f"{path}: is encoded as {syntax.name}, which is not decoded")
    if size != (layout.rows, layout.columns):
        raise CohortError(
            f"{path}: its code stream is of {size[0]} x {size[1]} pixels; expected "
            f"{layout.rows} x {layout.columns}, as its header says"
        )


def jpeg_size(frame: bytes) -> tuple[int, int]:
    """Return rows and columns from the frame header of a JPEG or JPEG-LS code stream.

    Raises:
        ValueError: If there is none.
    """
    place = 2
    while frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker in FRAMES or marker == START_OF_LS_FRAME:
            rows, columns = struct.unpack_from(">HH", frame, place + 5)
            return rows, columns
        if marker == 0xFF:
            place += 1
        elif marker in ALONE:
            place += 2
        else:
            place += 2 + struct.unpack_from(">H", frame, place + 2)[0]
    raise ValueError("no frame header")


def jpeg2000_size(frame: bytes) -> tuple[int, int]:
    """Return rows and columns from the first size marker of a JPEG 2000 code stream.

    Raises:
        ValueError: If there is none.
    """
    place = frame.index(b"\xff\x4f\xff\x51")
    right, bottom, left, top = struct.unpack_from(">4I", frame, place + 8)
    return bottom - top, right - left


def refuse_long_runs(path: Path, frame: bytes, layout: Layout) -> None:
    """Raise if run-length code would decode to more than the header says.

    Raises:
        CohortError: If so.
        ValueError: If the code is broken.
    """
    count, *offsets = struct.unpack_from("<16I", frame)
    starts = [*offsets[:count], len(frame)]
    total = sum(run_length(frame[a:b], layout.size) for a, b in pairwise(starts))
    if not layout.size <= total <= layout.size + count:
        found = "more" if total > layout.size else "less"
        raise CohortError(f"{path}: its code decodes to {found} than {layout.size} bytes")


def run_length(code: bytes, most: int) -> int:
    """Return how many bytes run-length code decodes to, counted until there are too many.

    Reference:
        DICOM PS3.5, annex G.3.2.
    """
    place = total = 0
    while place < len(code) and total <= most:
        head = code[place]
        total += head + 1 if head < 128 else (257 - head if head > 128 else 0)
        place += head + 2 if head < 128 else (2 if head > 128 else 1)
    return total
