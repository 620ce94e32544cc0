"""Cohort folders: read with every check, and written as Hugging Face image folders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from fairgen.cohort.cohort import SPLITS, Cohort, Record
from fairgen.cohort.schema import Group, Schema
from fairgen.cohort.split import straddlers
from fairgen.errors import CohortError
from fairgen.files.atomic import copy_file, fresh_folder
from fairgen.files.card import Card, LevelsCard, PromptCard, read_card, write_card
from fairgen.files.image import write_image
from fairgen.files.rows import Row, check_column, read_rows, write_rows
from fairgen.files.shards import size_of
from fairgen.modalities.modality import Modality, Prompts, find_modality

SPLIT_FOLDERS: Mapping[str, str] = MappingProxyType(
    {"train": "train", "valid": "validation", "test": "test"}
)
CSV, PARQUET = "metadata.csv", "metadata.parquet"
TABLES = (CSV, "metadata.jsonl", PARQUET)
Pixels = UInt8[np.ndarray, "h w c"]


@dataclass(frozen=True)
class CohortFolder:
    """Holds a cohort and where its images lie.

    Attributes:
        root: The folder.
        cohort: Schema and records.
        prompts: Wording of the groups.
        modality: Kind of image.
        source: Where the images come from; anything that JSON can hold.
        split: Seed, fractions and counts of the split, once there is one.
        terms: Name of the file in ``root`` with the terms of use, or empty.
    """

    root: Path
    cohort: Cohort
    prompts: Prompts
    modality: Modality
    source: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    split: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    terms: str = ""

    def path(self, record: Record) -> Path:
        """Return the path of a record's image."""
        return self.root / record.image


def read_cohort(root: str | Path, *, strict: bool = True) -> CohortFolder:
    """Read a cohort folder and check all of it but the pixels.

    Args:
        root: Folder with ``cohort.json``.
        strict: Also refuse missing images, images named twice, and subjects in several splits. An
            audit reads without it, to report them all.

    Raises:
        CohortError: If anything is wrong; the message names file, row, column and value.
    """
    root = Path(root)
    card = read_card(root)
    schema = card.schema_of_groups()
    prompts = Prompts(schema, card.prompt.template, card.prompt.words)
    records = tuple(r for part in parts(root, card) for r in read_part(root, part, prompts))
    cohort = Cohort(schema, records)
    if strict:
        check_records(root, cohort)
    modality = find_modality(card.modality)
    return CohortFolder(root, cohort, prompts, modality, card.source, card.split, card.terms)


def parts(root: Path, card: Card) -> tuple[str, ...]:
    """Return the names of the splits that have a folder, or one empty name if not split.

    Raises:
        CohortError: If a folder of the split that ``cohort.json`` lists is missing.
    """
    if card.layout == "flat":
        return ("",)
    present = tuple(s for s in SPLITS if (root / SPLIT_FOLDERS[s]).is_dir())
    for name, count in card.split.get("counts", {}).items():
        if count and name not in present:
            raise CohortError(f"{root}: folder '{SPLIT_FOLDERS.get(name, name)}' is missing")
    return present


def read_part(root: Path, split: str, prompts: Prompts) -> list[Record]:
    """Return the records of one table, whose images are named relative to ``root``.

    Raises:
        CohortError: If a row is wrong.
    """
    folder = SPLIT_FOLDERS[split] if split else ""
    table = find_table(root / folder)
    rows = read_rows(table)
    named = ("file_name", "subject_id", *columns(prompts.schema))
    known = dict.fromkeys(column for row in rows for column in row.values)
    for column in named if rows else ():
        check_column(table, column, known)
    return [record(table, row, split, prompts) for row in rows]


def find_table(folder: Path) -> Path:
    """Return the one metadata table of a folder.

    Raises:
        CohortError: If there is none or several.
    """
    found = [name for name in TABLES if (folder / name).is_file()]
    if len(found) != 1:
        raise CohortError(
            f"{folder}: found {', '.join(found) or 'no metadata table'}; "
            f"expected one of {', '.join(TABLES)}"
        )
    return folder / found[0]


def columns(schema: Schema) -> tuple[str, ...]:
    """Return the names of the attribute columns and the label column."""
    return tuple(a.name for a in (*schema.attributes, schema.label))


def record(table: Path, row: Row, split: str, prompts: Prompts) -> Record:
    """Return the record of one row.

    Raises:
        CohortError: If a value is missing or unknown, or the path leaves the folder.
    """
    values = row.values
    try:
        *levels, label = (values.get(c, "") for c in columns(prompts.schema))
        group = prompts.schema.check(Group(tuple(levels), label))
        own = inner_path(values.get("file_name", ""))
        subject = filled(values.get("subject_id", ""), "subject_id")
        part = split_of_row(values.get("split", ""), split)
    except CohortError as error:
        image = values.get("file_name", "")
        raise CohortError(f"{table}: row {row.number} ({image}): {error}") from error
    known = {"file_name", "subject_id", "text", "split", *columns(prompts.schema)}
    extra = {k: v for k, v in values.items() if k not in known}
    image = (PurePosixPath(SPLIT_FOLDERS[split]) / own if split else own).as_posix()
    text = values.get("text", "") or prompts.render(group)
    return Record(image, subject, group, text, part, MappingProxyType(extra))


def inner_path(name: str) -> PurePosixPath:
    """Return a path that a table names, if it stays inside the table's folder.

    Raises:
        CohortError: If it is empty, absolute, or contains ``..``.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    if not name.strip() or path.is_absolute() or drive or ".." in path.parts or not path.parts:
        raise CohortError(
            f"file_name '{name}' is empty or leaves the folder; expected a path in it"
        )
    return path


def filled(value: str, column: str) -> str:
    """Return the value of a column if it is not blank.

    Raises:
        CohortError: If it is.
    """
    if not value.strip():
        raise CohortError(f"{column} is empty; expected a value")
    return value


def split_of_row(value: str, folder_split: str) -> str:
    """Return the split of a row, where ``validation`` means ``valid``.

    Raises:
        CohortError: If the column contradicts the folder that the table lies in.
    """
    named = "valid" if value == "validation" else value
    if folder_split and named and named != folder_split:
        raise CohortError(f"split '{value}' in folder '{SPLIT_FOLDERS[folder_split]}'")
    return folder_split or named


def check_records(root: Path, cohort: Cohort) -> None:
    """Raise if an image is missing, outside the folder or named twice, or a subject is split.

    Raises:
        CohortError: If so.
    """
    inside = root.resolve()
    seen: set[str] = set()
    for entry in cohort.records:
        path = root / entry.image
        if entry.image in seen:
            raise CohortError(f"{path}: named by two rows; expected one row an image")
        if size_of(path) is None:
            raise CohortError(f"{path}: no such image file; `fairgen audit {root}` lists all")
        if not path.resolve().is_relative_to(inside):
            raise CohortError(f"{path}: is a link out of the cohort folder")
        seen.add(entry.image)
    for subject, names in straddlers(cohort).items():
        raise CohortError(
            f"{root}: subject '{subject}' is in splits {', '.join(names)}; expected one; "
            f"`fairgen audit {root}` lists all"
        )


def write_cohort(folder: CohortFolder, images: Callable[[Record], Path | Pixels]) -> CohortFolder:
    """Make a cohort folder in the flat layout: all of it or nothing.

    Args:
        folder: What it shall hold; ``folder.root`` must not exist or be empty.
        images: The image of a record: a file to copy, or pixels to store as PNG.

    Returns:
        The folder as ``read_cohort`` reads it.

    Raises:
        StudyError: If it exists or cannot be written.
    """
    with fresh_folder(folder.root) as partial:
        for entry in folder.cohort.records:
            target = partial / inner_path(entry.image)
            image = images(entry)
            if isinstance(image, Path):
                copy_file(image, target)
            else:
                write_image(target, image)
        write_tables(replace(folder, root=partial))
    return read_cohort(folder.root)


def write_tables(folder: CohortFolder) -> None:
    """Write ``metadata.csv`` and ``cohort.json`` of the flat layout; the images are there already.

    Raises:
        StudyError: If they cannot be written.
    """
    write_records(folder, folder.cohort.records, "")
    write_card(folder.root, card_of(folder, layout="flat"))


def write_records(
    folder: CohortFolder, records: tuple[Record, ...], split: str, *, table: str = CSV
) -> None:
    """Write the table of one split, or of the flat layout if ``split`` is empty.

    Args:
        folder: What the table belongs to.
        records: Its rows.
        split: Name of the split.
        table: Name of the file, ``CSV`` or ``PARQUET``.

    Raises:
        CohortError: If two columns would have one name.
        StudyError: If it cannot be written.
    """
    inner = SPLIT_FOLDERS[split] if split else ""
    schema = folder.cohort.schema
    extra = tuple(dict.fromkeys(k for r in folder.cohort.records for k in r.extra))
    names = ("file_name", "subject_id", *columns(schema), "text", "split", *extra)
    twice = next((n for n in names if names.count(n) > 1 or n == "image"), None)
    if twice is not None:
        raise CohortError(f"column '{twice}' is reserved or named twice; expected another name")
    rows = (row_values(r, inner, folder.prompts) for r in records)
    write_rows(folder.root / inner / table, names, rows)


def row_values(entry: Record, inner: str, prompts: Prompts) -> dict[str, str]:
    """Return a record as the values of a row in the table of folder ``inner``."""
    image = PurePosixPath(entry.image)
    levels = zip(columns(prompts.schema), (*entry.group.levels, entry.group.label), strict=True)
    return {
        **entry.extra,
        "file_name": (image.relative_to(inner) if inner else image).as_posix(),
        "subject_id": entry.subject,
        **dict(levels),
        "text": entry.text or prompts.render(entry.group),
        "split": entry.split,
    }


def card_of(folder: CohortFolder, *, layout: str) -> Card:
    """Return what ``cohort.json`` shall say."""
    schema, prompts = folder.cohort.schema, folder.prompts
    attributes = tuple(LevelsCard(name=a.name, levels=a.levels) for a in schema.attributes)
    return Card.model_validate(
        {
            "modality": folder.modality.name,
            "attributes": attributes,
            "label": LevelsCard(name=schema.label.name, levels=schema.label.levels),
            "prompt": PromptCard(template=prompts.template, words=dict(prompts.words)),
            "layout": layout,
            "split": dict(folder.split),
            "source": dict(folder.source),
            "terms": folder.terms,
        }
    )
