"""MIMIC-CXR: chest radiographs of Beth Israel Deaconess, with race from MIMIC-IV's admissions."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from fairgen.errors import CohortError
from fairgen.files.folder import filled
from fairgen.files.rows import Row
from fairgen.intake.lookup import plain
from fairgen.intake.sources import race
from fairgen.intake.sources.findings import SHOWN, Policy, Several, column_of, one_finding
from fairgen.intake.sources.plan import Drop, Item, Plan, Where, gather
from fairgen.intake.sources.release import Source
from fairgen.intake.sources.tables import find_table, kept, read_table
from fairgen.intake.sources.terms import Terms
from fairgen.intake.sources.traits import Missing, Reading, Trait, labels, schema_of, sex

SPLITS = {"train": "train", "validate": "valid", "test": "test"}
CONTRADICTION = "race differs between admissions"

TERMS = Terms(
    release="MIMIC-CXR and MIMIC-IV",
    address="https://physionet.org/content/mimic-cxr-jpg/",
    licence="PhysioNet Credentialed Health Data License",
    conditions="Credentialed users after training only. No passing on of images or tables, no "
    "attempt to find out who is shown, no upload to services of others.",
    consent="De-identified; approved by the boards of Beth Israel Deaconess and MIT, which "
    "waived consent.",
    citation="Johnson et al., MIMIC-CXR-JPG, arXiv:1901.07042, 2019; Johnson et al., MIMIC-IV, "
    "Scientific Data 10, 2023; Goldberger et al., PhysioNet, Circulation 101, 2000.",
)


class Options(BaseModel, extra="forbid", frozen=True):
    """Says what to take of MIMIC-CXR.

    Attributes:
        metadata: Path of the table of images; empty for the release's own name.
        split: Path of the table of splits, likewise.
        labels: Path of the table of CheXpert labels, likewise.
        admissions: Path of MIMIC-IV's admissions, likewise.
        patients: Path of MIMIC-IV's patients, likewise; read for ``sex`` only.
        attributes: ``race``, ``sex`` or both.
        findings: Findings wanted, in order; ``Normal`` is the release's No Finding.
        policy: What an uncertain mention counts as.
        several: What becomes of an image with several of the findings.
        files: Whether the images are those of MIMIC-CXR-JPG or the DICOM files of MIMIC-CXR.
        missing: What becomes of an image without an attribute: left out, or a level of its own.
        keep: Columns of the table of images to carry along.
    """

    metadata: str = ""
    split: str = ""
    labels: str = ""
    admissions: str = ""
    patients: str = ""
    attributes: tuple[Literal["race", "sex"], ...] = Field(default=("race",), min_length=1)
    findings: tuple[str, ...] = SHOWN
    policy: Policy = "u-ignore"
    several: Several = "drop"
    files: Literal["jpg", "dcm"] = "jpg"
    missing: Missing = "drop"
    keep: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tables:
    """Holds what the other tables say of a study, an image or a patient."""

    labels: Mapping[str, Mapping[str, str]]
    splits: Mapping[str, str]
    races: Mapping[str, str]
    sexes: Mapping[str, str]
    paths: tuple[Path, ...]


def plan(root: Path, options: Options) -> Plan:
    """Return which radiographs become a cohort.

    Raises:
        CohortError: If a table is missing or a row is wrong.
    """
    table = find_table(root, options.metadata, ("mimic-cxr-*-metadata.csv*",))
    races = Trait("race", "race", {r: (r,) for r in race.LEVELS}, others="drop")
    known = {"race": races, "sex": sex("sex")}
    traits = tuple(known[name] for name in options.attributes)
    needed = ("dicom_id", "subject_id", "study_id", "ViewPosition", *options.keep)
    rows = read_table(table, needed)
    others = other_tables(root, options)
    where = Where(table, root)

    def values(row: Row) -> dict[str, str]:
        subject = plain(row.values["subject_id"])
        return {"race": others.races.get(subject, ""), "sex": others.sexes.get(subject, "")}

    def items(row: Row, levels: tuple[str, ...], label: str) -> list[Item]:
        subject = plain(filled(row.values["subject_id"], "subject_id"))
        split = others.splits.get(row.values["dicom_id"], "")
        item = Item(row.number, where, file_of(row, options.files), subject, levels, label, split)
        return [replace(item, extra=kept(row, options.keep))]

    label = partial(labelled, others=others, options=options)
    reading = Reading(label, traits, options.missing, items, values)
    found = gather(where, rows, reading)
    schema = schema_of(traits, labels("finding", "", options.findings), found.items)
    return Plan((table, *others.paths), schema, found, "chest")


def labelled(row: Row, others: Tables, options: Options) -> str | Drop:
    """Return the finding of a frontal image, or the rule that leaves it out.

    Raises:
        CohortError: If a mark is wrong.
    """
    if row.values["ViewPosition"].strip() not in ("AP", "PA"):
        return Drop("view not frontal")
    study = others.labels.get(plain(row.values["study_id"]))
    if study is None:
        return Drop("study without labels")
    label = one_finding(study, options.findings, options.policy, options.several)
    if (
        isinstance(label, str)
        and others.races.get(plain(row.values["subject_id"])) == CONTRADICTION
    ):
        return Drop(CONTRADICTION, label)
    return label


def file_of(row: Row, ending: str) -> str:
    """Return the path of an image, such as ``files/p10/p10000032/s50414267/ID.jpg``."""
    subject, study = (plain(row.values[c]) for c in ("subject_id", "study_id"))
    return f"files/p{subject[:2]}/p{subject}/s{study}/{row.values['dicom_id']}.{ending}"


def other_tables(root: Path, options: Options) -> Tables:
    """Read the tables of labels and splits, and those of MIMIC-IV that are asked for.

    Raises:
        CohortError: If one is missing or wrong.
    """
    marks = find_table(root, options.labels, ("mimic-cxr-*-chexpert.csv*",))
    columns = tuple(column_of(f) for f in options.findings)
    studies = {
        plain(r.values["study_id"]): {c: r.values[c] for c in columns}
        for r in read_table(marks, ("study_id", *columns))
    }
    parts = find_table(root, options.split, ("mimic-cxr-*-split.csv*",))
    splits = {r.values["dicom_id"]: split_of(parts, r) for r in read_table(parts, ("dicom_id",))}
    races = races_of(root, options) if "race" in options.attributes else {}
    sexes = sexes_of(root, options) if "sex" in options.attributes else {}
    return Tables(studies, splits, races, sexes, (marks, parts))


def split_of(table: Path, row: Row) -> str:
    """Return the split that the release puts an image into.

    Raises:
        CohortError: If there is no such split.
    """
    value = row.values.get("split", "").strip()
    if value not in SPLITS:
        raise CohortError(
            f"{table}: row {row.number}: column 'split': '{value}'; expected {', '.join(SPLITS)}"
        )
    return SPLITS[value]


def races_of(root: Path, options: Options) -> dict[str, str]:
    """Return the race of each patient; whoever has several has none that could be used.

    Raises:
        CohortError: If the table is missing or cannot be read.
    """
    table = find_table(root, options.admissions, ("admissions.csv*", "hosp/admissions.csv*"))
    rows = read_table(table, ("subject_id", "race"), {"ethnicity": "race"})
    said: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if value := race.group(row.values["race"]):
            said[plain(row.values["subject_id"])].add(value)
    return {s: v.pop() if len(v) == 1 else CONTRADICTION for s, v in said.items()}


def sexes_of(root: Path, options: Options) -> dict[str, str]:
    """Return the sex of each patient.

    Raises:
        CohortError: If the table is missing or cannot be read.
    """
    table = find_table(root, options.patients, ("patients.csv*", "hosp/patients.csv*"))
    rows = read_table(table, ("subject_id", "gender"))
    return {plain(r.values["subject_id"]): r.values["gender"] for r in rows}


SOURCE = Source(
    name="mimic_cxr",
    about="377,110 chest radiographs of 65,379 patients with labels from reports",
    terms=TERMS,
    layouts=(
        "mimic-cxr-2.x-{metadata,split,chexpert}.csv, also .gz, beside files/pNN/pSUBJECT/sSTUDY/",
        "MIMIC-IV admissions and patients, in the same folder or in hosp/ (race, or ethnicity)",
        "images as JPG (MIMIC-CXR-JPG) or DICOM (MIMIC-CXR)",
    ),
    options=Options,
    presets={"external-chest": {"attributes": ("race",), "findings": SHOWN}},
    plan=plan,
)
