"""COVID-19 Image Data Collection: chest images gathered from publications, in two layouts."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from fairgen.files.folder import filled, inner_path
from fairgen.files.rows import Row
from fairgen.intake.sources.plan import Drop, Item, Plan, Where, gather
from fairgen.intake.sources.release import Source
from fairgen.intake.sources.tables import find_table, kept, read_table
from fairgen.intake.sources.terms import Terms
from fairgen.intake.sources.traits import Missing, Reading, Trait, age, schema_of, sex

RENAMED = {
    "Patientid": "patientid", "clinical notes": "clinical_notes", "other notes": "other_notes",
    "pO2 saturation": "pO2_saturation",
}  # fmt: skip
COVID = ("COVID-19", "COVID-19, ARDS", "Pneumonia/Viral/COVID-19")

TERMS = Terms(
    release="COVID-19 Image Data Collection",
    address="https://github.com/ieee8023/covid-chestxray-dataset",
    licence="Image by image, as the column license says: Apache 2.0, CC BY-NC-SA 4.0, CC BY 4.0; "
    "table CC BY-NC-SA 4.0",
    conditions="Take the strictest, non-commercial with attribution and share-alike, unless the "
    "column license is kept and obeyed.",
    consent="Taken from publications and web pages; consent and approval are theirs.",
    citation="Cohen et al., COVID-19 Image Data Collection: Prospective Predictions Are the "
    "Future, arXiv:2006.11988, 2020.",
)


class Options(BaseModel, extra="forbid", frozen=True):
    """Says what to take of the COVID-19 collection.

    Attributes:
        table: Path of the table in the release's folder; empty for the release's own name.
        attributes: ``sex``, ``age`` or both.
        age_bound: Oldest age of the younger band.
        labels: Values of ``finding`` that each label stands for; other rows are left out.
        views: Values of ``view`` wanted; all of them are frontal.
        missing: What becomes of an image without an attribute: left out, or a level of its own.
        keep: Columns to carry along, by their newer names.
    """

    table: str = ""
    attributes: tuple[Literal["sex", "age"], ...] = Field(default=("sex",), min_length=1)
    age_bound: int = Field(default=60, ge=1, le=119)
    labels: dict[str, tuple[str, ...]] = Field(
        default={"COVID-19": COVID, "Normal": ("No Finding",)}
    )
    views: tuple[str, ...] = ("PA", "AP", "AP Supine", "AP Erect", "AP semi erect")
    missing: Missing = "drop"
    keep: tuple[str, ...] = ()


def plan(root: Path, options: Options) -> Plan:
    """Return which radiographs become a cohort.

    Raises:
        CohortError: If the table is missing or a row is wrong.
    """
    table = find_table(root, options.table, ("metadata.csv", "covid-chestxray_metadata.csv"))
    known = {"sex": sex("sex"), "age": age("age", options.age_bound)}
    traits = tuple(known[name] for name in options.attributes)
    finding = Trait("finding", "finding", options.labels, missing=("todo",), others="drop")
    needed = ("patientid", "sex", "age", "finding", "view", "modality", "filename", *options.keep)
    rows = read_table(table, needed, RENAMED)
    where = Where(table, root, ("images", ""))
    people, repeated = one_person(rows)

    def label_of(row: Row) -> str | Drop:
        label = labelled(row, finding, options.views)
        if isinstance(label, str) and row.number in repeated:
            return Drop("image of an earlier row", label)
        return label

    def items(row: Row, levels: tuple[str, ...], label: str) -> list[Item]:
        file = inner_path(row.values["filename"].strip()).as_posix()
        subject = people[filled(row.values["patientid"], "patientid").strip()]
        extra = kept(row, options.keep)
        return [Item(row.number, where, file, subject, levels, label, extra=extra)]

    found = gather(where, rows, Reading(label_of, traits, options.missing, items))
    return Plan((table,), schema_of(traits, finding, found.items), found, "chest")


def labelled(row: Row, finding: Trait, views: Iterable[str]) -> str | Drop:
    """Return a row's label if it is a frontal radiograph, else the rule that leaves it out.

    Raises:
        CohortError: If the label is wrong.
    """
    label = finding.level(row.values)
    if isinstance(label, Drop):
        return label
    if row.values["modality"].strip() != "X-ray":
        return Drop("not a radiograph", label)
    if row.values["view"].strip() not in views:
        return Drop("view not frontal", label)
    return label


def one_person(rows: Iterable[Row]) -> tuple[dict[str, str], set[int]]:
    """Return the subject of each patient number, and the rows whose file an earlier row has named.

    Two numbers that share a file are one person, whose id is the earlier number.
    """
    people: dict[str, str] = {}
    owner: dict[str, str] = {}
    repeated: set[int] = set()
    for row in rows:
        patient, file = row.values["patientid"].strip(), row.values["filename"].strip()
        people.setdefault(patient, patient)
        if file in owner:
            repeated.add(row.number)
            one, other = people[owner[file]], people[patient]
            people = {k: one if v == other else v for k, v in people.items()}
        owner.setdefault(file, patient)
    return people, repeated


SOURCE = Source(
    name="covid19",
    about="chest radiographs and CT of COVID-19 and other pneumonia from publications",
    terms=TERMS,
    layouts=(
        "metadata.csv of June 2020 (patientid, folder, clinical_notes) beside images/",
        "metadata.csv of April 2020 (Patientid, ' url', clinical notes) beside images/",
    ),
    options=Options,
    presets={"covid-sex": {"labels": {"COVID-19": COVID, "Normal": ("No Finding",)}}},
    plan=plan,
)
