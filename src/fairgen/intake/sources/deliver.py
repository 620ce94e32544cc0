"""From a plan to a cohort folder: pixels, groups, pseudonyms and terms, and nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, Field

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Group
from fairgen.errors import CohortError, StudyError
from fairgen.files.atomic import fresh_folder, write_text
from fairgen.files.digest import file_digest
from fairgen.files.folder import CohortFolder, read_cohort, write_tables
from fairgen.files.image import write_image
from fairgen.intake.identity import pseudonym, read_salt, refuse_salt_inside
from fairgen.intake.pick import refuse_nothing
from fairgen.intake.pixels import Reader, read_other, read_pixels
from fairgen.intake.source import made_from
from fairgen.intake.sources.places import locate
from fairgen.intake.sources.plan import Item, Plan
from fairgen.intake.sources.registry import find_source
from fairgen.intake.sources.terms import Terms
from fairgen.modalities.modality import Prompts, find_modality

TERMS_FILE = "TERMS.md"
SPLIT_COLUMN = "release_split"
Rule = Literal["drop", "error"]
Found = Iterable[tuple[Item, Path]]


class How(BaseModel, extra="forbid", frozen=True):
    """Says how the images of a release are brought into a cohort folder.

    Attributes:
        size: Side in pixels of a centre crop to a square; ``None`` keeps the size.
        absent: What becomes of an image whose file is not there.
        unreadable: What becomes of an image that cannot be read.
        salt: File with the secret that turns the release's subject ids into pseudonyms, made if
            there is none; ``None`` keeps the ids.
        reader: Gives the pixels of files that are no ordinary pictures.
    """

    size: int | None = Field(default=None, ge=8, le=4096)
    absent: Rule = "error"
    unreadable: Rule = "error"
    salt: Path | None = None
    reader: Reader = read_other


def import_source(
    name: str,
    root: str | Path,
    *,
    out: str | Path,
    preset: str = "",
    options: Mapping[str, Any] | None = None,
    how: How | None = None,
) -> CohortFolder:
    """Make a cohort folder from a public release.

    Repeating the call does nothing, even if the cohort has been split since. Images are written
    anew as PNG, so that no header of theirs goes on, under numbers in place of their names.

    Args:
        name: Key in ``SOURCES``.
        root: Folder of the release.
        out: Folder to make.
        preset: Settings by name.
        options: Settings laid over the preset.
        how: Size, pseudonyms, and what becomes of missing and broken files.

    Raises:
        CohortError: If a row or an image is wrong (the message names file, row, column and value),
            nothing is left, or ``out`` holds another cohort.
        StudyError: If a setting is wrong or ``out`` cannot be written.
        MissingExtra: If files need a reader that is not there.
    """
    source, out, how = find_source(name), Path(out), how or How()
    settings = source.settings(preset, options)
    plan = source.plan(Path(root), settings)
    refuse_nothing(plan.tables[0], len(plan.items), plan.dropped)
    found, absent = locate(plan.items, how.absent)
    refuse_nothing(plan.tables[0], len(found), {"no image file": absent})
    refuse_inside(out, Path(root))
    salt = secret(how, out)
    chosen = settings.model_dump(mode="json", exclude={"covid"})
    origin = {"importer": source.name, "options": chosen, "files": len(found)}
    origin |= origin_of(plan, how, salt)
    if not made_from(out, origin):
        with fresh_folder(out) as partial:
            fill(partial, Task(plan, found, how, salt), {**origin, "images_absent": absent})
            write_text(partial / TERMS_FILE, pages((source.terms, *plan.further)))
    return read_cohort(out)


@dataclass(frozen=True)
class Task:
    """Holds what is settled before the first image is read."""

    plan: Plan
    found: Found
    how: How
    salt: bytes


def origin_of(plan: Plan, how: How, salt: bytes) -> dict[str, Any]:
    """Return what the cohort is made from, and what became of the rows."""
    return {
        "tables": {t.name: file_digest(t) for t in plan.tables if t.is_file()},
        "items_sha256": digest(plan.items),
        "rows": plan.gathered.rows,
        "kept": plan.gathered.kept,
        "dropped": plan.dropped,
        "dropped_by_label": {r: dict(n) for r, n in plan.gathered.losses.items()},
        "size": how.size,
        "pseudonyms": pseudonym("fairgen", salt) if salt else "",
        "subject_waiver": plan.waiver,
    }


def digest(items: Iterable[Item]) -> str:
    """Return a digest of what a plan brings in."""
    total = sha256()
    for item in items:
        line = (item.file, item.subject, item.levels, item.label, item.split, item.at)
        total.update(repr((*line, sorted(item.extra.items()))).encode())
    return total.hexdigest()


def secret(how: How, out: Path) -> bytes:
    """Return the salt, or nothing if the release's subject ids are kept.

    Raises:
        StudyError: If it cannot be read or made, or lies in the cohort's folder.
    """
    if how.salt is None:
        return b""
    refuse_salt_inside(how.salt, out)
    return read_salt(how.salt, create=True)


def fill(root: Path, task: Task, origin: Mapping[str, Any]) -> None:
    """Write images, table and description into a folder.

    Raises:
        CohortError: If an image is wrong, or none is left.
        StudyError: If something cannot be written.
    """
    plan, how = task.plan, task.how
    modality = find_modality(plan.modality)
    prompts = Prompts(plan.schema, plan.template or modality.template)
    records: list[Record] = []
    unreadable = 0
    for item, path in task.found:
        try:
            pixels = read_pixels(
                path, size=how.size, channels=modality.channels, at=item.at, reader=how.reader
            )
        except CohortError as error:
            if how.unreadable == "error":
                place = f"{item.where.table}: row {item.number}"
                raise CohortError(f"{place}: {error}") from error
            unreadable += 1
            continue
        image = f"images/{len(records):06d}.png"
        write_image(root / image, pixels)
        records.append(record(item, image, prompts, task.salt))
    refuse_nothing(plan.tables[0], len(records), {"unreadable image": unreadable})
    source = {**origin, "images_unreadable": unreadable, "images": len(records)}
    cohort = Cohort(plan.schema, tuple(records))
    write_tables(CohortFolder(root, cohort, prompts, modality, source, terms=TERMS_FILE))


def record(item: Item, image: str, prompts: Prompts, salt: bytes) -> Record:
    """Return the record of an image that is in its place; the release's split is a column."""
    group = Group(item.levels, item.label)
    split = {SPLIT_COLUMN: item.split} if item.split else {}
    extra = MappingProxyType({**item.extra, **split})
    text = prompts.render(group)
    subject = pseudonym(item.subject, salt) if salt else item.subject
    return Record(image, subject, group, text, extra=extra)


def pages(terms: Iterable[Terms]) -> str:
    """Return the terms of all releases on one page."""
    return "\n".join(t.text() for t in terms)


def refuse_inside(out: Path, root: Path) -> None:
    """Raise if the cohort would be written into the release's own folder.

    Raises:
        StudyError: If so.
    """
    if out.resolve().is_relative_to(root.resolve()):
        raise StudyError(f"{out}: lies in the release's folder; expected a folder elsewhere")
