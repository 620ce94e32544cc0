"""SHA-256 of files, folders and values."""

import json
from hashlib import file_digest as stream_digest
from hashlib import sha256
from pathlib import Path
from typing import Any

from fairgen.errors import StudyError
from fairgen.files.shards import opened_file


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal, also of one inside a shard.

    Raises:
        StudyError: If the file cannot be read.
    """
    try:
        with opened_file(path) as stream:
            return stream_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror})") from error


def folder_digest(path: Path) -> str:
    """Return one SHA-256 over the names and contents of all files of a folder.

    Files and folders whose name starts with a dot are left out: they are temporary.

    Raises:
        StudyError: If ``path`` is no folder or a file cannot be read.
    """
    if not path.is_dir():
        raise StudyError(f"{path}: no such folder")
    total = sha256()
    for name in sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()):
        if not any(part.startswith(".") for part in name.split("/")):
            total.update(f"{len(name)}:{name};{file_digest(path / name)};".encode())
    return total.hexdigest()


def value_digest(value: Any) -> str:  # noqa: ANN401 - whatever JSON can hold
    """Return the SHA-256 of a value's JSON form, whatever the order of its keys.

    Raises:
        TypeError: If JSON cannot hold the value.
    """
    return sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
