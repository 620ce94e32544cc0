"""A table and a folder of images become a cohort folder; every row left out is counted."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Group, Schema
from fairgen.errors import CohortError, StudyError
from fairgen.files.atomic import copy_file, fresh_folder
from fairgen.files.digest import file_digest
from fairgen.files.folder import CohortFolder, read_cohort, write_tables
from fairgen.files.image import write_image
from fairgen.files.rows import Row, check_column, read_rows
from fairgen.intake.lookup import as_number
from fairgen.intake.pick import Left, Pick, choose, place_of, refuse_nothing
from fairgen.intake.pixels import read_pixels
from fairgen.intake.source import made_from
from fairgen.intake.spec import UNKNOWN, TableSettings, columns_of
from fairgen.modalities.modality import Modality, Prompts, find_modality

MOST_LEVELS = 50


def import_table(table: str | Path, *, out: str | Path, spec: TableSettings) -> CohortFolder:
    """Make a cohort folder from a table and a folder of images.

    Repeating the call does nothing, even if the cohort has been split since.

    Args:
        table: A CSV, TSV, JSON lines or Parquet file.
        out: Folder to make.
        spec: What the columns mean.

    Raises:
        CohortError: If a row or an image is wrong (the message names file, row, column and value),
            no row is left, or ``out`` holds another cohort.
        StudyError: If the settings contradict themselves or the table, or ``out`` cannot be
            written.
    """
    table, out = Path(table), Path(out)
    check_settings(spec)
    rows = read_rows(table, encoding=spec.encoding)
    check_columns(table, rows, spec)
    picks, dropped = choose(table, rows, spec)
    source = {
        "importer": "table",
        "table": table.name,
        "table_sha256": file_digest(table),
        "images_sha256": names_and_sizes(spec.images, picks),
        "settings": spec.model_dump(mode="json", exclude={"images", "terms"}),
    }
    if made_from(out, source):
        return read_cohort(out)
    prompts = make_prompts(table, picks, spec)
    build = Build(table, spec, prompts, find_modality(spec.modality), source, len(rows))
    with fresh_folder(out) as partial:
        build.fill(partial, picks, dropped)
    return read_cohort(out)


@dataclass(frozen=True)
class Build:
    """Holds what is settled before the first image is copied."""

    table: Path
    spec: TableSettings
    prompts: Prompts
    modality: Modality
    source: Mapping[str, Any]
    rows: int

    def fill(self, root: Path, picks: list[Pick], dropped: Counter[str]) -> None:
        """Write images, table and description into a folder.

        Raises:
            CohortError: If an image is wrong, or none is left.
            StudyError: If something cannot be written.
        """
        records = []
        for pick in picks:
            image = self.bring(root, pick)
            if isinstance(image, Left):
                dropped[image.reason] += 1
            else:
                records.append(self.record(pick, image))
        refuse_nothing(self.table, len(records), dropped)
        cohort = Cohort(self.prompts.schema, tuple(records))
        source = {**self.source, **account(self.spec, self.rows, len(records), dropped)}
        terms = self.spec.terms
        if terms is not None:
            copy_file(terms, root / terms.name)
        name = terms.name if terms else ""
        write_tables(CohortFolder(root, cohort, self.prompts, self.modality, source, terms=name))

    def bring(self, root: Path, pick: Pick) -> str | Left:
        """Write the pixels of one image anew, without its file's headers; return its place.

        Raises:
            CohortError: If it is missing or broken and the settings say to stop.
            StudyError: If it cannot be written.
        """
        source, place = self.spec.images / pick.file, place_of(pick)
        try:
            pixels = read_pixels(source, size=self.spec.size, channels=self.modality.channels)
        except CohortError as error:
            if self.spec.unreadable == "drop":
                return Left("unreadable")
            raise CohortError(f"{self.table}: row {pick.number}: {error}") from error
        write_image(root / place, pixels)
        return place

    def record(self, pick: Pick, image: str) -> Record:
        """Return the record of a row whose image is in its place."""
        *levels, label = pick.levels
        group = Group(tuple(levels), label)
        return Record(image, pick.subject, group, self.prompts.render(group), extra=pick.extra)


def check_settings(spec: TableSettings) -> None:
    """Raise unless the settings make sense by themselves.

    Raises:
        StudyError: If not.
    """
    find_modality(spec.modality)
    check_roles(spec)
    if not spec.images.is_dir():
        raise StudyError(f"{spec.images}: no such folder; expected the folder of the images")
    if spec.terms is not None and not spec.terms.is_file():
        raise StudyError(f"{spec.terms}: no such file; expected the terms of use")
    if spec.subject_column is None and not spec.subject_waiver.strip():
        raise StudyError(
            "no subject column: images of one patient could fall into training and test data; "
            "expected a subject column, or a waiver that says why there is none"
        )


def check_roles(spec: TableSettings) -> None:
    """Raise if the label is read from an attribute's column, without values listed by level.

    Raises:
        StudyError: If so; who has the label would follow from the attribute alone.
    """
    label = spec.label
    for name, attribute in spec.attributes.items():
        listed = attribute.levels is not None and label.levels is not None
        if attribute.column == label.column and not listed:
            raise StudyError(
                f"attribute '{name}' and label '{label.name}' are both column '{label.column}'; "
                "expected two columns, or values listed by level for both"
            )


def check_columns(table: Path, rows: list[Row], spec: TableSettings) -> None:
    """Raise unless the table has rows and every column that the settings name.

    Raises:
        CohortError: If not.
    """
    if not rows:
        raise CohortError(f"{table}: has no rows")
    known = dict.fromkeys(column for row in rows for column in row.values)
    named = [column for _, column, _ in columns_of(spec)]
    subject = [spec.subject_column] if spec.subject_column else []
    for column in (spec.file_column, *subject, *named, *spec.rows, *spec.keep):
        check_column(table, column, known)


def names_and_sizes(images: Path, picks: list[Pick]) -> str:
    """Return a digest of the images' names and byte counts; a missing one counts as -1."""
    total = sha256()
    for pick in picks:
        path = images / pick.file
        total.update(f"{pick.file}:{path.stat().st_size if path.is_file() else -1};".encode())
    return total.hexdigest()


def make_prompts(table: Path, picks: list[Pick], spec: TableSettings) -> Prompts:
    """Return the schema and its wording.

    Raises:
        CohortError: If a column has too many or confusable values, or two groups share a prompt.
        StudyError: If a word stands for no level.
    """
    *attributes, label = (
        Attribute(
            name, levels_of(f"{table}: column '{column}'", levels, (p.levels[i] for p in picks))
        )
        for i, (name, column, levels) in enumerate(columns_of(spec))
    )
    known = {level for a in (*attributes, label) for level in a.levels}
    for word in spec.words:
        if word not in known:
            near = get_close_matches(word, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"expected {', '.join(sorted(known))}"
            raise StudyError(f"words: '{word}' is no level; {hint}")
    schema = Schema(tuple(attributes), label)
    return Prompts(schema, spec.template or find_modality(spec.modality).template, spec.words)


def levels_of(
    where: str, mapping: Mapping[str, tuple[str, ...]] | None, found: Iterable[str]
) -> tuple[str, ...]:
    """Return an attribute's levels in order, ``unknown`` last if it occurs.

    Raises:
        CohortError: If without a mapping there are too many values, or some differ only in case.
    """
    seen = set(found)
    last = (UNKNOWN,) if UNKNOWN in seen and UNKNOWN not in (mapping or ()) else ()
    if mapping is not None:
        return (*mapping, *last)
    values = seen.difference(last)
    if len(values) > MOST_LEVELS:
        raise CohortError(
            f"{where} has {len(values)} distinct values; expected at most {MOST_LEVELS}, "
            "or values listed by level"
        )
    folded = Counter(v.casefold() for v in values)
    alike = sorted(v for v in values if folded[v.casefold()] > 1)
    if alike:
        raise CohortError(
            f"{where}: {', '.join(alike)} differ only in case; expected values listed by level"
        )
    return (*sorted(values, key=by_number(values)), *last)


def by_number(values: Iterable[str]) -> Callable[[str], tuple[float, str]]:
    """Return a sort key: by size if all values are numbers, else by spelling."""
    numbers = {v: as_number(v) for v in values}
    if None in numbers.values():
        return lambda v: (0.0, v)
    return lambda v: (numbers[v] or 0.0, v)


def account(
    spec: TableSettings, rows: int, kept: int, dropped: Mapping[str, int]
) -> dict[str, Any]:
    """Return what became of the rows, and how subjects are told apart."""
    subject = f"column {spec.subject_column}" if spec.subject_column else "each image by itself"
    return {
        "rows": rows,
        "kept": kept,
        "dropped": dict(sorted(dropped.items())),
        "subject": subject,
        "subject_waiver": spec.subject_waiver,
    }
