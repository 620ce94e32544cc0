"""From images that are found and groups that are settled to a cohort folder, for every importer."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from fairgen import __version__
from fairgen.cohort.cohort import Cohort, Record
from fairgen.errors import CohortError
from fairgen.files.atomic import resumed_folder, write_bytes
from fairgen.files.digest import value_digest
from fairgen.files.folder import CohortFolder, read_cohort, write_tables
from fairgen.intake.bring import Job, Outcome, bring, tidy
from fairgen.intake.nifti import Place
from fairgen.intake.pick import refuse_nothing
from fairgen.intake.pixels import Decoding
from fairgen.intake.source import made_from
from fairgen.modalities.modality import Modality, Prompts

TEXT_COLUMN = "burned_in_text"
FORMULA = re.compile(r"[=@]|[+-].*[(|!]")
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
Rule = Literal["drop", "error"]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """Describes an image that is to come into a cohort.

    Attributes:
        where: Table and row, for messages.
        path: The file.
        at: Which slice of a volume.
        record: What the cohort says of it.
    """

    where: str
    path: Path
    at: Place | None
    record: Record


@dataclass(frozen=True)
class Making:
    """Holds what is settled before the first image is read.

    Attributes:
        table: Names the whole in messages.
        entries: The images.
        prompts: Wording of the groups.
        modality: Kind of image.
        how: How images are read.
        unreadable: What becomes of an image that cannot be read.
        terms: Name and content of the page with the terms of use, if there is one.
        workers: Number of processes that read images.
    """

    table: Path
    entries: Sequence[Entry]
    prompts: Prompts
    modality: Modality
    how: Decoding
    unreadable: Rule
    terms: tuple[str, bytes] | None
    workers: int


def place_of(number: int) -> str:
    """Return where an image lies in a cohort: its number tells nothing of its source's name."""
    return f"images/{number:06d}.png"


def make_cohort(out: Path, origin: Mapping[str, Any], making: Making) -> CohortFolder:
    """Make a cohort folder, or do nothing if it is there already, even if it was split since.

    A killed call goes on where it was when it is repeated; until it is finished, nothing is at
    ``out``.

    Args:
        out: Folder to make.
        origin: What decides the cohort's content; anything that JSON can hold.
        making: What to make.

    Raises:
        CohortError: If an image is wrong and shall not be left out, none is left, a text is unfit
            for a table, or ``out`` holds another cohort.
        MissingExtra: If files need a reader that is not there.
        StudyError: If something cannot be written.
    """
    if not made_from(out, origin):
        for entry in making.entries:
            refuse_unsafe(entry)
        with resumed_folder(out, value_digest([__version__, origin])) as partial:
            fill(partial, origin, making)
    return read_cohort(out)


def fill(root: Path, origin: Mapping[str, Any], making: Making) -> None:
    """Write images, tables, description and terms into a folder.

    Raises:
        CohortError: If an image is wrong and shall not be left out, or none is left.
    """
    found = bring_all(root, making)
    records = tuple(
        marked(entry.record, outcome)
        for entry, outcome in zip(making.entries, found, strict=True)
        if outcome.kept
    )
    unreadable = len(found) - len(records)
    refuse_nothing(making.table, len(records), {"unreadable image": unreadable})
    reasons = Counter(outcome.note for outcome in found if outcome.kept and outcome.note)
    source = {
        **origin,
        "images": len(records),
        "images_unreadable": unreadable,
        TEXT_COLUMN: dict(sorted(reasons.items())),
    }
    name, page = making.terms or ("", b"")
    if name:
        write_bytes(root / name, page)
    cohort = Cohort(making.prompts.schema, records)
    write_tables(CohortFolder(root, cohort, making.prompts, making.modality, source, terms=name))
    tidy(root)


def bring_all(root: Path, making: Making) -> list[Outcome]:
    """Return what became of each image; one that is left out is told of in a line.

    Raises:
        CohortError: If one is wrong and shall not be left out.
    """
    jobs = [Job(e.path, e.at, e.record.image) for e in making.entries]
    found, lines = [], []
    for entry, outcome in zip(
        making.entries, bring(root, jobs, making.how, making.workers), strict=True
    ):
        if not outcome.kept:
            lines.append(f"{entry.where}: {outcome.note}")
            if making.unreadable == "error":
                raise CohortError(lines[-1])
        found.append(outcome)
    for line in lines:
        logger.warning("%s; left out", line)
    return found


def marked(record: Record, outcome: Outcome) -> Record:
    """Return a record with a column that says why its image seems to show words, if it does."""
    if not outcome.note:
        return record
    return replace(record, extra={**record.extra, TEXT_COLUMN: outcome.note})


def suspected(folder: CohortFolder) -> list[str]:
    """Return the images of a cohort that seem to show words."""
    return [r.image for r in folder.cohort.records if r.extra.get(TEXT_COLUMN)]


def refuse_unsafe(entry: Entry) -> None:
    """Raise if a text cannot stand in a table, or a spreadsheet would run it as a formula.

    Raises:
        CohortError: If so.
    """
    for name, text in texts(entry.record):
        if FORMULA.match(text):
            raise CohortError(
                f"{entry.where}: {name} '{text[:60]}' is a formula to a spreadsheet; "
                "expected plain text"
            )
        if UNSAFE.search(text):
            raise CohortError(
                f"{entry.where}: {name} {text[:60]!r} holds a character that is none; "
                "expected plain text"
            )


def texts(record: Record) -> Iterable[tuple[str, str]]:
    """Return the texts of a record, each with what it is."""
    named = (("level", level) for level in record.group.levels)
    return (
        ("subject", record.subject),
        *named,
        ("label", record.group.label),
        ("prompt", record.text),
        *record.extra.items(),
    )
