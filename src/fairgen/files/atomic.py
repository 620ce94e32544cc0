"""Writes that happen completely or not at all: beside the target first, then one rename."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from fairgen.errors import CohortError, StudyError


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a killed process leaves the old content or the new, never a part.

    Args:
        path: File to write; missing parent folders are made.
        data: The whole content.

    Raises:
        StudyError: If the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(data)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file as ``write_bytes`` does.

    Raises:
        StudyError: If the file cannot be written.
    """
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Write a value as indented JSON, as ``write_bytes`` does.

    Args:
        path: File to write.
        value: Dictionaries, lists, texts, numbers; a float that is not finite is refused.

    Raises:
        StudyError: If the file cannot be written.
        ValueError: If a number is not finite.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling folder that becomes ``path`` if the block succeeds.

    The sibling is called ``.<name>.partial``. It is removed when the block fails; what a killed
    process left there is removed by the next call for the same path.

    Args:
        path: Folder to make. An empty folder of that name is replaced.

    Yields:
        The folder to fill.

    Raises:
        StudyError: If ``path`` exists and is not an empty folder, or cannot be written.
    """
    path = path.resolve()
    partial = path.with_name(f".{path.name}.partial")
    with write_errors(path):
        refuse_content(path)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    try:
        yield partial
        put_in_place(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def resumed_folder(path: Path, key: str) -> Iterator[Path]:
    """Yield a temporary sibling folder as ``fresh_folder`` does, with what an earlier call left.

    It is called ``.<name>.<start of the key>.partial`` and stays if the block is killed or
    interrupted, the disk is full or a package is missing, so that the next call for the same path
    and key goes on in it. Input that is refused (``CohortError``) removes it, as does a call with
    another key.

    Args:
        path: Folder to make. An empty folder of that name is replaced.
        key: Digest of at least 16 characters of what decides the folder's content.

    Yields:
        The folder to fill.

    Raises:
        StudyError: If ``path`` exists and is not an empty folder, or cannot be written.
    """
    path = path.resolve()
    partial = path.with_name(f".{path.name}.{key[:16]}.partial")
    with write_errors(path):
        refuse_content(path)
        remove_others(path, partial)
        partial.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        put_in_place(partial, path)
    except CohortError:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def remove_others(path: Path, partial: Path) -> None:
    """Remove what killed calls of ``resumed_folder`` for the same path and other keys left."""
    left = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{16}\.partial")
    for other in path.parent.iterdir() if path.parent.is_dir() else ():
        if left.fullmatch(other.name) and other != partial:
            shutil.rmtree(other, ignore_errors=True)


def put_in_place(partial: Path, path: Path) -> None:
    """Give a finished folder its name.

    Raises:
        StudyError: If something is there by now, or it cannot be done.
    """
    with write_errors(path):
        refuse_content(path)
        if path.is_dir():
            path.rmdir()
        partial.rename(path)


def refuse_content(path: Path) -> None:
    """Raise if something other than an empty folder is at ``path``.

    Raises:
        StudyError: If so.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise StudyError(f"{path}: a file of that name exists; expected a new folder")
    if path.is_dir() and any(path.iterdir()):
        raise StudyError(f"{path}: the folder exists and is not empty; expected a new folder")


def copy_file(source: Path, target: Path, *, link: bool = False) -> None:
    """Copy a file's content, or link to it where the file system can.

    Args:
        source: File to copy.
        target: File that does not exist; missing parent folders are made.
        link: Make a hard link if possible. Both names then share one content, so only files that
            are replaced rather than changed in place may be linked.

    Raises:
        StudyError: If the target exists or cannot be written.
    """
    with write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if link and linked(source, target):
            return
        with source.open("rb") as old, target.open("xb") as new:
            shutil.copyfileobj(old, new)


def linked(source: Path, target: Path) -> bool:
    """Make a hard link and return whether the file system allowed it.

    Raises:
        FileExistsError: If the target exists.
    """
    try:
        target.hardlink_to(source)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal into one line that names the path.

    Raises:
        StudyError: If the block raises ``OSError``.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if error.filename and Path(error.filename).name != path.name:
            reason = f"{error.filename}: {reason}"
        raise StudyError(f"{path}: cannot be written ({reason})") from error
