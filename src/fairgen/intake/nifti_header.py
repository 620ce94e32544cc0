"""A NIfTI or Analyze header, checked before a voxel is read or a byte more is decompressed."""

import gzip
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.analyze import AnalyzeHeader
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import aff2axcodes
from nibabel.spatialimages import HeaderDataError

from fairgen.errors import CohortError
from fairgen.intake.identity_errors import quiet
from fairgen.intake.nifti import SUFFIXES, VolumeFacts

MOST_VOXELS = 2**27
MOST_OFFSET = 2**24
KINDS = ((Nifti1Header, 344), (Nifti2Header, 4))
"""Classes of headers, and where their mark stands."""
ANALYZE = ("LAS", "LSA", "ASL", "LPS", "LIA", "AIL")
"""Where the axes of an Analyze volume point, by its ``orient`` field from 0 to 5."""


@dataclass(frozen=True)
class Header:
    """Holds where and how a volume's voxels lie.

    Attributes:
        data: File that holds them.
        offset: Bytes before the first voxel.
        kind: Type of a stored value, with its byte order.
        slope: Factor of the stored values.
        intercept: What is added to them then.
        facts: Sizes and orientation.
    """

    data: Path
    offset: int
    kind: np.dtype
    slope: float
    intercept: float
    facts: VolumeFacts


def read_header(path: Path) -> Header:
    """Return how a volume's voxels lie.

    Raises:
        CohortError: If the file is missing, no volume, or its header is impossible or too large.
    """
    head, data = pair(path)
    header = parsed(path, first_bytes(head), single=head == data)
    with quiet(path, "its header is broken", HeaderDataError):
        dim = [int(n) for n in header["dim"]]
        offset, kind = int(header.get_data_offset()), header.get_data_dtype()
        slope, intercept = (float(n or 0) for n in header.get_slope_inter())
    volumes, shape = sizes_of(path, dim)
    if not (header.sizeof_hdr if head == data else 0) <= offset <= MOST_OFFSET:
        raise CohortError(f"{path}: its voxels begin at byte {offset}; expected one after a header")
    if kind.kind not in "iuf" or kind.itemsize > 8:
        raise CohortError(f"{path}: holds values of type {kind}; expected single real numbers")
    spacing, codes, stated = orientation(path, header)
    facts = VolumeFacts(shape, volumes, spacing, codes, stated)
    return Header(data, offset, kind, slope or 1.0, intercept, facts)


def pair(path: Path) -> tuple[Path, Path]:
    """Return the files that hold a volume's header and its voxels.

    Raises:
        CohortError: If the name's ending is none of a volume, or one of them is missing.
    """
    ending = next((s for s in SUFFIXES if path.name.lower().endswith(s)), "")
    if not ending:
        raise CohortError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}")
    single = ending in (".nii", ".nii.gz")
    found = (path, path) if single else tuple(sibling(path, s) for s in (".hdr", ".img"))
    for file in found:
        if not file.is_file():
            raise CohortError(f"{path}: no such file" if file == path else f"{path}: lacks {file}")
    return found[0], found[1]


def sibling(path: Path, suffix: str) -> Path:
    """Return the file of a pair with that suffix, in the case of the given file's."""
    return path.with_suffix(suffix.upper() if path.suffix.isupper() else suffix)


def first_bytes(path: Path) -> bytes:
    """Return the bytes that hold a header, whether the file is compressed or not.

    Raises:
        CohortError: If they cannot be read.
    """
    with quiet(path, "cannot be read"):
        opened = gzip.open if path.name.lower().endswith(".gz") else open
        with opened(path, "rb") as stream:
            return bytes(stream.read(540))


def parsed(path: Path, block: bytes, *, single: bool) -> AnalyzeHeader:
    """Return a header as a mapping: NIfTI if it has that mark, else Analyze.

    Raises:
        CohortError: If it is neither, or the mark of a pair stands in a single file.
    """
    sizes = {int.from_bytes(block[:4], order) for order in ("little", "big")}
    for kind, place in KINDS:
        marked = block[place : place + 2] == (b"n+" if single else b"ni")
        if marked and kind.sizeof_hdr in sizes and len(block) >= kind.sizeof_hdr:
            return kind(block[: kind.sizeof_hdr], check=False)
    if not single and AnalyzeHeader.sizeof_hdr in sizes and len(block) >= AnalyzeHeader.sizeof_hdr:
        return AnalyzeHeader(block[: AnalyzeHeader.sizeof_hdr], check=False)
    raise CohortError(f"{path}: has no NIfTI or Analyze header; expected one of 348 or 540 bytes")


def sizes_of(path: Path, dim: list[int]) -> tuple[int, tuple[int, int, int]]:
    """Return how many volumes there are, and how many voxels each has along its axes.

    Raises:
        CohortError: If there are not three axes and perhaps time, or too many voxels.
    """
    sizes = dim[1 : dim[0] + 1] if 1 <= dim[0] <= 7 else []
    if len(sizes) < 3 or min(sizes) < 1 or prod(sizes[4:]) != 1:
        raise CohortError(f"{path}: has sizes {sizes}; expected three, and at most one of time")
    x, y, z = sizes[:3]
    if x * y * z > MOST_VOXELS:
        raise CohortError(f"{path}: {x} x {y} x {z} voxels; expected at most {MOST_VOXELS}")
    return prod(sizes[3:]), (x, y, z)


def orientation(path: Path, header: AnalyzeHeader) -> tuple[tuple[float, float, float], str, bool]:
    """Return the spacing of voxels, where their axes point, and whether the header says so.

    Raises:
        CohortError: If the header's spacing or orientation is impossible.
    """
    with quiet(path, "its orientation is broken", HeaderDataError):
        if isinstance(header, Nifti1Header):
            affine = np.asarray(header.get_best_affine(), float)
            found = voxel_sizes(affine) if np.isfinite(affine).all() else np.zeros(3)
            codes = "".join(c or "?" for c in aff2axcodes(affine)) if found.all() else "?"
            stated = bool(header["qform_code"] > 0 or header["sform_code"] > 0)
        else:
            found = np.abs(np.asarray(header["pixdim"][1:4], float))
            field = ord(header["orient"].item() or b"\0")
            codes, stated = ANALYZE[field if field < 6 else 0], 0 < field < 6
    if not (np.isfinite(found).all() and found.min() > 0) or "?" in codes:
        raise CohortError(f"{path}: has no spacing or orientation of voxels; expected both")
    return (float(found[0]), float(found[1]), float(found[2])), codes, stated
