"""Files inside WebDataset shards: a path may lead through an uncompressed tar file.

``train/000002.tar/00002417.png`` names the member ``00002417.png`` of ``train/000002.tar``. Where
members lie is read once a shard; each is then read from its place.
"""

import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from io import BufferedReader, BytesIO
from pathlib import Path

ENDING = ".tar"


def shard_of(path: Path) -> Path | None:
    """Return the tar file that a path leads through, if it leads through one."""
    return next((p for p in path.parents if p.suffix == ENDING and p.is_file()), None)


def size_of(path: Path) -> int | None:
    """Return a file's bytes, also of one inside a shard; nothing if there is no such file."""
    shard = shard_of(path)
    if shard is None:
        return path.stat().st_size if path.is_file() else None
    try:
        return _places(shard)[path.relative_to(shard).as_posix()][1]
    except (KeyError, OSError):
        return None


@contextmanager
def opened_file(path: Path) -> Iterator[BufferedReader | BytesIO]:
    """Open a file for reading, also one inside a shard.

    Raises:
        OSError: If it is missing, or its shard is cut short or no uncompressed tar file.
    """
    shard = shard_of(path)
    if shard is None:
        with path.open("rb") as stream:
            yield stream
        return
    name = path.relative_to(shard).as_posix()
    found = _places(shard).get(name)
    if found is None:
        raise FileNotFoundError(2, f"{shard.name} has no member {name}", str(path))
    start, size = found
    with shard.open("rb") as stream:
        stream.seek(start)
        data = stream.read(size)
    yield BytesIO(data)


def _places(shard: Path) -> Mapping[str, tuple[int, int]]:
    """Return where each member's bytes begin and how many they are."""
    state = shard.stat()
    return _read_places(shard, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4096)
def _read_places(shard: Path, _size: int, _changed: int) -> Mapping[str, tuple[int, int]]:
    try:
        with tarfile.open(shard, "r:") as tar:
            files = (m for m in tar if m.isreg() and not m.issparse())
            return {m.name: (m.offset_data, m.size) for m in files}
    except tarfile.TarError as error:
        raise OSError(5, f"{shard.name} is no tar file ({error})", str(shard)) from error
