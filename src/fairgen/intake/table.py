"""A table and a folder of images become a cohort folder; every row left out is counted."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any

from fairgen.cohort.cohort import Record
from fairgen.cohort.schema import Attribute, Group, Schema
from fairgen.errors import CohortError, StudyError
from fairgen.files.digest import file_digest
from fairgen.files.folder import CohortFolder
from fairgen.files.rows import Row, check_column, read_rows
from fairgen.intake.identity import pseudonym, secret
from fairgen.intake.lookup import as_number
from fairgen.intake.make import Entry, Making, make_cohort, place_of
from fairgen.intake.pick import Pick, choose
from fairgen.intake.pixels import Decoding, is_volume
from fairgen.intake.spec import UNKNOWN, TableSettings, columns_of
from fairgen.modalities.modality import Prompts, find_modality

MOST_LEVELS = 50


def import_table(
    table: str | Path, *, out: str | Path, spec: TableSettings, workers: int = 1
) -> CohortFolder:
    """Make a cohort folder from a table and a folder of images.

    Repeating the call does nothing, even if the cohort has been split since; after a kill it goes
    on where it was. Images are written anew as PNG, so that no header of theirs goes on, under
    numbers in place of their names.

    Args:
        table: A CSV, TSV, JSON lines or Parquet file.
        out: Folder to make.
        spec: What the columns mean.
        workers: Number of processes that read images; the result is the same for any.

    Raises:
        CohortError: If a row or an image is wrong (the message names file, row, column and value),
            no row is left, or ``out`` holds another cohort.
        StudyError: If the settings contradict themselves or the table, or ``out`` cannot be
            written.
        MissingExtra: If files need a reader that is not there.
    """
    table, out = Path(table), Path(out)
    check_settings(spec)
    rows = read_rows(table, encoding=spec.encoding)
    check_columns(table, rows, spec)
    picks, dropped = choose(table, rows, spec)
    salt = secret(spec.salt, out)
    prompts = make_prompts(table, picks, spec)
    modality = find_modality(spec.modality)
    origin = {
        "importer": "table",
        "table": table.name,
        "table_sha256": file_digest(table),
        "images_sha256": names_and_sizes(spec.images, picks),
        "settings": spec.model_dump(mode="json", exclude={"images", "terms", "salt"}),
        "pseudonyms": pseudonym("fairgen", salt) if salt else "",
        **account(spec, len(rows), len(picks), dropped),
    }
    making = Making(
        table,
        tuple(entries(table, picks, spec, prompts, salt)),
        prompts,
        modality,
        Decoding(spec.size, modality.channels, spec.show, spec.flag_text),
        spec.unreadable,
        None if spec.terms is None else (spec.terms.name, spec.terms.read_bytes()),
        workers,
    )
    return make_cohort(out, origin, making)


def entries(
    table: Path, picks: list[Pick], spec: TableSettings, prompts: Prompts, salt: bytes
) -> Iterator[Entry]:
    """Yield the images of the rows, those of volumes slice by slice."""
    number = 0
    for pick in picks:
        *levels, label = pick.levels
        group = Group(tuple(levels), label)
        text = pick.text or prompts.render(group)
        subject = pseudonym(pick.subject, salt) if salt else pick.subject
        path = spec.images / pick.file
        for at in spec.slices if is_volume(path) else (None,):
            record = Record(place_of(number), subject, group, text, extra=pick.extra)
            yield Entry(f"{table}: row {pick.number}", path, at, record)
            number += 1


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
    prompt = [spec.prompt_column] if spec.prompt_column else []
    for column in (spec.file_column, *subject, *named, *prompt, *spec.rows, *spec.keep):
        check_column(table, column, known)


def names_and_sizes(images: Path, picks: list[Pick]) -> str:
    """Return a digest of the images' names and byte counts; a missing one counts as -1."""
    total = sha256()
    for pick in picks:
        line = f"{pick.file}:{size_of(images / pick.file)};"
        total.update(line.encode(errors="surrogatepass"))
    return total.hexdigest()


def size_of(path: Path) -> int:
    """Return a file's byte count, or -1 if there is none."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return -1


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
