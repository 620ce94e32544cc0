"""Fitzpatrick17k: photographs of skin from two atlases, with a grade of tone for each."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from fairgen.files.folder import filled, inner_path
from fairgen.files.rows import Row
from fairgen.intake.sources.plan import Drop, Item, Plan, Where, gather
from fairgen.intake.sources.release import Source
from fairgen.intake.sources.tables import find_table, kept, read_table
from fairgen.intake.sources.terms import Terms
from fairgen.intake.sources.traits import Missing, Reading, Trait, labels, schema_of

DISEASES = (
    "allergic contact dermatitis", "basal cell carcinoma", "lichen planus", "psoriasis",
    "squamous cell carcinoma",
)  # fmt: skip
TONES = {"light": ("1", "2"), "medium": ("3", "4"), "dark": ("5", "6")}
WAIVER = "Fitzpatrick17k names no patients: photographs of one person may be in several splits"

TERMS = Terms(
    release="Fitzpatrick17k",
    address="https://github.com/mattgroh/fitzpatrick17k",
    licence="Annotations CC BY-NC-SA 3.0; the photographs belong to their two atlases",
    conditions="Non-commercial research, with attribution, derived data under the same licence. "
    "The photographs are not part of the release; ask their owners before passing any on.",
    consent="Collected from public atlases; the release states no consent or approval of its own.",
    citation="Groh et al., Evaluating Deep Neural Networks Trained on Clinical Images in "
    "Dermatology with the Fitzpatrick 17k Dataset, CVPR Workshops 2021.",
)


class Options(BaseModel, extra="forbid", frozen=True):
    """Says what to take of Fitzpatrick17k.

    Attributes:
        table: Path of the table in the release's folder; empty for the release's own name.
        scale: Who graded the tone: annotators under Scale AI's or Centaur Labs' protocol.
        label: Column of the label.
        labels: Labels wanted, in order; ``None`` for all.
        file: Whether files are called by their hash or by their address without punctuation.
        drop_qc: Values of the dermatologists' check ``qc`` that leave a row out.
        missing: What becomes of a photograph of unknown tone: left out, or a level of its own.
        keep: Columns to carry along.
    """

    table: str = ""
    scale: Literal["fitzpatrick_scale", "fitzpatrick_centaur"] = "fitzpatrick_scale"
    label: Literal["label", "nine_partition_label", "three_partition_label"] = "label"
    labels: tuple[str, ...] | None = None
    file: Literal["md5hash", "url_alphanum"] = "md5hash"
    drop_qc: tuple[str, ...] = ()
    missing: Missing = "drop"
    keep: tuple[str, ...] = ()


def plan(root: Path, options: Options) -> Plan:
    """Return which photographs become a cohort.

    Raises:
        CohortError: If the table is missing or a row is wrong.
    """
    table = find_table(root, options.table, ("fitzpatrick17k.csv",))
    tone = Trait("tone", options.scale, TONES, missing=("-1",))
    disease = labels("disease", options.label, options.labels)
    needed = ("md5hash", options.file, options.scale, options.label, "qc", *options.keep)
    rows = read_table(table, needed)
    where = Where(table, root, ("", "images", "data/images", "finalfitz17k", "data/finalfitz17k"))

    def labelled(row: Row) -> str | Drop:
        label = disease.level(row.values)
        if isinstance(label, str) and row.values["qc"].strip() in options.drop_qc:
            return Drop("flagged by qc", label)
        return label

    def items(row: Row, levels: tuple[str, ...], label: str) -> list[Item]:
        identity = filled(row.values["md5hash"], "md5hash").strip()
        extra = kept(row, options.keep)
        return [
            Item(row.number, where, file_of(row, options), identity, levels, label, extra=extra)
        ]

    found = gather(where, rows, Reading(labelled, (tone,), options.missing, items))
    schema = schema_of((tone,), disease, found.items)
    return Plan((table,), schema, found, "skin", waiver=WAIVER)


def file_of(row: Row, options: Options) -> str:
    """Return the name of a photograph's file.

    Raises:
        CohortError: If it is empty or leaves the folder.
    """
    name = filled(row.values[options.file], options.file).strip()
    return inner_path(name if options.file == "url_alphanum" else f"{name}.jpg").as_posix()


SOURCE = Source(
    name="fitzpatrick17k",
    about="16,577 photographs of 114 skin conditions with Fitzpatrick tones",
    terms=TERMS,
    layouts=("fitzpatrick17k.csv beside a folder images/ of MD5HASH.jpg or URL_ALPHANUM",),
    options=Options,
    presets={"paper-skin": {"labels": DISEASES}},
    plan=plan,
)
