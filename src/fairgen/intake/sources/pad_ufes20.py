"""PAD-UFES-20: photographs of skin lesions taken with phones in Brazil."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from fairgen.files.folder import filled, inner_path
from fairgen.files.rows import Row
from fairgen.intake.sources.fitzpatrick17k import TONES
from fairgen.intake.sources.plan import Item, Plan, Where, gather
from fairgen.intake.sources.release import Source
from fairgen.intake.sources.tables import find_table, kept, read_table
from fairgen.intake.sources.terms import Terms
from fairgen.intake.sources.traits import Missing, Reading, Trait, age, labels, schema_of, sex

DIAGNOSES = ("BCC", "SCC", "ACK", "SEK", "MEL", "NEV")

TERMS = Terms(
    release="PAD-UFES-20",
    address="https://data.mendeley.com/datasets/zr7vgbcyr2/1",
    licence="CC BY 4.0",
    conditions="Attribution.",
    consent="Patients signed consent; approved by the board of UFES as the publication describes.",
    citation="Pacheco et al., PAD-UFES-20: A skin lesion dataset composed of patient data and "
    "clinical images collected from smartphones, Data in Brief 32, 2020.",
)


class Options(BaseModel, extra="forbid", frozen=True):
    """Says what to take of PAD-UFES-20.

    Attributes:
        table: Path of the table in the release's folder; empty for the release's own name.
        attributes: ``tone``, ``sex``, ``age``, or several of them.
        age_bound: Oldest age of the younger band.
        labels: Diagnoses wanted, in order.
        missing: What becomes of a photograph without an attribute: left out, or a level of its own.
        keep: Columns to carry along.
    """

    table: str = ""
    attributes: tuple[Literal["tone", "sex", "age"], ...] = Field(default=("tone",), min_length=1)
    age_bound: int = Field(default=60, ge=1, le=119)
    labels: tuple[str, ...] = DIAGNOSES
    missing: Missing = "drop"
    keep: tuple[str, ...] = ()


def plan(root: Path, options: Options) -> Plan:
    """Return which photographs become a cohort.

    Raises:
        CohortError: If the table is missing or a row is wrong.
    """
    table = find_table(root, options.table, ("metadata.csv", "PAD-UFES-20_metadata.csv"))
    known = {
        "tone": Trait("tone", "fitspatrick", TONES),
        "sex": sex("gender", "FEMALE", "MALE"),
        "age": age("age", options.age_bound),
    }
    traits = tuple(known[name] for name in options.attributes)
    diagnosis = labels("diagnosis", "diagnostic", options.labels)
    columns = ("patient_id", "img_id", "diagnostic", "gender", "fitspatrick", "age")
    rows = read_table(table, (*columns, *options.keep))
    folders = ("images", "imgs_part_?", "imgs_part_?/imgs_part_?", "images/imgs_part_?", "")
    where = Where(table, root, folders)

    def items(row: Row, levels: tuple[str, ...], label: str) -> list[Item]:
        subject = filled(row.values["patient_id"], "patient_id").strip()
        file = inner_path(row.values["img_id"].strip()).as_posix()
        extra = kept(row, options.keep)
        return [Item(row.number, where, file, subject, levels, label, extra=extra)]

    reading = Reading(lambda row: diagnosis.level(row.values), traits, options.missing, items)
    found = gather(where, rows, reading)
    return Plan((table,), schema_of(traits, diagnosis, found.items), found, "skin")


SOURCE = Source(
    name="pad_ufes20",
    about="2,298 phone photographs of 1,641 skin lesions of 1,373 patients",
    terms=TERMS,
    layouts=("metadata.csv beside images/ or imgs_part_1/ to imgs_part_3/",),
    options=Options,
    presets={"tone": {"attributes": ("tone",)}, "sex": {"attributes": ("sex",)}},
    plan=plan,
)
