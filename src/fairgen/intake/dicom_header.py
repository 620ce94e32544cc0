"""A DICOM header, read within limits and checked before a pixel is decoded."""

import zlib
from contextlib import AbstractContextManager
from io import BytesIO
from math import isfinite
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from fairgen.errors import CohortError
from fairgen.intake.dicom_terms import PIXELS, READ
from fairgen.intake.identity_errors import quiet

MOST_BYTES = 2**29


def read_header(path: Path, *, pixels: bool) -> Dataset:
    """Return the elements of a file that describe its image, with its pixels if asked for.

    Raises:
        CohortError: If the file is missing, too large, broken or no DICOM.
    """
    data = content(path)
    with readable(path, "its header is broken or cut short"):
        stream = BytesIO(data)
        stream.seek(132)
        meta = read_dataset(stream, False, True, stop_when=lambda tag, _vr, _n: tag >> 16 != 2)
        syntax = UID(str(meta.get("TransferSyntaxUID", "")))
        if syntax == DeflatedExplicitVRLittleEndian:
            stream = BytesIO(inflated(path, data[stream.tell() :]))
        found = read_dataset(
            stream,
            syntax == ImplicitVRLittleEndian,
            syntax != ExplicitVRBigEndian,
            stop_when=None if pixels else at_pixels,
            specific_tags=[Tag(keyword) for keyword in READ],
        )
    if not syntax.is_transfer_syntax or syntax.is_private:
        raise CohortError(f"{path}: names no transfer syntax of the standard; expected one")
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax
    return found


def at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    """Return whether an element holds the pixels, or comes after them."""
    return int(tag) >= int(Tag(PIXELS))


def content(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        CohortError: If it is missing, too large or no DICOM.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise CohortError(f"{path}: no such DICOM file") from error
    except OSError as error:
        raise CohortError(f"{path}: cannot be read ({error.strerror})") from error
    if data[128:132] != b"DICM":
        raise CohortError(f"{path}: is no DICOM file; expected the mark DICM after 128 bytes")
    if len(data) > MOST_BYTES:
        raise CohortError(f"{path}: is larger than {MOST_BYTES} bytes; expected one image")
    return data


def inflated(path: Path, data: bytes) -> bytes:
    """Return what a deflated data set holds.

    Raises:
        CohortError: If it is larger than the limit.
    """
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflate.decompress(data, MOST_BYTES)
    if inflate.unconsumed_tail:
        raise CohortError(f"{path}: inflates to more than {MOST_BYTES} bytes; expected one image")
    return plain


def readable(path: Path, what: str) -> AbstractContextManager[None]:
    """Return a block in which whatever pydicom raises becomes one line, as ``quiet`` does."""
    return quiet(path, what, BytesLengthException, InvalidDicomError)


def text_of(path: Path, header: Dataset, keyword: str) -> str:
    """Return an element as text in capitals, the first of several; empty if absent.

    Raises:
        CohortError: If it is broken.
    """
    with readable(path, f"{keyword} is broken"):
        value = header.get(keyword)
        first = value[0] if isinstance(value, MultiValue) and value else value
        return "" if first is None else str(first).strip().upper()


def whole(path: Path, header: Dataset, keyword: str, absent: int | None = None) -> int:
    """Return an element as a whole number of at least 1.

    Raises:
        CohortError: If it is broken, too small, or absent and nothing stands for it.
    """
    with readable(path, f"{keyword} is broken"):
        value = header.get(keyword)
        number = int(value) if value not in (None, "") else absent
    if number is None or number < 1:
        found = "missing" if number is None else number
        raise CohortError(f"{path}: {keyword} is {found}; expected a whole number of at least 1")
    return number


def numbers(path: Path, header: Dataset, keyword: str) -> tuple[float, ...]:
    """Return an element's finite numbers; nothing if it is absent.

    Raises:
        CohortError: If it is broken or not finite.
    """
    with readable(path, f"{keyword} is broken"):
        value = header.get(keyword)
        listed = value if isinstance(value, MultiValue) else [value]
        found = tuple(float(v) for v in listed if v not in (None, ""))
    if not all(map(isfinite, found)):
        raise CohortError(f"{path}: {keyword} is not finite; expected a number")
    return found
