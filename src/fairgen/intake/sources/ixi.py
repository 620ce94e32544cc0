"""IXI: brain scans of healthy people from three London hospitals; the label is the age group."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from fairgen.errors import CohortError
from fairgen.files.rows import Row
from fairgen.intake.lookup import plain
from fairgen.intake.sources.plan import Drop, Item, Plan, Where, gather
from fairgen.intake.sources.release import Source
from fairgen.intake.sources.tables import find_table, kept, read_table
from fairgen.intake.sources.terms import Terms
from fairgen.intake.sources.traits import (
    OLDEST,
    Missing,
    Reading,
    Trait,
    schema_of,
    sex,
    whole_years,
)
from fairgen.intake.volumes import Slices

SEX = "SEX_ID (1=m, 2=f)"
AGAIN = "row of an earlier id"
DISAGREE = "rows of one id disagree"

TERMS = Terms(
    release="IXI",
    address="https://brain-development.org/ixi-dataset/",
    licence="CC BY-SA 3.0",
    conditions="Acknowledge the IXI project; derived data under the same licence.",
    consent="Healthy volunteers; the release names no approval. Heads are not defaced.",
    citation="IXI data set, brain-development.org (EPSRC GR/S21533/02).",
)


class Options(BaseModel, extra="forbid", frozen=True):
    """Says what to take of IXI.

    Attributes:
        table: Path of the table in the release's folder; empty for the release's own name.
        bounds: First ages, in completed years, of the age groups after the youngest.
        sequence: Kind of scan.
        slices: Where volumes are cut: shares of the height, numbers, or ``largest brain area``.
        missing: What becomes of a scan without sex: left out, or a level of its own.
        keep: Columns to carry along.
    """

    table: str = ""
    bounds: tuple[int, ...] = Field(default=(40, 60), min_length=1)
    sequence: Literal["T1", "T2", "PD", "MRA"] = "T1"
    slices: Slices = (0.5,)
    missing: Missing = "drop"
    keep: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _bounds_rise(self) -> "Options":
        if any(low >= high for low, high in pairwise((0, *self.bounds, OLDEST))):
            raise ValueError(f"bounds {self.bounds}; expected rising ages from 1 to {OLDEST - 1}")
        return self


def plan(root: Path, options: Options) -> Plan:
    """Return which slices become a cohort.

    Raises:
        CohortError: If the table is missing or a row is wrong.
        MissingExtra: If it is a spreadsheet and the package that reads it is not installed.
    """
    table = find_table(root, options.table, ("IXI.csv", "IXI_demographics.csv", "IXI.xls*"))
    traits = (sex(SEX, female="2", male="1"),)
    group = Trait("age_group", "AGE", bands(options.bounds), others="drop", clean=whole_years)
    rows = read_table(table, ("IXI_ID", SEX, "AGE", *options.keep))
    folders = ("", f"IXI-{options.sequence}", "images")
    where, doubtful = Where(table, root, folders), doubts(rows)

    def labelled(row: Row) -> str | Drop:
        rule = doubtful.get(row.number)
        return Drop(rule) if rule else group.level(row.values)

    def items(row: Row, levels: tuple[str, ...], label: str) -> list[Item]:
        subject, extra = subject_of(row), kept(row, options.keep)
        file = f"{subject}-*-{options.sequence}*.nii*"
        return [
            Item(row.number, where, file, subject, levels, label, at=at, extra=extra)
            for at in options.slices
        ]

    found = gather(where, rows, Reading(labelled, traits, options.missing, items))
    template = "an axial brain MRI of a {sex} person aged {label}"
    return Plan((table,), schema_of(traits, group, found.items), found, "mri", template)


def bands(bounds: tuple[int, ...]) -> dict[str, tuple[str, ...]]:
    """Return the age groups and the completed years of each."""
    first, last = bounds[0], bounds[-1]
    inner = {f"{low} to {high - 1}": (f"{low}..{high - 1}",) for low, high in pairwise(bounds)}
    return {f"under {first}": (f"<{first}",), **inner, f"{last} and over": (f"{last}..{OLDEST}",)}


def subject_of(row: Row) -> str:
    """Return a subject's id as file names begin with it, such as ``IXI012``.

    Raises:
        CohortError: If the id is no number.
    """
    number = plain(row.values["IXI_ID"])
    if not number.isdigit():
        raise CohortError(f"column 'IXI_ID': '{number}' is no number; expected such as 12")
    return f"IXI{int(number):03d}"


def doubts(rows: Iterable[Row]) -> Mapping[int, str]:
    """Return the rule that leaves a row out because its id stands in several rows.

    Rows that agree in sex and age are one person, of whom the first row counts; where they
    disagree nobody can tell which is right, and all of them are left out.
    """
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[plain(row.values["IXI_ID"])].append(row)
    found = {}
    for same in groups.values():
        agree = len({(plain(r.values[SEX]), plain(r.values["AGE"])) for r in same}) == 1
        for row in same[1:] if agree else same:
            found[row.number] = AGAIN if agree else DISAGREE
    return found


SOURCE = Source(
    name="ixi",
    about="brain scans of nearly 600 healthy people from 20 to 86 years",
    terms=TERMS,
    layouts=("IXI.xls, or the same as CSV, beside IXI-T1/IXI012-HH-1211-T1.nii.gz",),
    options=Options,
    presets={"external-mri": {"bounds": (40, 60), "sequence": "T1"}},
    plan=plan,
)
