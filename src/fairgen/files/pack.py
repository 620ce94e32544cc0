"""A cohort folder in WebDataset shards: a few large files in place of many small ones."""

import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path, PurePosixPath

from fairgen.cohort.cohort import Cohort, Record
from fairgen.errors import CohortError
from fairgen.files.atomic import copy_file, fresh_folder, write_errors
from fairgen.files.card import read_card, write_card
from fairgen.files.folder import (
    PARQUET,
    SPLIT_FOLDERS,
    CohortFolder,
    parts,
    read_cohort,
    row_values,
    write_records,
)
from fairgen.files.shards import ENDING, opened_file


def pack_cohort(root: str | Path, out: str | Path, *, images: int = 1000) -> CohortFolder:
    """Write a cohort folder anew with its images in shards and its tables as Parquet.

    Each image becomes three members of a tar file, as WebDataset and img2dataset have them: its
    bytes, its prompt (``.txt``) and its row (``.json``). A split stays; dividing anew needs the
    unpacked folder. Equal cohorts give equal bytes.

    Args:
        root: Cohort folder.
        out: Folder to make.
        images: Images a shard.

    Returns:
        The new folder; its records' images lie inside the shards.

    Raises:
        CohortError: If the cohort is wrong, or has no image.
        StudyError: If ``out`` is not empty or cannot be written.
    """
    folder, out = read_cohort(root), Path(out)
    if not folder.cohort.records:
        raise CohortError(f"{root}: has no image to pack")
    card = read_card(folder.root)
    with fresh_folder(out) as partial:
        for split in parts(folder.root, card):
            records = tuple(r for r in folder.cohort.records if not split or r.split == split)
            inner = SPLIT_FOLDERS[split] if split else "images"
            packed = _pack(folder, records, partial, inner, images)
            new = replace(folder, root=partial, cohort=Cohort(folder.cohort.schema, packed))
            write_records(new, packed, split, table=PARQUET)
        if folder.terms:
            copy_file(folder.root / folder.terms, partial / folder.terms)
        write_card(partial, card)
    return read_cohort(out)


def _pack(
    folder: CohortFolder, records: Sequence[Record], root: Path, inner: str, images: int
) -> tuple[Record, ...]:
    """Write the shards of one table, and return its records with the images' new places."""
    packed = []
    named = [(f"{place:08d}", record) for place, record in enumerate(records)]
    for first in range(0, len(named), images):
        shard, placed = f"{inner}/{first // images:06d}{ENDING}", named[first : first + images]
        with write_errors(root / shard):
            (root / inner).mkdir(parents=True, exist_ok=True)
            with tarfile.open(root / shard, "x", format=tarfile.USTAR_FORMAT) as tar:
                for key, record in placed:
                    _add(tar, folder, key, record)
        packed += [replace(r, image=f"{shard}/{key}{_suffix(r)}") for key, r in placed]
    return tuple(packed)


def _add(tar: tarfile.TarFile, folder: CohortFolder, key: str, record: Record) -> None:
    row = row_values(record, "", folder.prompts)
    row["file_name"] = f"{key}{_suffix(record)}"
    with opened_file(folder.path(record)) as stream:
        data = stream.read()
    members = {
        _suffix(record): data,
        ".txt": row["text"].encode(),
        ".json": json.dumps(row, ensure_ascii=False, sort_keys=True).encode(),
    }
    for suffix, content in members.items():
        info = tarfile.TarInfo(key + suffix)
        info.size, info.mode = len(content), 0o644
        tar.addfile(info, BytesIO(content))


def _suffix(record: Record) -> str:
    return PurePosixPath(record.image).suffix.lower()
