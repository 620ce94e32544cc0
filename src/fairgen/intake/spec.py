"""What a table's columns mean: settings of the table import, and their short form as text."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from fairgen.errors import StudyError
from fairgen.intake.nifti import LARGEST
from fairgen.intake.pixels import Showing
from fairgen.intake.volumes import Slices

MISSING = (
    "", "na", "n/a", "nan", "nat", "null", "none", "<na>", "?", "unknown", "missing",
    "not available", "not reported",
)  # fmt: skip
UNKNOWN = "unknown"

Levels = dict[str, tuple[str, ...]]
Names = tuple[str, ...]


class AttributeColumn(BaseModel, extra="forbid", frozen=True, coerce_numbers_to_str=True):
    """Says which column holds an attribute and how its values become levels.

    Attributes:
        column: Column of the table.
        levels: Values of each level, in the order of the levels. A value may be an interval of
            numbers: ``<=75``, ``>75``, ``60..75`` (both ends belong to it). ``None`` takes every
            value that occurs as a level.
    """

    column: str
    levels: Levels | None = None


class LabelColumn(BaseModel, extra="forbid", frozen=True, coerce_numbers_to_str=True):
    """Says which column holds the disease label, as ``AttributeColumn`` does.

    Attributes:
        name: Name of the label in the cohort.
        column: Column of the table.
        levels: Values of each level; ``None`` takes every value that occurs.
    """

    name: str
    column: str
    levels: Levels | None = None


class TableSettings(BaseModel, extra="forbid", frozen=True, coerce_numbers_to_str=True):
    """Says how a table and a folder of images become a cohort.

    Attributes:
        images: Folder that the file names are relative to.
        attributes: The sensitive attributes: name in the cohort, and column.
        label: The disease label.
        file_column: Column with the images' file names.
        suffix: Ending to append to the file names, such as ``.jpg``.
        subject_column: Column that identifies the patient.
        subject_waiver: Why patients cannot be told apart, if they cannot; kept with the cohort and
            shown with every result. Required without a ``subject_column``.
        missing: What to do with a row whose subject, attribute or label is missing: leave it out
            and count it, give it the level ``unknown`` of its own, or stop.
        missing_values: Values that mean "missing", compared without case. A value that a level
            lists by itself is never missing.
        others: What to do with a row whose value no level lists: leave it out and count it, or
            stop.
        unreadable: What to do with an image that is missing or broken: likewise.
        rows: Values that a column must have for a row to be looked at, such as
            ``{"plane": ("axial",)}``.
        encoding: Of the table, if it is text; ``latin-1`` is common beside ``utf-8``.
        keep: Further columns to carry along; all others stay behind.
        modality: Key in ``MODALITIES``.
        template: Prompt template; empty for the modality's own.
        words: How single levels are worded in prompts.
        size: Side in pixels of a centre crop to a square; ``None`` keeps each image's size. Pixels
            are stored anew as PNG, so that no header of a file goes on.
        terms: File with the terms of use, which travels with the cohort.
        salt: File with the secret that turns subjects into pseudonyms, made if there is none;
            ``None`` keeps the table's ids.
        prompt_column: Column of prompts for other tools, which read them image by image; empty
            cells, and ``None``, give the group's prompt, with which FairGen itself trains.
        slices: Where volumes are cut; each slice is an image.
        show: How DICOM files and volumes are shown.
        flag_text: Whether images that seem to show words are marked.
    """

    images: Path
    attributes: dict[str, AttributeColumn]
    label: LabelColumn
    file_column: str = "file_name"
    suffix: str = ""
    subject_column: str | None = None
    subject_waiver: str = ""
    missing: Literal["drop", "level", "error"] = "error"
    missing_values: Names = MISSING
    others: Literal["drop", "error"] = "error"
    unreadable: Literal["drop", "error"] = "error"
    rows: dict[str, Names] = Field(default_factory=dict)
    encoding: str = "utf-8"
    keep: Names = ()
    modality: str = "generic"
    template: str = ""
    words: dict[str, str] = Field(default_factory=dict)
    size: int | None = Field(default=None, ge=8, le=4096)
    terms: Path | None = None
    salt: Path | None = None
    prompt_column: str | None = None
    slices: Slices = (LARGEST,)
    show: Showing = Showing()
    flag_text: bool = True


def columns_of(spec: TableSettings) -> tuple[tuple[str, str, Levels | None], ...]:
    """Return name, column and levels of the attributes, then of the label."""
    label = spec.label
    named = ((name, a.column, a.levels) for name, a in spec.attributes.items())
    return (*named, (label.name, label.column, label.levels))


def parse_attribute(text: str) -> tuple[str, AttributeColumn]:
    """Return the name and column that a short text describes.

    ``sex`` is a column of that name, ``sex=Sex`` renames it, and
    ``tone=skin_tone_class:dark=0,1,2;medium=3;light=4,5`` lists each level's values, and
    ``age:young=<=75;old=>75`` its numbers; a level without ``=`` has its own name as its value.

    Raises:
        StudyError: If the text is malformed.
    """
    head, colon, tail = text.partition(":")
    name, equals, column = (part.strip() for part in head.partition("="))
    if not name or (equals and not column):
        raise StudyError(f"attribute '{text}': expected NAME, NAME=COLUMN or NAME=COLUMN:LEVELS")
    levels = parse_levels(text, tail) if colon else None
    return name, AttributeColumn(column=column or name, levels=levels)


def parse_attributes(texts: Iterable[str]) -> dict[str, AttributeColumn]:
    """Return the attributes that short texts describe, by name.

    Raises:
        StudyError: If a text is malformed, or two describe an attribute of the same name.
    """
    found: dict[str, AttributeColumn] = {}
    for text in texts:
        name, column = parse_attribute(text)
        if name in found:
            raise StudyError(f"attribute '{text}': '{name}' is named twice; expected two names")
        found[name] = column
    return found


def parse_label(text: str) -> LabelColumn:
    """Return the label column that a short text describes, as ``parse_attribute`` reads it.

    Raises:
        StudyError: If the text is malformed.
    """
    name, column = parse_attribute(text)
    return LabelColumn(name=name, column=column.column, levels=column.levels)


def parse_levels(text: str, tail: str) -> Levels:
    """Return the values of each level from a text such as ``dark=0,1,2;medium=3``.

    Raises:
        StudyError: If a level is nameless, empty or named twice.
    """
    levels: Levels = {}
    for part in tail.split(";"):
        name, *values = re.split(r"(?<![<>])=", part, maxsplit=1)
        listed = tuple(v.strip() for v in (values or [name])[0].split(","))
        if not name.strip() or name.strip() in levels or not any(listed):
            raise StudyError(f"attribute '{text}': level '{part}'; expected LEVEL=VALUE,VALUE once")
        levels[name.strip()] = listed
    return levels
