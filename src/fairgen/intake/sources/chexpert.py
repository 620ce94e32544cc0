"""CheXpert: chest radiographs of Stanford Hospital; alone, or with the COVID-19 collection."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from fairgen.cohort.schema import Attribute, Schema
from fairgen.errors import CohortError
from fairgen.files.folder import inner_path
from fairgen.files.rows import Row
from fairgen.intake.sources import covid19, race
from fairgen.intake.sources.findings import SHOWN, Policy, Several, column_of, one_finding
from fairgen.intake.sources.plan import Drop, Item, Plan, Where, gather, join
from fairgen.intake.sources.release import Source
from fairgen.intake.sources.tables import find_table, kept, read_table
from fairgen.intake.sources.terms import Terms
from fairgen.intake.sources.traits import Missing, Reading, Trait, age, labels, schema_of, sex

COVID = "COVID-19"
DEMOGRAPHICS = ("CHEXPERT DEMO.csv", "CHEXPERT*DEMO.csv", "CHEXPERT*DEMO.xlsx")
PLACES = {
    "train": ("train", "CheXpert-v1.0*/train", "CheXpert-v1.0 batch * (train *)"),
    "valid": ("valid", "CheXpert-v1.0*/valid"),
}

TERMS = Terms(
    release="CheXpert",
    address="https://aimi.stanford.edu/datasets/chexpert-chest-x-rays",
    licence="Stanford University Dataset Research Use Agreement",
    conditions="Non-commercial research only. No passing on of the images, no attempt to find out "
    "who is shown. Every user accepts the agreement for himself.",
    consent="De-identified; approval by Stanford's review board as the publication describes.",
    citation="Irvin et al., CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels "
    "and Expert Comparison, AAAI 2019.",
)


class Options(BaseModel, extra="forbid", frozen=True):
    """Says what to take of CheXpert.

    Attributes:
        table: Path of the table in the release's folder.
        demographics: Path of the table with race; empty for the release's own name.
        attributes: ``sex``, ``age``, ``race``, or several of them.
        age_bound: Oldest age of the younger band.
        findings: Findings wanted, in order; ``Normal`` is the release's No Finding, ``COVID-19``
            comes from the other collection.
        policy: What an uncertain mention counts as.
        several: What becomes of an image with several of the findings.
        covid: Folder of the COVID-19 collection, whose COVID-19 images are to be joined.
        missing: What becomes of an image without an attribute: left out, or a level of its own.
        keep: Columns to carry along.
    """

    table: str = "train.csv"
    demographics: str = ""
    attributes: tuple[Literal["sex", "age", "race"], ...] = Field(default=("sex",), min_length=1)
    age_bound: int = Field(default=60, ge=1, le=119)
    findings: tuple[str, ...] = SHOWN
    policy: Policy = "u-ignore"
    several: Several = "drop"
    covid: Path | None = None
    missing: Missing = "drop"
    keep: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _covid_has_a_source(self) -> "Options":
        if (COVID in self.findings) != (self.covid is not None):
            raise ValueError(
                f"findings {', '.join(self.findings)}; covid is {self.covid}; expected {COVID} and "
                "covid=FOLDER of the COVID-19 collection together, or neither"
            )
        return self

    def own(self) -> tuple[str, ...]:
        """Return the findings that CheXpert itself marks."""
        return tuple(f for f in self.findings if f != COVID)


def plan(root: Path, options: Options) -> Plan:
    """Return which radiographs become a cohort.

    Raises:
        CohortError: If a table is missing or a row is wrong.
    """
    own = plan_alone(root, options)
    return own if options.covid is None else joined(own, options.covid, options)


def plan_alone(root: Path, options: Options) -> Plan:
    """Return which of CheXpert's own radiographs become a cohort.

    Raises:
        CohortError: If a table is missing or a row is wrong.
    """
    table = find_table(root, options.table, ())
    traits = traits_of(options)
    columns = tuple(column_of(f) for f in options.own())
    rows = read_table(table, ("Path", "Sex", "Age", "Frontal/Lateral", *columns, *options.keep))
    races = races_of(root, options) if "race" in options.attributes else {}
    places = {split: Where(table, root, folders) for split, folders in PLACES.items()}

    def values(row: Row) -> dict[str, str]:
        return {**row.values, "race": races.get(parts_of(row.values["Path"])[1], "")}

    def items(row: Row, levels: tuple[str, ...], label: str) -> list[Item]:
        split, patient, file = parts_of(row.values["Path"])
        item = Item(row.number, places[split], file, patient, levels, label, split)
        return [replace(item, extra=kept(row, options.keep))]

    reading = Reading(lambda row: labelled(row, options), traits, options.missing, items, values)
    found = gather(places["train"], rows, reading)
    schema = schema_of(traits, labels("finding", "", options.findings), found.items)
    return Plan((table,), schema, found, "chest")


def traits_of(options: Options) -> tuple[Trait, ...]:
    """Return the attributes that are asked for."""
    known = {
        "sex": sex("Sex", "Female", "Male"),
        "age": age("Age", options.age_bound),
        "race": Trait("race", "race", {r: (r,) for r in race.LEVELS}, others="drop"),
    }
    return tuple(known[name] for name in options.attributes)


def labelled(row: Row, options: Options) -> str | Drop:
    """Return the finding of a frontal image, or the rule that leaves it out.

    Raises:
        CohortError: If a mark is wrong.
    """
    if row.values["Frontal/Lateral"].strip() != "Frontal":
        return Drop("view not frontal")
    return one_finding(row.values, options.own(), options.policy, options.several)


def parts_of(path: str) -> tuple[str, str, str]:
    """Return split, patient and file of a path such as ``CheXpert-v1.0/train/patient00001/...``.

    Raises:
        CohortError: If the path is of another form.
    """
    found = re.fullmatch(r"(?:.*/)?(train|valid)/((patient\d+)/.+)", inner_path(path).as_posix())
    if not found:
        raise CohortError(
            f"column 'Path': '{path}'; expected .../train/patient00001/study1/view1_frontal.jpg"
        )
    return found[1], found[3], found[2]


def races_of(root: Path, options: Options) -> dict[str, str]:
    """Return the race of each patient, as far as it is known.

    Raises:
        CohortError: If the table is missing or cannot be read.
        MissingExtra: If it is a spreadsheet and the package that reads it is not installed.
    """
    table = find_table(root, options.demographics, DEMOGRAPHICS)
    rows = read_table(table, ("PATIENT", "PRIMARY_RACE"))
    return {r.values["PATIENT"].strip(): race.group(r.values["PRIMARY_RACE"]) for r in rows}


def joined(own: Plan, root: Path, options: Options) -> Plan:
    """Return CheXpert's radiographs with those of COVID-19 from the other collection.

    Raises:
        CohortError: If a table or a row is wrong, or the collection lacks an attribute.
    """
    if "race" in options.attributes:
        raise CohortError(f"{root}: the COVID-19 collection knows no race; expected sex or age")
    wanted = covid19.Options(
        attributes=tuple(a for a in options.attributes if a != "race"),
        age_bound=options.age_bound,
        labels={COVID: covid19.COVID},
        missing=options.missing,
    )
    other = covid19.plan(root, wanted)
    pairs = zip(own.schema.attributes, other.schema.attributes, strict=True)
    schema = Schema(tuple(both(one, two) for one, two in pairs), own.schema.label)
    return join({"chexpert": own, "covid19": other}, schema, (covid19.TERMS,))


def both(one: Attribute, other: Attribute) -> Attribute:
    """Return an attribute with the levels of two."""
    return replace(one, levels=tuple(dict.fromkeys((*one.levels, *other.levels))))


SOURCE = Source(
    name="chexpert",
    about="224,316 chest radiographs of 65,240 patients with labels from reports",
    terms=TERMS,
    layouts=(
        "train.csv or valid.csv in CheXpert-v1.0 or CheXpert-v1.0-small, or beside that folder",
        "the folders 'CheXpert-v1.0 batch N (train M)' as they are downloaded",
        "CHEXPERT DEMO as CSV or xlsx, for race",
    ),
    options=Options,
    presets={
        "paper-chest": {"findings": (COVID, *SHOWN)},
        "u-ignore": {"policy": "u-ignore"},
        "u-zero": {"policy": "u-zero"},
        "u-one": {"policy": "u-one"},
    },
    plan=plan,
)
