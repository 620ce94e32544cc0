"""Tensors kept on disk by the content that they were computed from, so that none is computed twice.

A store is a folder of safetensors shards. A shard lists its keys, is named by the SHA-256 of its
bytes, is written beside its place and renamed, and never changes: any number of processes read and
add at once, a kill loses at most the shard in the making, and a damaged one is seen and made anew.
Shards are mapped into memory, which the machine's processes so share.
"""

import json
import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from fairgen.errors import StudyError
from fairgen.files.atomic import write_bytes
from fairgen.files.digest import file_digest
from fairgen.files.progress import progress_bar

logger = logging.getLogger(__name__)
PLACE = "FAIRGEN_CACHE"
"""Environment variable that names one folder for the stores of all cohorts."""
HIDDEN = ".fairgen"
SHARD = 512  # rows
KEYS = "keys"

Columns = Mapping[str, Tensor]
Make = Callable[[Sequence[str]], Iterator[Columns]]
"""Computes the rows of some keys, in their order, a batch at a time."""


@dataclass(frozen=True)
class Crew:
    """Says which of how many processes this one is; work is dealt among them.

    Attributes:
        index: Number of this process, from zero.
        count: Number of processes.
        wait: Returns once every process has called it.
    """

    index: int = 0
    count: int = 1
    wait: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Kept:
    """Says for each key which columns hold it, and in which row."""

    places: Mapping[str, tuple[Columns, int]]

    def rows(self, name: str, keys: Sequence[str]) -> Tensor:
        """Return one column's rows of the given keys, copied.

        Raises:
            KeyError: If a key is not held.
        """
        found = (self.places[key] for key in keys)
        return torch.stack([columns[name][row] for columns, row in found])


def store_folder(root: Path) -> Path:
    """Return where what is computed from a cohort's images is kept.

    That is inside the cohort's folder, so that it is as protected as the images, and goes when they
    go: images can be told from their latents. Another place serves where ``FAIRGEN_CACHE`` names
    it.
    """
    return Path(os.environ.get(PLACE) or root / HIDDEN)


def kept_or_made(
    folder: Path | None, keys: Sequence[str], make: Make, *, what: str, crew: Crew | None = None
) -> Kept:
    """Return the rows of all keys: those that are kept, and the others computed and added.

    Args:
        folder: The store; ``None``, or a folder that cannot be written, keeps rows in memory alone.
        keys: The keys wanted; one may occur several times.
        make: What computes rows.
        what: What is computed, for the progress bar.
        crew: Who shares the work; processes that share the store compute each row once.
    """
    crew = Crew() if crew is None else crew
    places = {} if folder is None else look_up(folder, frozenset(keys))
    wanted = dict.fromkeys(keys)
    missing = [key for key in wanted if key not in places]
    if folder is not None and crew.count > 1:
        share = missing[crew.index :: crew.count]
        places |= _add(folder, share, make(share), what)
        crew.wait()
        places |= look_up(folder, frozenset(k for k in missing if k not in places))
    rest = [key for key in wanted if key not in places]
    return Kept({**places, **_add(folder, rest, make(rest), what)})


def look_up(folder: Path, keys: Collection[str]) -> dict[str, tuple[Columns, int]]:
    """Return the places of those keys that a store holds; a damaged shard is passed over."""
    places: dict[str, tuple[Columns, int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            listed = _listed(path)
            fresh = {k: i for i, k in enumerate(listed) if k in keys and k not in places}
            if not fresh:
                continue
            if file_digest(path) != path.stem:
                raise ValueError("its bytes are not those that its name stands for")
            columns = load_file(path)
        except (SafetensorError, StudyError, ValueError, OSError) as error:
            logger.warning("%s: cannot be used (%s); its rows are computed anew", path, error)
            continue
        places |= {key: (columns, row) for key, row in fresh.items()}
    return places


def _listed(path: Path) -> list[str]:
    """Return the keys of a shard's rows.

    Raises:
        ValueError: If it lists none.
    """
    with safe_open(path, framework="pt") as shard:
        keys = json.loads((shard.metadata() or {}).get(KEYS, "null"))
    if not isinstance(keys, list):
        raise ValueError("it lists no keys")
    return keys


def _add(
    folder: Path | None, keys: Sequence[str], batches: Iterator[Columns], what: str
) -> dict[str, tuple[Columns, int]]:
    """Return the places of rows as they are computed, shard by shard."""
    places: dict[str, tuple[Columns, int]] = {}
    if not keys:
        return places
    done, pending = 0, 0
    parts: list[Columns] = []
    with progress_bar(what, len(keys)) as advance:
        for batch in batches:
            parts.append(batch)
            count = len(next(iter(batch.values())))
            pending += count
            advance(count, "")
            if pending >= SHARD or done + pending == len(keys):
                own = keys[done : done + pending]
                columns = _shard(folder, own, {n: torch.cat([p[n] for p in parts]) for n in batch})
                places |= {key: (columns, row) for row, key in enumerate(own)}
                done, pending, parts = done + pending, 0, []
    return places


def _shard(folder: Path | None, keys: Sequence[str], columns: Columns) -> Columns:
    """Write a shard and return it mapped into memory; in memory as it is if it cannot be."""
    if folder is None:
        return columns
    data = save(dict(columns), metadata={KEYS: json.dumps(keys)})
    path = folder / f"{sha256(data).hexdigest()}.safetensors"
    try:
        write_bytes(path, data)
        mapped: Columns = load_file(path)
    except (StudyError, SafetensorError, OSError) as error:
        logger.warning("%s; held in memory", error)
        return columns
    return mapped
