"""Tables as plain rows of text: CSV, TSV, JSON lines and Parquet in, CSV and Parquet out."""

import csv
import json
import re
from codecs import lookup
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from io import BytesIO, StringIO
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from pyarrow import ArrowException, array, parquet, string, table

from fairgen.errors import CohortError
from fairgen.files.atomic import write_bytes, write_text

ENCODINGS = "utf-8, latin-1, cp1252, utf-16, or another that Python knows"


class Row(NamedTuple):
    """Holds one row of a table.

    Attributes:
        number: Line of the file on which the row starts, the header being line 1; in Parquet files
            the row's number, from 1.
        values: Text of every column; a missing value is empty.
    """

    number: int
    values: Mapping[str, str]


def read_rows(path: Path, *, encoding: str = "utf-8") -> list[Row]:
    """Return the rows of a table, every value as text.

    Args:
        path: A ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet`` file, with a header if it is text.
        encoding: Of the text, such as ``latin-1``; a byte order mark is passed over.

    Raises:
        CohortError: If the file is missing, of another kind, or malformed; the message names the
            line.
    """
    if path.suffix.lower() not in READERS:
        raise CohortError(f"{path}: expected a table, one of {', '.join(READERS)}")
    try:
        codec = "utf-8-sig" if lookup(encoding).name == "utf-8" else encoding
        return list(READERS[path.suffix.lower()](path, codec))
    except FileNotFoundError as error:
        raise CohortError(f"{path}: no such table") from error
    except UnicodeDecodeError as error:
        raise CohortError(
            f"{path}: is not {encoding} text ({error.reason}); expected its encoding, "
            "such as latin-1"
        ) from error
    except LookupError as error:
        raise CohortError(f"{path}: unknown encoding '{encoding}'; expected {ENCODINGS}") from error
    except (OSError, ArrowException) as error:
        raise CohortError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write a table of text atomically: Parquet if the file is called so, else CSV.

    Raises:
        StudyError: If the file cannot be written.
    """
    if path.suffix == ".parquet":
        cells = [[row.get(name, "") for name in columns] for row in rows]
        found = {name: array([c[i] for c in cells], string()) for i, name in enumerate(columns)}
        buffer = BytesIO()
        parquet.write_table(table(found), buffer)
        write_bytes(path, buffer.getvalue())
        return
    text = StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def check_column(path: Path, column: str, known: Iterable[str]) -> str:
    """Return the column if the table has it.

    Raises:
        CohortError: If it has not; the message gives the nearest name.
    """
    names = list(known)
    if column in names:
        return column
    folded = {n.casefold(): n for n in names}
    near = get_close_matches(column.casefold(), folded, n=1, cutoff=0.5)
    hint = f"did you mean '{folded[near[0]]}'?" if near else f"expected one of {', '.join(names)}"
    raise CohortError(f"{path}: no column '{column}'; {hint}")


def delimited(path: Path, encoding: str, delimiter: str) -> Iterator[Row]:
    """Yield the rows of a text table whose first line names the columns.

    Raises:
        CohortError: If a line is malformed.
    """
    start = 1
    with path.open(encoding=encoding, newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            check_header(path, header)
            start = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield Row(start, cells_by_name(path, start, header, cells))
                start = reader.line_num + 1
        except csv.Error as error:
            raise CohortError(
                f"{path}: row {start} is malformed ({error}); expected cells parted by "
                f"{delimiter!r}, with quotes closed"
            ) from error


def check_header(path: Path, header: Sequence[str]) -> None:
    """Raise unless there are columns, each named once (unnamed ones are passed over).

    Raises:
        CohortError: If not.
    """
    named = [n for n in header if n]
    if not named:
        raise CohortError(f"{path}: line 1 is empty; expected the names of the columns")
    twice = next((n for n in named if named.count(n) > 1), None)
    if twice is not None:
        raise CohortError(f"{path}: line 1 names column '{twice}' twice")
    if len(header) == 1 and re.search("[;|\t,]", header[0]):
        raise CohortError(
            f"{path}: line 1 is one column '{header[0][:60]}'; expected another sign between "
            "columns: a comma in .csv, a tab in .tsv"
        )


def cells_by_name(
    path: Path, number: int, header: Sequence[str], cells: Sequence[str]
) -> dict[str, str]:
    """Return a line's cells under their column names.

    Raises:
        CohortError: If the line has more or fewer cells than the header has names.
    """
    missing = header[len(cells) :]
    if len(cells) > len(header) or any(missing):
        raise CohortError(
            f"{path}: row {number} has {len(cells)} cells; expected {len(header)} as in line 1"
        )
    if any("\0" in cell for cell in cells):
        raise CohortError(f"{path}: row {number} holds NUL bytes; expected text, or its encoding")
    return {name: cell for name, cell in zip(header, cells, strict=False) if name}


def json_lines(path: Path, encoding: str) -> Iterator[Row]:
    """Yield the rows of a file with one JSON object a line."""
    with path.open(encoding=encoding) as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield Row(number, json_row(path, number, line))


def json_row(path: Path, number: int, line: str) -> dict[str, str]:
    """Return one line's object with its values as text.

    Raises:
        CohortError: If the line is no JSON object.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CohortError(f"{path}: row {number} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise CohortError(f"{path}: row {number} is no JSON object; expected {{column: value}}")
    return {name: as_text(cell) for name, cell in value.items()}


def parquet_rows(path: Path, _encoding: str) -> Iterator[Row]:
    """Yield the rows of a Parquet file, whose texts have one encoding."""
    for number, values in enumerate(parquet.read_table(path).to_pylist(), start=1):
        yield Row(number, {name: as_text(cell) for name, cell in values.items()})


def as_text(value: object) -> str:
    """Return a cell as text: nothing if missing, ``3`` for 3.0, JSON for what is nested."""
    if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)


READERS: Mapping[str, Callable[[Path, str], Iterator[Row]]] = MappingProxyType(
    {
        ".csv": lambda path, encoding: delimited(path, encoding, ","),
        ".tsv": lambda path, encoding: delimited(path, encoding, "\t"),
        ".jsonl": json_lines,
        ".parquet": parquet_rows,
    }
)
