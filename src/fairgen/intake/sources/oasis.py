"""OASIS-1 and OASIS-2: brain scans of older people, some of them demented."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from fairgen.errors import CohortError
from fairgen.files.rows import Row
from fairgen.intake.sources.plan import Drop, Item, Plan, Where, gather
from fairgen.intake.sources.release import Source
from fairgen.intake.sources.tables import find_table, kept, read_table
from fairgen.intake.sources.terms import Terms
from fairgen.intake.sources.traits import Missing, Reading, Trait, age, schema_of, sex
from fairgen.intake.volumes import Slices

Release = Literal["oasis1", "oasis2"]
TABLES: Mapping[str, tuple[str, ...]] = {
    "oasis1": ("oasis_cross-sectional*.csv", "oasis_cross-sectional*.xlsx"),
    "oasis2": ("oasis_longitudinal*.csv", "oasis_longitudinal*.xlsx"),
}
COLUMNS: Mapping[str, str] = {"oasis1": "ID", "oasis2": "MRI ID"}
FILES: Mapping[str, str] = {
    "oasis1": "{session}/PROCESSED/MPRAGE/T88_111/{session}_mpr_n*_anon_111_t88_masked_gfc.hdr",
    "oasis2": "{session}/RAW/mpr-1.nifti.hdr",
}
FOLDERS: Mapping[str, tuple[str, ...]] = {
    "oasis1": ("", "disc*", "oasis_cross-sectional_disc*", "oasis_cross-sectional_disc*/disc*"),
    "oasis2": ("", "OAS2_RAW_PART*"),
}
RATINGS = {"nondemented": ("0",), "demented": ("0.5", "1", "2", "3")}

TERMS = Terms(
    release="OASIS-1 and OASIS-2",
    address="https://sites.wustl.edu/oasisbrains/",
    licence="OASIS data use terms",
    conditions="No attempt to find out who is shown or to contact them; acknowledge OASIS and its "
    "grants; tell the Knight ADRC of publications on request.",
    consent="Participants consented; approved by Washington University's board.",
    citation="Marcus et al., Journal of Cognitive Neuroscience 19, 2007 (OASIS-1); 22, 2010 "
    "(OASIS-2). P50 AG05681, P01 AG03991, P01 AG026276, R01 AG021910, P20 MH071616, U24 RR021382.",
)


class Options(BaseModel, extra="forbid", frozen=True):
    """Says what to take of OASIS.

    Attributes:
        release: OASIS-1 (cross-sectional) or OASIS-2 (longitudinal).
        table: Path of the table in the release's folder; empty for the release's own name.
        attributes: ``age``, ``sex`` or both.
        age_bound: Oldest age of the younger band.
        unrated: Whether sessions without a rating, young people's in OASIS-1, are left out or
            count as nondemented.
        file: Pattern of a session's file with ``{session}``; empty for the release's own.
        folders: Folders in which sessions lie; empty for the release's own.
        slices: Where volumes are cut; pictures are whole.
        missing: What becomes of a session without an attribute: left out, or a level of its own.
        keep: Columns to carry along.
    """

    release: Release = "oasis2"
    table: str = ""
    attributes: tuple[Literal["age", "sex"], ...] = Field(default=("age",), min_length=1)
    age_bound: int = Field(default=75, ge=1, le=119)
    unrated: Literal["drop", "nondemented"] = "drop"
    file: str = ""
    folders: tuple[str, ...] = ()
    slices: Slices = (0.5,)
    missing: Missing = "drop"
    keep: tuple[str, ...] = ()


def plan(root: Path, options: Options) -> Plan:
    """Return which slices become a cohort.

    Raises:
        CohortError: If the table is missing or a row is wrong.
        MissingExtra: If it is a spreadsheet and the package that reads it is not installed.
    """
    table = find_table(root, options.table, TABLES[options.release])
    known = {"age": age("Age", options.age_bound), "sex": sex("M/F")}
    traits = tuple(known[name] for name in options.attributes)
    diagnosis = Trait("diagnosis", "CDR", RATINGS)
    column = COLUMNS[options.release]
    rows = read_table(table, (column, "CDR", "Age", "M/F", *options.keep))
    where = Where(table, root, options.folders or FOLDERS[options.release])
    pattern = options.file or FILES[options.release]
    cuts = options.slices if volume(pattern) else (None,)

    def items(row: Row, levels: tuple[str, ...], label: str) -> list[Item]:
        session = row.values[column].strip()
        subject, extra = subject_of(session, column), kept(row, options.keep)
        file = pattern.replace("{session}", session)
        return [
            Item(row.number, where, file, subject, levels, label, at=at, extra=extra) for at in cuts
        ]

    label = partial(rated, diagnosis=diagnosis, unrated=options.unrated)
    found = gather(where, rows, Reading(label, traits, options.missing, items))
    template = "an axial brain MRI of a patient aged {age}, {label}"
    own = template if options.attributes == ("age",) else ""
    return Plan((table,), schema_of(traits, diagnosis, found.items), found, "mri", own)


def rated(row: Row, diagnosis: Trait, unrated: str) -> str | Drop:
    """Return the diagnosis that the Clinical Dementia Rating stands for; above 0 is demented.

    Raises:
        CohortError: If there is no such rating.
    """
    found = diagnosis.level(row.values)
    if isinstance(found, Drop):
        return "nondemented" if unrated == "nondemented" else Drop("no dementia rating")
    return found


def subject_of(session: str, column: str) -> str:
    """Return whom a session such as ``OAS2_0001_MR2`` shows.

    Raises:
        CohortError: If the session's name is of another form.
    """
    found = re.fullmatch(r"(OAS[12]_\d{4})_MR\d+", session)
    if not found:
        raise CohortError(f"column '{column}': '{session}'; expected such as OAS2_0001_MR1")
    return found[1]


def volume(pattern: str) -> bool:
    """Return whether files of that name are volumes."""
    return pattern.lower().endswith((".hdr", ".img", ".nii", ".nii.gz"))


SOURCE = Source(
    name="oasis",
    about="T1-weighted brain scans of 416 (OASIS-1) and 150 (OASIS-2) people with dementia ratings",
    terms=TERMS,
    layouts=(
        "oasis1: oasis_cross-sectional.csv beside disc1/OAS1_0001_MR1/PROCESSED/MPRAGE/T88_111/",
        "oasis2: oasis_longitudinal.csv beside OAS2_RAW_PART1/OAS2_0001_MR1/RAW/mpr-1.nifti.hdr",
        "pictures of slices, with file such as images/{session}_a.jpg",
    ),
    options=Options,
    presets={
        "paper-mri": {"release": "oasis2", "attributes": ("age",), "slices": (0.45, 0.5, 0.55)},
        "oasis1": {"release": "oasis1"},
    },
    plan=plan,
)
