"""Lookup tables of a DICOM header: modality, window and palette."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Integer
from pydicom.dataset import Dataset

from fairgen.intake.dicom_header import readable
from fairgen.intake.windowing import looked_up

PALETTES = ("Red", "Green", "Blue")


@dataclass(frozen=True)
class Table:
    """Maps whole numbers to whole numbers.

    Attributes:
        entries: What the values from ``first`` on become.
        first: Value that the first entry stands for.
        bits: Bits of an entry; white is all of them set.
    """

    entries: Int64[np.ndarray, " entries"]
    first: int
    bits: int

    def apply(self, values: Integer[np.ndarray, "*shape"]) -> Int64[np.ndarray, "..."]:
        """Return each value's entry."""
        return looked_up(values, self.entries, self.first)


def table_in(path: Path, header: Dataset, sequence: str) -> Table | None:
    """Return the first table of a sequence, or nothing if there is none.

    Raises:
        CohortError: If it is broken.
    """
    with readable(path, f"{sequence} is broken"):
        if not header.get(sequence):
            return None
        item = header[sequence][0]
        return make_table(item.LUTDescriptor, item.LUTData, little=is_little(header))


def palette(path: Path, header: Dataset) -> tuple[Table, ...]:
    """Return the tables of red, green and blue.

    Raises:
        CohortError: If one is missing, segmented or broken.
    """
    with readable(path, "its palette is missing, segmented or broken"):
        names = [f"{colour}PaletteColorLookupTable" for colour in PALETTES]
        return tuple(
            make_table(
                header[f"{n}Descriptor"].value, header[f"{n}Data"].value, little=is_little(header)
            )
            for n in names
        )


def make_table(descriptor: Sequence[int], data: bytes | Sequence[int], *, little: bool) -> Table:
    """Return a table.

    Args:
        descriptor: Number of entries (zero means 65,536), the value of the first, bits of each.
        data: The entries, one or two bytes each if they are bytes.
        little: Whether the lower byte comes first.

    Raises:
        ValueError: If the entries are too few, or of other than 8 to 16 bits.
    """
    count, first, bits = int(descriptor[0]) & 0xFFFF or 2**16, int(descriptor[1]), descriptor[2]
    if isinstance(data, bytes):
        kind = "u1" if len(data) < 2 * count else f"{'<' if little else '>'}u2"
        entries = np.frombuffer(data, kind, count).astype(np.int64)
    else:
        entries = np.asarray(data, np.int64)[:count]
    if len(entries) < count or not 8 <= bits <= 16 or entries.min() < 0:
        raise ValueError(f"{len(entries)} entries of {bits} bits; expected {count}")
    return Table(entries, first, max(int(bits), int(entries.max()).bit_length()))


def is_little(header: Dataset) -> bool:
    """Return whether a file stores the lower byte of a number first."""
    return bool(header.file_meta.TransferSyntaxUID.is_little_endian)
