"""Which rows of a table become records; every other row is left out for a stated reason."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fairgen.errors import CohortError
from fairgen.files.folder import inner_path
from fairgen.files.rows import Row
from fairgen.intake.lookup import Lookup, lookup, plain
from fairgen.intake.pixels import ENDINGS
from fairgen.intake.spec import UNKNOWN, TableSettings, columns_of


@dataclass(frozen=True)
class Left:
    """Says why a row is left out."""

    reason: str


@dataclass(frozen=True)
class Pick:
    """Holds what counts of one row.

    Attributes:
        number: The row's number in the table.
        file: Path relative to the folder of images.
        subject: Who it shows.
        levels: Level of each attribute, then the label.
        extra: Columns to carry along.
        text: Prompt of its own, or empty.
    """

    number: int
    file: str
    subject: str
    levels: tuple[str, ...]
    extra: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Column:
    """Reads the level of one attribute, or of the label, from a row."""

    name: str
    column: str
    known: Lookup | None
    settings: TableSettings

    def level(self, row: Row) -> str | Left:
        """Return the row's level, or why the row is left out.

        Raises:
            CohortError: If the value is missing or unlisted and the settings say to stop.
        """
        value = plain(cell(row, self.column))
        found = self.known.level(value) if self.known else None
        if found is not None:
            return found
        if is_missing(value, self.settings):
            return self.missing(value)
        if self.known is None:
            return value
        if self.settings.others == "drop":
            return Left(f"{self.name} outside levels")
        listed = ", ".join(dict.fromkeys(str(v) for v in self.known.exact))
        raise CohortError(
            f"column '{self.column}': '{value}' belongs to no level of '{self.name}'"
            f"{f'; expected one of {listed}' if listed else ''}, or others = drop"
        )

    def missing(self, value: str) -> str | Left:
        """Return what stands for a missing value.

        Raises:
            CohortError: If the settings say to stop.
        """
        if self.settings.missing == "level":
            return UNKNOWN
        if self.settings.missing == "drop":
            return Left(f"missing {self.name}")
        raise CohortError(
            f"column '{self.column}': '{value}' means missing; "
            "expected a value, or missing = drop or level"
        )


def choose(table: Path, rows: list[Row], spec: TableSettings) -> tuple[list[Pick], Counter[str]]:
    """Return the rows that become records, and how many others there are by reason.

    Raises:
        CohortError: If a row is wrong, two rows name one image, or no row is left.
    """
    readers = readers_of(spec)
    picks: list[Pick] = []
    dropped: Counter[str] = Counter()
    places: dict[str, int] = {}
    for row in rows:
        try:
            found = pick_row(row, spec, readers)
        except CohortError as error:
            raise CohortError(f"{table}: row {row.number}: {error}") from error
        if isinstance(found, Left):
            dropped[found.reason] += 1
            continue
        first = places.setdefault(found.file, row.number)
        if first != row.number:
            raise CohortError(
                f"{table}: row {row.number}: image '{found.file}' is that of row {first} too; "
                "expected one row an image"
            )
        picks.append(found)
    refuse_nothing(table, len(picks), dropped)
    return picks, dropped


def readers_of(spec: TableSettings) -> tuple[Column, ...]:
    """Return the readers of the attributes, then of the label.

    Raises:
        StudyError: If two levels list one value.
    """
    return tuple(
        Column(name, column, None if levels is None else lookup(name, levels), spec)
        for name, column, levels in columns_of(spec)
    )


def pick_row(row: Row, spec: TableSettings, readers: Iterable[Column]) -> Pick | Left:
    """Return what counts of a row, or why it is left out.

    Raises:
        CohortError: If a value is wrong; the message names the column and the value.
    """
    for column, wanted in spec.rows.items():
        if plain(row.values.get(column, "")) not in map(plain, wanted):
            return Left(f"{column} not {' or '.join(wanted)}")
    file, subject = file_of(row, spec), subject_of(row, spec)
    levels = []
    for found in (file, subject, *(reader.level(row) for reader in readers)):
        if isinstance(found, Left):
            return found
        levels.append(found)
    extra = MappingProxyType({k: cell(row, k) for k in spec.keep})
    text = cell(row, spec.prompt_column).strip() if spec.prompt_column else ""
    return Pick(row.number, levels[0], levels[1], tuple(levels[2:]), extra, text)


def cell(row: Row, column: str) -> str:
    """Return the text of a cell; empty if the row lacks the column.

    Raises:
        CohortError: If it holds a list or table of JSON, which is no value of a column.
    """
    text = row.values.get(column, "")
    if text.startswith(("{", "[")) and is_json(text):
        raise CohortError(f"column '{column}': '{text[:60]}' is nested; expected text or a number")
    return text


def is_json(text: str) -> bool:
    """Return whether a text is JSON."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def file_of(row: Row, spec: TableSettings) -> str | Left:
    """Return the path of a row's image, or why the row is left out.

    Raises:
        CohortError: If the name is missing, leaves the folder, or is no image's.
    """
    name = cell(row, spec.file_column).strip()
    if is_missing(name, spec):
        return absent(spec.file_column, name, "file name", spec)
    path = inner_path(name + spec.suffix)
    if not path.name.lower().endswith(ENDINGS):
        raise CohortError(
            f"column '{spec.file_column}': '{path}' has no image's ending; "
            f"expected one of {', '.join(ENDINGS)}; a suffix can be appended"
        )
    if not (spec.images / path).resolve().is_relative_to(spec.images.resolve()):
        raise CohortError(f"column '{spec.file_column}': '{path}' is a link out of the folder")
    return path.as_posix()


def subject_of(row: Row, spec: TableSettings) -> str | Left:
    """Return who a row shows, or why the row is left out; without a column, each row is one.

    Raises:
        CohortError: If the subject is missing and the settings do not say to leave the row out.
    """
    if spec.subject_column is None:
        return f"image:{row.number}"  # its file's name could be a person's
    value = plain(cell(row, spec.subject_column))
    if is_missing(value, spec):
        return absent(spec.subject_column, value, "subject", spec)
    return value


def absent(column: str, value: str, what: str, spec: TableSettings) -> Left:
    """Return that a row is left out for want of a file name or subject.

    Raises:
        CohortError: If the settings do not say so.
    """
    if spec.missing != "drop":
        raise CohortError(f"column '{column}': '{value}' means missing; expected a {what}")
    return Left(f"missing {what}")


def is_missing(value: str, spec: TableSettings) -> bool:
    """Return whether a value stands for a missing one."""
    return value.casefold() in {v.casefold() for v in spec.missing_values}


def refuse_nothing(table: Path, kept: int, dropped: Mapping[str, int]) -> None:
    """Raise if no row is left.

    Raises:
        CohortError: If so; the message counts the reasons.
    """
    if not kept:
        reasons = ", ".join(f"{reason}: {n}" for reason, n in dropped.items())
        raise CohortError(f"{table}: no row is left ({reasons}); expected at least one")
