"""Changing a cohort folder's layout, so that a process killed at any moment leaves it usable.

``cohort.json`` names the layout in force. The other layout is built beside it with hard links, its
tables first; then ``cohort.json`` is replaced in one rename; then the old layout is removed, its
tables last. While ``pending`` is set, whatever belongs to the layout not in force is left over from
a process that was killed, and goes.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from fairgen.cohort.cohort import SPLITS, Cohort
from fairgen.cohort.split import SplitSettings, absent_groups, check_split, divided
from fairgen.errors import CohortError
from fairgen.files.atomic import copy_file, write_errors
from fairgen.files.card import read_card, write_card
from fairgen.files.folder import (
    CSV,
    PARQUET,
    SPLIT_FOLDERS,
    TABLES,
    CohortFolder,
    card_of,
    find_table,
    inner_path,
    read_cohort,
    write_records,
)
from fairgen.files.rows import read_rows
from fairgen.files.shards import shard_of

logger = logging.getLogger(__name__)
FAR = 0.05
"""Difference between a share of images and the asked one that a user is told of."""
Layout = Literal["flat", "split"]


def split_folder(
    root: str | Path, settings: SplitSettings, *, overwrite: bool = False
) -> CohortFolder:
    """Divide a cohort folder by subject into ``train/``, ``validation/`` and ``test/``.

    Repeating the call with the same settings does nothing.

    Args:
        root: Cohort folder.
        settings: Fractions and seed.
        overwrite: Replace a split that was made with other settings.

    Raises:
        CohortError: If the folder is wrong, cannot be divided, or has another split.
        StudyError: If it cannot be written.
    """
    root = Path(root)
    mend(root)
    folder = read_cohort(root, strict=not overwrite)
    asked = settings.model_dump(mode="json")
    found = {key: folder.split.get(key) for key in asked}
    if folder.split and found == asked:
        return folder
    if (folder.split or any(r.split for r in folder.cohort.records)) and not overwrite:
        raise CohortError(
            f"{root}: already split with {found}; asked for {asked}; "
            "expected the same, or permission to overwrite"
        )
    cohort = divided(folder.cohort, settings)
    warn_of_shares(root, cohort, settings)
    warn_of_groups(root, cohort)
    return write_split(folder, cohort, settings=asked)


def warn_of_shares(root: Path, cohort: Cohort, settings: SplitSettings) -> None:
    """Warn if a split's share of the images is far from what was asked for."""
    if settings.given is not None:
        return
    for name, asked in zip(SPLITS, settings.shares(), strict=True):
        found = sum(r.split == name for r in cohort.records) / len(cohort)
        if abs(found - asked) > FAR:
            logger.warning(
                "%s: %.0f %% of the images are in '%s', asked for %.0f %%: subjects are not "
                "divided, and every group is spread over the splits; some groups are too small",
                root, 100 * found, name, 100 * asked,
            )  # fmt: skip


def warn_of_groups(root: Path, cohort: Cohort) -> None:
    """Name the groups that a split lacks, and what can be done."""
    found = absent_groups(cohort)
    if found:
        named = "; ".join(
            f"{key} ({subjects} subject{'s' * (subjects != 1)}; none in {', '.join(splits)})"
            for key, (subjects, splits) in found.items()
        )
        logger.warning(
            "%s: groups too small for this split: %s. Their figures will be missing there. Join "
            "levels, leave a label out, or divide into folds, so that each is tested once",
            root, named,
        )  # fmt: skip


def write_split(
    folder: CohortFolder, cohort: Cohort, *, settings: Mapping[str, Any] | None = None
) -> CohortFolder:
    """Put every image into the folder of its split.

    Args:
        folder: The cohort folder as it is.
        cohort: The same records with their splits filled in.
        settings: What the split was made with; kept in ``cohort.json``.

    Returns:
        The folder as it is now; its records name the images' new places.

    Raises:
        CohortError: If the records are not those of the folder, one has no split, or a subject is
            in two.
        StudyError: If the folder cannot be written.
    """
    check_split(cohort)
    splits = {r.image: r.split for r in cohort.records}
    if splits.keys() != {r.image for r in folder.cohort.records}:
        raise CohortError(f"{folder.root}: the split names other images than the folder holds")
    mend(folder.root)
    if read_card(folder.root).layout == "split":
        splits = {without_split(image): split for image, split in splits.items()}
        folder = flatten(folder)
    counts = {s: sum(split == s for split in splits.values()) for s in SPLITS}
    parted = tuple(replace(r, split=splits[r.image]) for r in folder.cohort.records)
    new = replace(
        folder,
        cohort=replace(folder.cohort, records=parted),
        split={**(settings or {}), "counts": counts},
    )
    moved = {image: f"{SPLIT_FOLDERS[split]}/{image}" for image, split in splits.items()}
    return change(new, moved, "split")


def flatten(folder: CohortFolder) -> CohortFolder:
    """Put all images of a split cohort folder back into one table, and forget the split.

    Raises:
        CohortError: If images of two splits have the same name.
        StudyError: If the folder cannot be written.
    """
    moved = {r.image: without_split(r.image) for r in folder.cohort.records}
    names = list(moved.values())
    if len(set(names)) != len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise CohortError(f"{folder.root}: '{twice}' is in two splits; expected one name an image")
    records = tuple(replace(r, split="") for r in folder.cohort.records)
    new = replace(folder, cohort=replace(folder.cohort, records=records), split={})
    return change(new, moved, "flat")


def without_split(image: str) -> str:
    """Return an image's path without the folder of its split."""
    return PurePosixPath(*PurePosixPath(image).parts[1:]).as_posix()


def change(folder: CohortFolder, moved: Mapping[str, str], layout: Layout) -> CohortFolder:
    """Move a folder from the other layout to ``layout``.

    Args:
        folder: What the folder shall hold, its records still naming the images' old places.
        moved: New place of each image.
        layout: The layout to reach.

    Raises:
        CohortError: If a file is in the way.
        StudyError: If the folder cannot be written.
    """
    root, old = folder.root, read_card(folder.root)
    if any(shard_of(folder.path(r)) for r in folder.cohort.records):
        raise CohortError(f"{root}: its images are in shards; split the folder that was packed")
    table = table_kind(root, old.layout)
    records = tuple(replace(r, image=moved[r.image]) for r in folder.cohort.records)
    new = replace(folder, cohort=replace(folder.cohort, records=records))
    tables = table_folders(layout)
    for name in (*moved.values(), *(f"{t}/{n}" for t in tables.values() for n in TABLES)):
        if (root / name).exists():
            raise CohortError(f"{root / name}: is in the way of the split; expected no such file")
    write_card(root, old.model_copy(update={"pending": True}))
    for split in tables:
        part = tuple(r for r in records if split in ("", r.split))
        if part or not split:
            write_records(new, part, split, table=table)
    for before, after in moved.items():
        copy_file(root / before, root / after, link=True)
    card = card_of(new, layout=layout)
    write_card(root, card.model_copy(update={"pending": True}))
    mend(root)
    return read_cohort(root)


def mend(root: Path) -> None:
    """Remove what a change of layout left over, if one was begun and not ended.

    Raises:
        CohortError: If ``cohort.json`` cannot be read.
        StudyError: If something cannot be removed.
    """
    card = read_card(root)
    if card.pending:
        for folder in table_folders("flat" if card.layout == "split" else "split").values():
            remove_part(root / folder, root)
        write_card(root, card.model_copy(update={"pending": False}))


def table_folders(layout: Layout) -> Mapping[str, str]:
    """Return the folder of each table of a layout, by split (an empty name where not split)."""
    return {"": "."} if layout == "flat" else SPLIT_FOLDERS


def table_kind(root: Path, layout: Layout) -> str:
    """Return under which name a folder's tables are written anew: Parquet stays Parquet."""
    folders = [f for f in table_folders(layout).values() if (root / f).is_dir()]
    return PARQUET if all(find_table(root / f).name == PARQUET for f in folders) else CSV


def remove_part(folder: Path, root: Path) -> None:
    """Remove the images that a folder's table lists, then the table, then emptied folders.

    Raises:
        StudyError: If something cannot be removed.
    """
    with write_errors(folder):
        for table in (folder / name for name in TABLES if (folder / name).is_file()):
            images = [folder / inner_path(r.values["file_name"]) for r in read_rows(table)]
            for image in images:
                image.unlink(missing_ok=True)
            for place in {i.parent for i in images}:
                prune(place, root)
            table.unlink()
        if folder.is_dir():
            prune(folder, root)


def prune(folder: Path, root: Path) -> None:
    """Remove a folder and its parents below ``root`` as far as they are empty."""
    for place in (folder, *folder.parents):
        if place == root or not place.is_relative_to(root):
            return
        for partial in place.glob(".*.partial"):
            partial.unlink()
        if not place.is_dir() or any(place.iterdir()):
            return
        place.rmdir()
