"""Class folders whose names hold attribute and label, as the released FairGen has them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, model_validator

from fairgen.errors import CohortError
from fairgen.files.folder import inner_path
from fairgen.files.image import SUFFIXES
from fairgen.files.rows import Row, read_rows
from fairgen.intake.sources.plan import Item, Plan, Where, gather
from fairgen.intake.sources.release import Source
from fairgen.intake.sources.terms import Terms
from fairgen.intake.sources.traits import Reading, Trait, labels, schema_of

SPLITS = {"train": "train", "valid": "valid", "validation": "valid", "val": "valid", "test": "test"}
CAPTIONS = ("metadata.jsonl", "train/metadata.jsonl")
WAIVER = "class folders name no patients: images of one person may be in several splits"

TERMS = Terms(
    release="a folder of images, sorted into classes",
    address="(unknown: ask whoever made the folder)",
    licence="Unknown",
    conditions="Those of the data that the images came from; find them before any use.",
    consent="Unknown.",
    citation="The data that the images came from.",
)


class Options(BaseModel, extra="forbid", frozen=True):
    """Says how names of folders, or captions, hold attribute and label.

    Attributes:
        pattern: Name of a class folder, with ``{attribute}`` and ``{label}``; an underscore
            and a blank are the same.
        caption: The same for captions; empty if it is the same pattern.
        attribute: Name of the attribute in the cohort.
        label: Name of the label in the cohort.
        levels: Levels of the attribute, in order; ``None`` for all that occur.
        labels: Labels wanted, in order; ``None`` for all.
        subject: Regular expression that finds the subject in a file's name, in its first
            brackets if it has some; empty if names do not tell.
        modality: Kind of image.
    """

    pattern: str = "{attribute}_{label}"
    caption: str = ""
    attribute: str = "attribute"
    label: str = "label"
    levels: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    subject: str = ""
    modality: str = "generic"

    @model_validator(mode="after")
    def _patterns_hold(self) -> "Options":
        for text in (self.pattern, self.caption or self.pattern):
            if text.count("{attribute}") != 1 or text.count("{label}") != 1:
                raise ValueError(f"'{text}'; expected {{attribute}} and {{label}} once each")
        try:
            re.compile(self.subject)
        except re.error as error:
            raise ValueError(f"subject '{self.subject}' is no regular expression") from error
        return self


def plan(root: Path, options: Options) -> Plan:
    """Return which images become a cohort; file names are looked at, the files are not.

    Raises:
        CohortError: If there is no image, or a name or caption does not fit.
    """
    captions = next((root / c for c in CAPTIONS if (root / c).is_file()), None)
    rows = list(captioned(root, captions) if captions else listed(root))
    if not rows:
        raise CohortError(f"{root}: no image in a folder of its class; expected such")
    table = captions or root
    where = Where(table, root)
    matcher = matcher_of(options, captions=captions is not None)
    diagnosis = labels(options.label, "label", options.labels)
    trait = Trait(options.attribute, "attribute", levels_or_all(options))

    def values(row: Row) -> dict[str, str]:
        return matched(row.values["name"], matcher)

    def items(row: Row, levels: tuple[str, ...], label: str) -> list[Item]:
        file, split = row.values["file"], row.values["split"]
        return [Item(row.number, where, file, subject_of(row, options), levels, label, split)]

    reading = Reading(lambda row: diagnosis.level(values(row)), (trait,), "drop", items, values)
    found = gather(where, rows, reading)
    schema = schema_of((trait,), diagnosis, found.items)
    waiver = "" if options.subject else WAIVER
    return Plan((table,), schema, found, options.modality, waiver=waiver)


def levels_or_all(options: Options) -> dict[str, tuple[str, ...]] | None:
    """Return the attribute's levels as a trait has them."""
    return None if options.levels is None else {level: (level,) for level in options.levels}


def listed(root: Path) -> Iterator[Row]:
    """Yield the images in class folders, at the top or within folders of splits.

    Raises:
        CohortError: If there is no such folder.
    """
    if not root.is_dir():
        raise CohortError(f"{root}: no such folder; expected one with a folder a class")
    number = 0
    for folder in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")):
        split = SPLITS.get(folder.name, "")
        for kind in sorted(p for p in folder.iterdir() if p.is_dir()) if split else (folder,):
            for path in sorted(p for p in kind.iterdir() if p.suffix.lower() in SUFFIXES):
                number += 1
                file = path.relative_to(root).as_posix()
                yield Row(number, {"file": file, "name": kind.name, "split": split})


def captioned(root: Path, table: Path) -> Iterator[Row]:
    """Yield the images that a table of captions names.

    Raises:
        CohortError: If the table cannot be read or a row has no file name or caption.
    """
    inner = table.parent.relative_to(root)
    split = SPLITS.get(inner.name, "")
    for row in read_rows(table):
        for column in ("file_name", "text"):
            if not row.values.get(column, "").strip():
                raise CohortError(f"{table}: row {row.number}: no {column}; expected one")
        file = (inner / inner_path(row.values["file_name"].strip())).as_posix()
        yield Row(row.number, {"file": file, "name": row.values["text"].strip(), "split": split})


def matcher_of(options: Options, *, captions: bool) -> re.Pattern[str]:
    """Return the pattern of folders, or of captions, as a regular expression."""
    pattern = options.caption if captions and options.caption else options.pattern
    text = re.escape(pattern.replace("_", " "))
    for key, levels in (("attribute", options.levels), ("label", None)):
        shape = "|".join(map(re.escape, levels)) if levels else ".+?"
        text = text.replace(re.escape(f"{{{key}}}"), f"(?P<{key}>{shape})")
    return re.compile(text)


def matched(name: str, matcher: re.Pattern[str]) -> dict[str, str]:
    """Return attribute and label in a name.

    Raises:
        CohortError: If the name does not fit.
    """
    found = matcher.fullmatch(name.replace("_", " "))
    if not found:
        raise CohortError(f"'{name}' does not fit the pattern; expected {matcher.pattern}")
    return found.groupdict()


def subject_of(row: Row, options: Options) -> str:
    """Return whom a file shows, as far as its name tells.

    Raises:
        CohortError: If the name should tell and does not.
    """
    if not options.subject:
        return f"image:{row.number}"
    file = row.values["file"]
    found = re.search(options.subject, Path(file).name)
    if not found:
        raise CohortError(f"file '{file}': no subject; expected {options.subject} in its name")
    return found[1] if found.groups() else found[0]


RELEASED: dict[str, dict[str, Any]] = {
    "released-skin": {
        "pattern": "{attribute}_people_{label}",
        "attribute": "people",
        "label": "disease",
        "levels": ("African", "Asian", "Caucasian"),
        "modality": "skin",
    },
    "released-chest": {
        "pattern": "{attribute}_{label}",
        "attribute": "sex",
        "label": "finding",
        "levels": ("female", "male"),
        "modality": "chest",
    },
    "released-mri": {
        "pattern": "{label}_Age_{attribute}",
        "caption": "Age {attribute} {label}",
        "attribute": "age",
        "label": "diagnosis",
        "levels": ("Below 75", "Above 75"),
        "modality": "mri",
    },
}

SOURCE = Source(
    name="imagefolder",
    about="any images in class folders, or beside captions, such as the released FairGen reads",
    terms=TERMS,
    layouts=(
        "CLASS/*.png, or train/CLASS/*.png and so on",
        "metadata.jsonl with file_name and text, at the top or in train/",
    ),
    options=Options,
    presets=RELEASED,
    plan=plan,
)
