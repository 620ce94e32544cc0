"""The tables of a release: found by name, read whatever their packing, checked for columns."""

import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from fairgen.errors import CohortError, MissingExtra
from fairgen.files.folder import inner_path
from fairgen.files.rows import Row, cells_by_name, check_column, check_header, read_rows

EXCEL = (".xls", ".xlsx")


def find_table(root: Path, given: str, names: Sequence[str]) -> Path:
    """Return the table of a release.

    Args:
        root: Folder of the release.
        given: The table's path in it, if the user named it.
        names: Patterns that the release's own names follow; the first that fits counts.

    Raises:
        CohortError: If there is none, or several fit.
    """
    if not root.is_dir():
        raise CohortError(f"{root}: no such folder; expected the folder of the release")
    if given:
        path = root / inner_path(given)
        if not path.is_file():
            raise CohortError(f"{path}: no such table")
        return path
    for name in names:
        found = sorted(p for p in root.glob(name) if p.is_file())
        if len(found) > 1:
            listed = ", ".join(p.name for p in found)
            raise CohortError(f"{root}: found {listed}; expected one of them, as table=NAME")
        if found:
            return found[0]
    raise CohortError(f"{root}: no table; expected {', '.join(names)}, or another as table=NAME")


def read_table(
    path: Path, columns: Iterable[str], renamed: Mapping[str, str] = MappingProxyType({})
) -> list[Row]:
    """Return the rows of a table that has certain columns.

    Args:
        path: A table, also packed by gzip, or a spreadsheet.
        columns: Columns that it must have.
        renamed: Other names under which releases have columns, and the names to give them.

    Raises:
        CohortError: If it cannot be read, has no rows, or lacks a column.
        MissingExtra: If it is a spreadsheet and the package that reads it is not installed.
    """
    rows = read_any(path)
    if renamed:
        rows = [Row(r.number, {renamed.get(k, k): v for k, v in r.values.items()}) for r in rows]
    if not rows:
        raise CohortError(f"{path}: has no rows")
    for column in columns:
        check_column(path, column, rows[0].values)
    return rows


def read_any(path: Path) -> list[Row]:
    """Return the rows of a table, every value as text.

    Raises:
        CohortError: If it cannot be read.
        MissingExtra: If it is a spreadsheet and the package that reads it is not installed.
    """
    if path.suffix.lower() in EXCEL:
        return read_spreadsheet(path)
    if path.suffix.lower() == ".gz":
        return list(packed(path))
    return read_rows(path)


def packed(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV file packed by gzip.

    Raises:
        CohortError: If it cannot be unpacked or is malformed.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [name.strip() for name in next(reader, [])]
            check_header(path, header)
            for cells in reader:
                if cells:
                    number = reader.line_num
                    yield Row(number, cells_by_name(path, number, header, cells))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise CohortError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error


def read_spreadsheet(path: Path) -> list[Row]:
    """Return the rows of the first sheet of a spreadsheet.

    Raises:
        CohortError: If it cannot be read.
        MissingExtra: If the package that reads it is not installed.
    """
    try:
        sheet = import_module("pandas").read_excel(path, dtype=str, keep_default_na=False)
    except ImportError as error:
        package = "xlrd" if path.suffix.lower() == ".xls" else "openpyxl"
        raise MissingExtra(
            f"{path}: a spreadsheet needs {package}, which is not installed; "
            "expected that package, or the table saved as CSV"
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise CohortError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    header = [str(name).strip() for name in sheet.columns]
    lines = sheet.itertuples(index=False)
    return [
        Row(number, {n: str(v) for n, v in zip(header, line, strict=True)})
        for number, line in enumerate(lines, start=2)
    ]


def kept(row: Row, columns: Iterable[str]) -> Mapping[str, str]:
    """Return the columns of a row that are to be carried along."""
    return MappingProxyType({c: row.values.get(c, "") for c in columns})
