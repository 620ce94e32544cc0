"""ISIC Archive: its export, the MILK10k challenge, and HAM10000."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from fairgen.errors import CohortError
from fairgen.files.folder import filled, inner_path
from fairgen.files.rows import Row
from fairgen.intake.lookup import plain
from fairgen.intake.sources.fitzpatrick17k import TONES
from fairgen.intake.sources.plan import Drop, Item, Plan, Where, gather
from fairgen.intake.sources.release import Source
from fairgen.intake.sources.tables import find_table, kept, read_table
from fairgen.intake.sources.terms import Terms
from fairgen.intake.sources.traits import (
    Missing,
    Reading,
    Trait,
    age,
    is_missing,
    labels,
    schema_of,
    sex,
)

Layout = Literal["archive", "milk10k", "ham10000"]
TABLES: Mapping[str, tuple[str, ...]] = {
    "archive": ("metadata.csv", "*isic_archive_metadata.csv"),
    "milk10k": ("MILK10k_Training_Metadata.csv",),
    "ham10000": ("HAM10000_metadata.csv",),
}
FOLDERS = (
    "", "images", "images_train", "MILK10k_Training_Input/*", "HAM10000_images_part_?",
    "ISIC-images", "ISIC-images/*",
)  # fmt: skip
ROMAN = {"light": ("I", "II"), "medium": ("III", "IV"), "dark": ("V", "VI")}
ISIC_TONES = {"light": ("4", "5"), "medium": ("3",), "dark": ("0", "1", "2")}
MILK_LABELS = ("BCC", "NV", "MEL", "SCCKA", "BKL")
WAIVER = (
    "this layout of the ISIC Archive names lesions, not patients: one person's lesions may be in "
    "several splits"
)

TERMS = Terms(
    release="ISIC Archive (with MILK10k and HAM10000)",
    address="https://www.isic-archive.com/terms-of-use",
    licence="Image by image, as the column copyright_license says: CC-0, CC-BY or CC-BY-NC; "
    "MILK10k CC-BY-NC, HAM10000 CC BY-NC 4.0",
    conditions="Take CC-BY-NC unless the column is kept and obeyed; name the attribution given.",
    consent="De-identified by the contributing centres; ages are rounded to five years.",
    citation="The collection's own publication, the attribution column, and for HAM10000 "
    "Tschandl et al., Scientific Data 5, 2018.",
)


class Options(BaseModel, extra="forbid", frozen=True):
    """Says what to take of the ISIC Archive.

    Attributes:
        layout: Export of the archive, MILK10k challenge, or HAM10000.
        table: Path of the table in the release's folder; empty for the layout's own name.
        truth: Path of MILK10k's one-hot labels; empty for their own name.
        attributes: ``sex``, ``age``, ``tone`` (not in HAM10000), or several of them.
        age_bound: Oldest age of the younger band.
        label: Column of the label in the export of the archive.
        labels: Labels wanted, in order; ``None`` for all.
        image_type: Kind of image wanted, such as ``clinical: close-up``; empty for all.
        missing: What becomes of an image without an attribute: left out, or a level of its own.
        keep: Columns to carry along.
    """

    layout: Layout = "archive"
    table: str = ""
    truth: str = ""
    attributes: tuple[Literal["sex", "age", "tone"], ...] = Field(default=("sex",), min_length=1)
    age_bound: int = Field(default=60, ge=1, le=119)
    label: str = Field(default="diagnosis_1", pattern=r"^diagnosis_[1-5]$")
    labels: tuple[str, ...] | None = None
    image_type: str = ""
    missing: Missing = "drop"
    keep: tuple[str, ...] = ()


def plan(root: Path, options: Options) -> Plan:
    """Return which images become a cohort.

    Raises:
        CohortError: If a table is missing or a row is wrong.
    """
    table = find_table(root, options.table, TABLES[options.layout])
    traits = traits_of(options, table)
    diagnosis = labels("diagnosis", label_column(options), options.labels)
    named = (t.column for t in traits)
    rows = read_table(table, (*needed(options), *named, *options.keep))
    truth = truth_of(root, options) if options.layout == "milk10k" else {}
    where, name = Where(table, root, FOLDERS), id_column(options)

    def labelled(row: Row) -> str | Drop:
        if options.image_type and row.values["image_type"].strip() != options.image_type:
            return Drop("another type of image")
        lesion = truth.get(row.values["lesion_id"].strip(), "")
        return diagnosis.level({**row.values, "truth": lesion})

    def items(row: Row, levels: tuple[str, ...], label: str) -> list[Item]:
        file = inner_path(f"{filled(row.values[name], name).strip()}.jpg").as_posix()
        extra = kept(row, options.keep)
        return [Item(row.number, where, file, subject_of(row), levels, label, extra=extra)]

    found = gather(where, rows, Reading(labelled, traits, options.missing, items))
    waiver = "" if has_patients(rows) else WAIVER
    schema = schema_of(traits, diagnosis, found.items)
    return Plan((table,), schema, found, "skin", waiver=waiver)


def traits_of(options: Options, table: Path) -> tuple[Trait, ...]:
    """Return the attributes that are asked for.

    Raises:
        CohortError: If the layout has no such column.
    """
    ham, milk = options.layout == "ham10000", options.layout == "milk10k"
    if ham and "tone" in options.attributes:
        raise CohortError(f"{table}: HAM10000 knows no tone; expected sex or age")
    tone = (
        Trait("tone", "skin_tone_class", ISIC_TONES)
        if milk
        else Trait("tone", "fitzpatrick_skin_type", {k: (*TONES[k], *ROMAN[k]) for k in ROMAN})
    )
    years = age("age" if ham else "age_approx", options.age_bound)
    known = {"sex": sex("sex", "female", "male"), "age": years, "tone": tone}
    return tuple(known[name] for name in options.attributes)


def id_column(options: Options) -> str:
    """Return the column that names the images."""
    return "image_id" if options.layout == "ham10000" else "isic_id"


def label_column(options: Options) -> str:
    """Return the column that holds the label; MILK10k has it in a table of its own."""
    return {"archive": options.label, "milk10k": "truth", "ham10000": "dx"}[options.layout]


def needed(options: Options) -> tuple[str, ...]:
    """Return the columns that the table must have."""
    own: tuple[str, ...] = ("image_type",) if options.image_type else ()
    label: Sequence[str] = () if options.layout == "milk10k" else (label_column(options),)
    return (id_column(options), "lesion_id", *label, *own)


def subject_of(row: Row) -> str:
    """Return who a row shows: a patient, else a lesion, else the image alone."""
    for column in ("patient_id", "lesion_id"):
        value = plain(row.values.get(column, ""))
        if not is_missing(value):
            return value
    return f"row:{row.number}"


def has_patients(rows: Sequence[Row]) -> bool:
    """Return whether every row names its patient."""
    return all(not is_missing(r.values.get("patient_id", "")) for r in rows)


def truth_of(root: Path, options: Options) -> dict[str, str]:
    """Return the diagnosis of each lesion of MILK10k.

    Raises:
        CohortError: If the table is missing, or a lesion has not exactly one diagnosis.
    """
    table = find_table(root, options.truth, ("MILK10k_Training_GroundTruth.csv",))
    found = {}
    for row in read_table(table, ("lesion_id",)):
        marked = [k for k, v in row.values.items() if k != "lesion_id" and plain(v) == "1"]
        if len(marked) != 1:
            raise CohortError(
                f"{table}: row {row.number}: {len(marked)} diagnoses are marked; expected one"
            )
        found[row.values["lesion_id"].strip()] = marked[0]
    return found


SOURCE = Source(
    name="isic",
    about="dermoscopic images and photographs of skin lesions of the ISIC Archive",
    terms=TERMS,
    layouts=(
        "archive: metadata.csv of isic-cli beside ISIC_NNNNNNN.jpg",
        "milk10k: MILK10k_Training_{Metadata,GroundTruth}.csv beside MILK10k_Training_Input/IL_N/",
        "ham10000: HAM10000_metadata.csv beside HAM10000_images_part_1 and _2",
    ),
    options=Options,
    presets={
        "external-skin-sex": {"attributes": ("sex",), "label": "diagnosis_1"},
        "external-skin-tone": {
            "layout": "milk10k",
            "attributes": ("tone",),
            "image_type": "clinical: close-up",
            "labels": MILK_LABELS,
        },
        "ham10000-sex": {"layout": "ham10000", "attributes": ("sex",)},
    },
    plan=plan,
)
