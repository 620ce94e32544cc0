"""Preference files: JSON lines that name a prompt, the preferred image and the rejected one."""

import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fairgen.cohort.schema import Group
from fairgen.errors import CohortError, PreferenceError
from fairgen.files.atomic import write_text
from fairgen.files.digest import file_digest
from fairgen.files.folder import CohortFolder, inner_path
from fairgen.files.image import is_whole, opened, read_image
from fairgen.files.shards import size_of
from fairgen.modalities.modality import Prompts

WINNER, LOSER = "image_w", "image_l"
LAYOUT = f'{{"text": ..., "{WINNER}": ..., "{LOSER}": ...}}'
KINDS: Mapping[type, str] = {
    bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object",
}  # fmt: skip


@dataclass(frozen=True)
class Preference:
    """Says which of two images shows a prompt better.

    Attributes:
        group: The group that the prompt names.
        text: The prompt.
        winner: The preferred image.
        loser: The rejected image.
        rater: Who said so; empty where it is not known.
        time: When, as the rater's program wrote it.
        reason: Why, in the rater's words.
    """

    group: Group
    text: str
    winner: Path
    loser: Path
    rater: str = ""
    time: str = ""
    reason: str = ""


def read_preferences(path: str | Path, prompts: Prompts) -> tuple[Preference, ...]:
    """Read a preference file and check all of it, the images included.

    The layout is that of the paper's released code: one JSON object a line with ``text``,
    ``image_w`` and ``image_l``, optionally ``group`` (a key such as ``dark|psoriasis``), ``rater``,
    ``time`` and ``reason``; other fields are passed over. Images lie in the file's folder, and are
    named relative to it. The group comes from ``group``, or else from the prompt.

    Args:
        path: File to read.
        prompts: The groups, and how their prompts are worded.

    Raises:
        PreferenceError: If anything is wrong; the message names file, line and field.
    """
    path = Path(path)
    found = tuple(
        _preference(_Line(path, number, values), prompts) for number, values in _objects(path)
    )
    if not found:
        raise PreferenceError(f"{path}: holds no preference; expected lines of {LAYOUT}")
    return found


def write_preferences(path: Path, preferences: Sequence[Preference]) -> None:
    """Write a preference file atomically; its images must lie in its folder.

    Args:
        path: File to write.
        preferences: At least one.

    Raises:
        PreferenceError: If there is none, or an image lies outside the file's folder.
        StudyError: If the file cannot be written.
    """
    if not preferences:
        raise PreferenceError(f"{path}: no preference to write; expected at least one")
    write_text(path, "".join(_written(path, p) for p in preferences))


def check_unseen(folder: CohortFolder, images: Iterable[Path]) -> None:
    """Raise if an image is one of a cohort's validation or test images, by its bytes.

    Args:
        folder: The cohort.
        images: What a generator or a reward model is to learn from.

    Raises:
        PreferenceError: If so; the message names both.
    """
    given = list(images)
    sizes = {path.stat().st_size for path in given}
    digests: dict[str, Path] = {}
    for record in folder.cohort.records:
        path = folder.path(record)
        if record.split not in ("valid", "test") or size_of(path) not in sizes:
            continue
        digests = digests or {file_digest(p): p for p in given}
        if (found := digests.get(file_digest(path))) is not None:
            raise PreferenceError(
                f"{found}: is {record.image} of split '{record.split}'; expected images that a "
                "model has drawn, or training images"
            )


@dataclass(frozen=True)
class _Line:
    """Holds one line's object, and where it stands."""

    path: Path
    number: int
    values: Mapping[str, Any]

    def error(self, message: str) -> PreferenceError:
        """Return an error that names file and line."""
        return PreferenceError(f"{self.path}: line {self.number}: {message}")

    def text(self, field: str) -> str:
        """Return a field's text.

        Raises:
            PreferenceError: If it is missing, empty or no text.
        """
        if field not in self.values:
            raise self.error(f"{field} is missing; expected {LAYOUT}")
        value = self.optional(field)
        if not value.strip():
            raise self.error(f"{field} is empty; expected text")
        return value

    def optional(self, field: str) -> str:
        """Return a field's text, empty where there is none.

        Raises:
            PreferenceError: If it is no text.
        """
        value = self.values.get(field)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.error(f"{field} is {KINDS[type(value)]}; expected text")
        if not _is_unicode(value):
            raise self.error(f"{field} holds half a character; expected text")
        return value


def _objects(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield line number and object of every line that is not blank."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise PreferenceError(f"{path}: no such preference file") from error
    except OSError as error:
        raise PreferenceError(f"{path}: cannot be read ({error.strerror})") from error
    for number, line in enumerate(data.removeprefix(BOM_UTF8).split(b"\n"), start=1):
        if line.strip():
            yield number, _object(path, number, line)


def _object(path: Path, number: int, line: bytes) -> Mapping[str, Any]:
    where = f"{path}: line {number}"
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise PreferenceError(f"{where} is not UTF-8 text ({error.reason})") from error
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise PreferenceError(f"{where} is not JSON ({reason}); expected {LAYOUT}") from error
    if not isinstance(value, dict):
        raise PreferenceError(f"{where} is no JSON object; expected {LAYOUT}")
    return value


def _preference(line: _Line, prompts: Prompts) -> Preference:
    """Return what one line says.

    Raises:
        PreferenceError: If it is wrong.
    """
    text = line.text("text")
    group = _group(line, text, prompts)
    winner, loser = _image(line, WINNER), _image(line, LOSER)
    if winner.resolve() == loser.resolve():
        raise line.error(f"{WINNER} and {LOSER} are one file; expected two images")
    if winner.read_bytes() == loser.read_bytes():
        raise line.error(f"{WINNER} and {LOSER} hold the same bytes; expected two images")
    rater, time, reason = (line.optional(f) for f in ("rater", "time", "reason"))
    return Preference(group, text, winner, loser, rater, time, reason)


def _group(line: _Line, text: str, prompts: Prompts) -> Group:
    """Return the group that a line names, by its key or else by its prompt.

    Raises:
        PreferenceError: If it names none, one that is unknown, or two.
    """
    said, key = _named_by(text, prompts), line.optional("group")
    if not key.strip():
        if said is None:
            raise line.error(f"text '{text}' names no group of this cohort; expected a field group")
        return said
    try:
        group = prompts.schema.group(key)
    except CohortError as error:
        raise line.error(f"group '{key}' is unknown ({error})") from error
    if said not in (None, group):
        raise line.error(f"group is '{key}', but text names '{said.key}'; expected one group")
    return group


def _named_by(text: str, prompts: Prompts) -> Group | None:
    try:
        return prompts.parse(text)
    except CohortError:
        return None


def _image(line: _Line, field: str) -> Path:
    """Return the path of a line's image.

    Raises:
        PreferenceError: If it leaves the folder, is missing or cannot be read.
    """
    name, folder = line.text(field), line.path.parent
    try:
        path = folder / inner_path(name)
    except CohortError as error:
        raise line.error(f"{field} '{name}' leaves the folder; expected a path in it") from error
    if not _is_file(path):
        raise line.error(f"{field} '{name}': no such image file")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise line.error(f"{field} '{name}' is a link out of the folder; expected a file in it")
    try:
        _check_image(path)
    except CohortError as error:
        raise line.error(f"{field}: {error}") from error
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False


def _check_image(path: Path) -> None:
    """Raise unless an image can be read; whole PNG files are believed without their pixels.

    Raises:
        CohortError: If not.
    """
    with opened(path):
        pass
    if not is_whole(path):
        read_image(path)


def _written(path: Path, preference: Preference) -> str:
    """Return the line of a preference."""
    values = {
        "text": preference.text,
        WINNER: _inside(path, preference.winner),
        LOSER: _inside(path, preference.loser),
        "group": preference.group.key,
        "rater": preference.rater,
        "time": preference.time,
        "reason": preference.reason,
    }
    given = {name: value for name, value in values.items() if value}
    for field, value in given.items():
        if not _is_unicode(value):
            raise PreferenceError(f"{path}: {field} holds half a character; expected text")
    return json.dumps(given, ensure_ascii=False) + "\n"


def _inside(path: Path, image: Path) -> str:
    """Return an image's path relative to the file's folder.

    Raises:
        PreferenceError: If it lies outside.
    """
    folder = path.parent
    try:
        name = image.absolute().relative_to(folder.absolute()).as_posix()
        if inner_path(name) == PurePosixPath(name) and image.resolve().is_relative_to(
            folder.resolve()
        ):
            return name
    except (ValueError, CohortError):
        pass
    raise PreferenceError(f"{path}: image {image} lies outside {folder}; expected a file in it")


def _is_unicode(text: str) -> bool:
    """Return whether a text can be written as UTF-8; half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
