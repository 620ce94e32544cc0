"""Reads what a phantom's oracle measured in images: one row an image, one column a quantity."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from fairgen.errors import StudyError

TEXTS = ("image", "group", "source")
REFERENCE, SYNTHETIC = "reference", "synthetic"
Values = Float[np.ndarray, " _"]


@dataclass(frozen=True)
class Anatomy:
    """Holds measured images.

    Attributes:
        groups: Group of each image: its own, or the one that was asked for.
        sources: Where each image comes from, such as ``reference`` or ``synthetic``.
        values: For each quantity a value an image; NaN where it could not be measured.
    """

    groups: tuple[str, ...]
    sources: tuple[str, ...]
    values: Mapping[str, Values]

    @cached_property
    def _places(self) -> dict[tuple[str, str], list[int]]:
        found: dict[tuple[str, str], list[int]] = {}
        for i, key in enumerate(zip(self.sources, self.groups, strict=True)):
            found.setdefault(key, []).append(i)
        return found

    def of(self, quantity: str, source: str, group: str) -> Values:
        """Return a quantity in the measured images of one source and group."""
        if quantity not in self.values:
            return np.empty(0)
        found = self.values[quantity][self._places.get((source, group), [])]
        return np.asarray(found[np.isfinite(found)], dtype=np.float64)


def read_anatomy(path: Path) -> Anatomy:
    """Return the measured images of a Parquet file.

    Raises:
        StudyError: If the file is broken or lacks a column.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        reason = " ".join(str(error).split())[:120]
        raise StudyError(f"is no Parquet file ({reason})") from error
    missing = [name for name in TEXTS if name not in table.column_names]
    if missing:
        raise StudyError(f"has no column '{missing[0]}'")
    columns = {name: table[name] for name in table.column_names if name not in TEXTS}
    return Anatomy(
        tuple(map(str, table["group"].to_pylist())),
        tuple(map(str, table["source"].to_pylist())),
        {name: _floats(c) for name, c in columns.items() if _numeric(c.type)},
    )


def _numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _floats(column: pa.ChunkedArray) -> Values:
    return np.array([np.nan if v is None else v for v in column.to_pylist()], dtype=np.float64)


def quantiles(values: Iterable[Values]) -> tuple[int, tuple[float, ...]]:
    """Return how many values there are, and their 5, 25, 50, 75 and 95 % quantiles.

    Args:
        values: Arrays that are taken together; no quantiles without any value.
    """
    every = np.concatenate([np.empty(0), *values])
    if not len(every):
        return 0, ()
    return len(every), tuple(float(q) for q in np.quantile(every, (0.05, 0.25, 0.5, 0.75, 0.95)))
