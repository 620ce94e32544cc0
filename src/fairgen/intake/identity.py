"""Who an image shows, kept out of the cohort: pseudonyms, and their salt."""

import hmac
import os
import secrets
import unicodedata
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from fairgen.errors import StudyError
from fairgen.files.atomic import write_errors

LENGTH = 16
LEAST_SALT = 16


def pseudonym(subject: str, salt: bytes, *, length: int = LENGTH) -> str:
    r"""Return a name that stands for a subject and cannot be traced back without the salt.

    $\mathrm{HMAC}_\mathrm{SHA256}(\text{salt}, \text{subject})$, its first digits: the same subject
    and salt give the same name, in every import. White space around the subject is ignored. With
    16 digits two of a million subjects share a name with a chance of 1 in 40 million.

    Args:
        subject: The patient's identifier at its source.
        salt: At least 16 secret bytes, as ``read_salt`` returns.
        length: Number of hexadecimal digits, from 16 to 64.

    Raises:
        ValueError: If the salt or the length is too short, or the subject is empty.
    """
    if len(salt) < LEAST_SALT or not LENGTH <= length <= 64:
        raise ValueError(f"salt of {len(salt)} bytes, {length} digits; expected 16 or more of each")
    plain = unicodedata.normalize("NFC", subject).strip()
    if not plain:
        raise ValueError("an empty subject has no pseudonym; expected an identifier")
    return hmac.digest(salt, f"subject\0{plain}".encode(), "sha256").hex()[:length]


def read_salt(path: Path, *, create: bool = False) -> bytes:
    """Return the salt that a file holds.

    Whoever has the salt and the source's identifiers can tell who is who: the file belongs to its
    owner alone, outside every cohort. Lose it, and later imports give other names.

    Args:
        path: A text file of at least 32 characters, readable by its owner only.
        create: Make the file, with 64 random digits and mode 600, if there is none.

    Raises:
        StudyError: If it is missing, readable by others, too short, or cannot be made.
    """
    if create and not path.exists():
        make_salt(path)
    try:
        salt, mode = path.read_bytes().strip(), path.stat().st_mode
    except OSError as error:
        raise StudyError(f"{path}: salt cannot be read ({error.strerror})") from error
    if os.name == "posix" and mode & 0o077:
        raise StudyError(f"{path}: others can read the salt; expected `chmod 600 {path}`")
    if len(salt) < 2 * LEAST_SALT:
        raise StudyError(f"{path}: holds {len(salt)} characters; expected 32 or more at random")
    return salt


def secret(path: Path | None, out: Path) -> bytes:
    """Return the salt for a cohort's pseudonyms, or nothing if the source's ids are kept.

    Raises:
        StudyError: If it cannot be read or made, or lies in the cohort's folder.
    """
    if path is None:
        return b""
    refuse_salt_inside(path, out)
    return read_salt(path, create=True)


def make_salt(path: Path) -> None:
    """Write a random salt that only its owner can read; one that exists is left as it is.

    Raises:
        StudyError: If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w") as stream:
                stream.write(secrets.token_hex(32) + "\n")
            with suppress(FileExistsError):  # another process was first: its salt counts
                path.hardlink_to(partial)
        finally:
            partial.unlink(missing_ok=True)


def refuse_salt_inside(path: Path, folder: Path) -> None:
    """Raise if a salt lies in a folder that is passed on.

    Raises:
        StudyError: If so.
    """
    if path.resolve().is_relative_to(folder.resolve()):
        raise StudyError(f"{path}: the salt lies in {folder}; expected a place outside the cohort")
