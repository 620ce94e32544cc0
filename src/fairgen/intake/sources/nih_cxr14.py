"""NIH ChestX-ray14: frontal chest radiographs whose labels were mined from reports."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from fairgen.errors import CohortError
from fairgen.files.folder import filled, inner_path
from fairgen.files.rows import Row
from fairgen.intake.lookup import plain
from fairgen.intake.sources.plan import Drop, Item, Plan, Where, gather
from fairgen.intake.sources.release import Source
from fairgen.intake.sources.tables import find_table, kept, read_table
from fairgen.intake.sources.terms import Terms
from fairgen.intake.sources.traits import Missing, Reading, age, labels, schema_of, sex

NONE = "No Finding"
FINDINGS = (
    NONE, "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema",
    "Fibrosis", "Hernia", "Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia",
    "Pneumothorax",
)  # fmt: skip
LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}

TERMS = Terms(
    release="NIH ChestX-ray14",
    address="https://nihcc.app.box.com/v/ChestXray-NIHCC",
    licence="No restrictions on use",
    conditions="Link to the release, cite the paper, and name the NIH Clinical Center as provider.",
    consent="De-identified by the NIH Clinical Center.",
    citation="Wang et al., ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks, "
    "CVPR 2017.",
)


class Options(BaseModel, extra="forbid", frozen=True):
    """Says what to take of ChestX-ray14.

    Attributes:
        table: Path of the table in the release's folder; empty for the release's own name.
        attributes: ``sex``, ``age`` or both.
        age_bound: Oldest age of the younger band.
        task: ``finding`` labels an image by its one finding; ``abnormal`` tells No Finding from
            any other.
        findings: Findings wanted, in order, for the task ``finding``.
        views: Values of ``View Position`` wanted.
        missing: What becomes of an image without an attribute: left out, or a level of its own.
        keep: Columns to carry along.
    """

    table: str = ""
    attributes: tuple[Literal["sex", "age"], ...] = Field(default=("sex",), min_length=1)
    age_bound: int = Field(default=60, ge=1, le=119)
    task: Literal["finding", "abnormal"] = "finding"
    findings: tuple[str, ...] = FINDINGS
    views: tuple[str, ...] = ("PA", "AP")
    missing: Missing = "drop"
    keep: tuple[str, ...] = ()


def plan(root: Path, options: Options) -> Plan:
    """Return which radiographs become a cohort.

    Raises:
        CohortError: If the table is missing or a row is wrong.
    """
    names = ("Data_Entry_2017*.csv", "sample_labels.csv")
    table = find_table(root, options.table, names)
    known = {"sex": sex("Patient Gender"), "age": age("Patient Age", options.age_bound)}
    traits = tuple(known[name] for name in options.attributes)
    columns = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "Patient Gender")
    rows = read_table(table, (*columns, "View Position", *options.keep))
    folders = ("images", "images_*/images", "images_*", "sample/images", "")
    where, splits = Where(table, root, folders), splits_of(root)

    def items(row: Row, levels: tuple[str, ...], label: str) -> list[Item]:
        file = inner_path(row.values["Image Index"].strip()).as_posix()
        subject = plain(filled(row.values["Patient ID"], "Patient ID"))
        split, extra = splits.get(file, ""), kept(row, options.keep)
        return [Item(row.number, where, file, subject, levels, label, split, extra=extra)]

    reading = Reading(lambda row: labelled(row, options), traits, options.missing, items)
    found = gather(where, rows, reading)
    wanted = ("normal", "abnormal") if options.task == "abnormal" else options.findings
    schema = schema_of(traits, labels("finding", "", wanted), found.items)
    return Plan((table,), schema, found, "chest")


def labelled(row: Row, options: Options) -> str | Drop:
    """Return the label of a row, or the rule that leaves it out.

    Raises:
        CohortError: If a finding is none of the release's.
    """
    found = [part.strip() for part in row.values["Finding Labels"].split("|")]
    unknown = [part for part in found if part not in FINDINGS]
    if unknown:
        raise CohortError(
            f"column 'Finding Labels': '{unknown[0]}'; expected some of {', '.join(FINDINGS)}"
        )
    if options.task == "finding" and len(found) > 1:
        return Drop("several findings")
    if options.task == "finding" and found[0] not in options.findings:
        return Drop("none of the findings")
    normal = "normal" if found == [NONE] else "abnormal"
    label = found[0] if options.task == "finding" else normal
    wanted = row.values["View Position"].strip() in options.views
    return label if wanted else Drop("view not wanted", label)


def splits_of(root: Path) -> Mapping[str, str]:
    """Return the split of each image that the release's two lists name, if they are there.

    Raises:
        CohortError: If a list cannot be read.
    """
    found: dict[str, str] = {}
    for name, split in LISTS.items():
        path = root / name
        if not path.is_file():
            continue
        try:
            lines = path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise CohortError(f"{path}: cannot be read ({error})") from error
        found.update(dict.fromkeys(lines, split))
    return found


SOURCE = Source(
    name="nih_cxr14",
    about="112,120 frontal chest radiographs of 30,805 patients with 14 findings",
    terms=TERMS,
    layouts=(
        "Data_Entry_2017.csv or Data_Entry_2017_v2020.csv beside images/ or images_NNN/images/",
        "sample_labels.csv (ages such as 060Y) beside images/ or sample/images/",
        "train_val_list.txt and test_list.txt, if they are there, as the release's split",
    ),
    options=Options,
    presets={
        "abnormal-sex": {"task": "abnormal"},
        "one-finding": {},
    },
    plan=plan,
)
