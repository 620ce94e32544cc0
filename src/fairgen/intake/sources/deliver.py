"""From a plan to a cohort folder: pixels, groups, pseudonyms and terms, and nothing else."""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, Field

from fairgen.cohort.cohort import Record
from fairgen.cohort.schema import Group
from fairgen.errors import StudyError
from fairgen.files.digest import file_digest
from fairgen.files.folder import CohortFolder
from fairgen.intake.identity import pseudonym, secret
from fairgen.intake.make import Entry, Making, Rule, make_cohort, place_of
from fairgen.intake.pick import refuse_nothing
from fairgen.intake.pixels import Decoding, Showing
from fairgen.intake.sources.places import locate
from fairgen.intake.sources.plan import Item, Plan
from fairgen.intake.sources.registry import find_source
from fairgen.intake.sources.terms import Terms
from fairgen.modalities.modality import Prompts, find_modality

TERMS_FILE = "TERMS.md"
SPLIT_COLUMN = "release_split"


class How(BaseModel, extra="forbid", frozen=True):
    """Says how the images of a release are brought into a cohort folder.

    Attributes:
        size: Side in pixels of a centre crop to a square; ``None`` keeps the size.
        absent: What becomes of an image whose file is not there.
        unreadable: What becomes of an image that cannot be read.
        salt: File with the secret that turns the release's subject ids into pseudonyms, made if
            there is none; ``None`` keeps the ids.
        show: How DICOM files and volumes are shown.
        flag_text: Whether images that seem to show words are marked.
        workers: Number of processes that read images; the result is the same for any.
    """

    size: int | None = Field(default=None, ge=8, le=4096)
    absent: Rule = "error"
    unreadable: Rule = "error"
    salt: Path | None = None
    show: Showing = Showing()
    flag_text: bool = True
    workers: int = Field(default=1, ge=1)


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
    salt = secret(how.salt, out)
    modality = find_modality(plan.modality)
    prompts = Prompts(plan.schema, plan.template or modality.template)
    chosen = settings.model_dump(mode="json", exclude={"covid"})
    origin = {"importer": source.name, "options": chosen, "files": len(found)}
    origin |= origin_of(plan, how, salt)
    making = Making(
        plan.tables[0],
        tuple(entries(found, prompts, salt)),
        prompts,
        modality,
        Decoding(how.size, modality.channels, how.show, how.flag_text),
        how.unreadable,
        (TERMS_FILE, pages((source.terms, *plan.further)).encode()),
        how.workers,
    )
    return make_cohort(out, {**origin, "images_absent": absent}, making)


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
        "show": how.show.model_dump(mode="json"),
        "flag_text": how.flag_text,
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


def entries(found: Iterable[tuple[Item, Path]], prompts: Prompts, salt: bytes) -> Iterator[Entry]:
    """Yield the images with what the cohort says of them; the release's split is a column."""
    for number, (item, path) in enumerate(found):
        group = Group(item.levels, item.label)
        split = {SPLIT_COLUMN: item.split} if item.split else {}
        extra = MappingProxyType({**item.extra, **split})
        subject = pseudonym(item.subject, salt) if salt else item.subject
        record = Record(place_of(number), subject, group, prompts.render(group), extra=extra)
        yield Entry(f"{item.where.table}: row {item.number}", path, item.at, record)


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
