"""What a DICOM header says of its image, checked: sizes, bits, and facts that identify nobody."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydicom.dataset import Dataset

from fairgen.errors import CohortError
from fairgen.intake.dicom import DicomFacts
from fairgen.intake.dicom_header import read_header, text_of, whole
from fairgen.intake.dicom_terms import (
    BODY_PARTS,
    COLOUR,
    MODALITIES,
    NO_PICTURES,
    PHOTOMETRIC,
    SECONDARY_CAPTURE,
    VIEWS,
)

BURNED_IN: dict[str, Literal["yes", "no", ""]] = {"YES": "yes", "NO": "no"}


@dataclass(frozen=True)
class Layout:
    """Holds how pixels lie in a DICOM file: sizes and bits, all of them checked."""

    rows: int
    columns: int
    samples: int
    photometric: str
    allocated: int
    bits: int
    signed: bool

    @property
    def size(self) -> int:
        """Return how many bytes the decoded pixels take."""
        return (self.rows * self.columns * self.samples * self.allocated + 7) // 8


def facts_of(path: Path, most_pixels: int) -> DicomFacts:
    """Return what a header says of its image.

    Raises:
        CohortError: If it describes no single picture within the limit.
    """
    header = read_header(path, pixels=False)
    layout = layout_of(path, header, most_pixels)
    return DicomFacts(
        rows=layout.rows,
        columns=layout.columns,
        photometric=layout.photometric,
        bits=layout.bits,
        signed=layout.signed,
        transfer_syntax=header.file_meta.TransferSyntaxUID.name,
        modality=term(text_of(path, header, "Modality"), MODALITIES),
        body_part=term(text_of(path, header, "BodyPartExamined"), BODY_PARTS),
        view=term(text_of(path, header, "ViewPosition"), VIEWS),
        burned_in=BURNED_IN.get(text_of(path, header, "BurnedInAnnotation"), ""),
        secondary_capture=text_of(path, header, "SOPClassUID").startswith(SECONDARY_CAPTURE),
    )


def term(found: str, known: Collection[str]) -> str:
    """Return a term if the list has it, ``other`` if not; nothing if there is none."""
    return found if found in known or not found else "other"


def layout_of(path: Path, header: Dataset, most_pixels: int) -> Layout:
    """Return how the pixels lie.

    Raises:
        CohortError: If the object is no single picture, or its sizes or bits are missing,
            impossible or too large.
    """
    refuse_no_picture(path, header)
    rows, columns = whole(path, header, "Rows"), whole(path, header, "Columns")
    if rows * columns > most_pixels:
        raise CohortError(
            f"{path}: {rows} x {columns} pixels; expected at most {most_pixels} altogether"
        )
    photometric = text_of(path, header, "PhotometricInterpretation")
    if photometric not in PHOTOMETRIC:
        raise CohortError(
            f"{path}: unknown photometric interpretation; expected one of {', '.join(PHOTOMETRIC)}"
        )
    allocated = whole(path, header, "BitsAllocated")
    layout = Layout(
        rows=rows,
        columns=columns,
        samples=whole(path, header, "SamplesPerPixel", 1),
        photometric=photometric,
        allocated=allocated,
        bits=whole(path, header, "BitsStored", allocated),
        signed=text_of(path, header, "PixelRepresentation") == "1",
    )
    refuse_bits(path, layout)
    return layout


def refuse_no_picture(path: Path, header: Dataset) -> None:
    """Raise if an object is not a single picture.

    Raises:
        CohortError: If so.
    """
    modality = text_of(path, header, "Modality")
    if modality in NO_PICTURES:
        raise CohortError(f"{path}: is a {modality} object; expected a picture of a patient")
    if "Rows" not in header or "Columns" not in header:
        raise CohortError(f"{path}: has no rows and columns; expected an image object, complete")
    frames = whole(path, header, "NumberOfFrames", 1)
    if frames > 1:
        raise CohortError(
            f"{path}: holds {frames} frames and nothing says which to take; expected one frame, "
            "exported to a file by itself"
        )


def refuse_bits(path: Path, layout: Layout) -> None:
    """Raise if a pixel's samples or bits are none that an image can have.

    Raises:
        CohortError: If so.
    """
    samples = 3 if layout.photometric in COLOUR else 1
    fits = layout.allocated in (1, 8, 16, 32) and layout.bits <= layout.allocated
    if layout.samples != samples or not fits:
        raise CohortError(
            f"{path}: {layout.samples} samples of {layout.bits} bits in {layout.allocated}; "
            f"expected {samples} for {layout.photometric}, in 1, 8, 16 or 32 bits"
        )
