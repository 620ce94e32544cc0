"""Settings from a file or a command line: laid over one another, checked, refused in one line."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from fairgen.errors import StudyError

M = TypeVar("M", bound=BaseModel)


def assign(content: dict[str, Any], text: str) -> None:
    """Lay one ``key.key=value`` over a dictionary.

    Raises:
        StudyError: If the text has no ``=``, or a key leads through a value that is no table.
    """
    name, equals, value = text.partition("=")
    *path, last = name.strip().split(".")
    if not equals or not last:
        raise StudyError(f"--set {text}: expected KEY=VALUE, such as train.steps=200")
    table = content
    for key in path:
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            raise StudyError(f"--set {text}: '{key}' is a value, not a table")
        table = inner
    table[last] = parse_value(value.strip())


def parse_value(text: str) -> Any:  # noqa: ANN401 - whatever TOML can hold
    """Return a value written as in TOML, or the text itself if it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def override(settings: M, assignments: Sequence[str], where: str = "--set") -> M:
    """Return settings with ``key=value`` texts laid over them.

    Raises:
        StudyError: If a key is unknown or a value is wrong.
    """
    content = settings.model_dump(exclude_unset=True)
    for text in assignments:
        assign(content, text)
    return validate(type(settings), content, where)


def validate(model: type[M], content: Mapping[str, Any], where: str) -> M:
    """Return checked settings.

    Raises:
        StudyError: On one mistake, in one line.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        found = error.errors()  # a misspelt key is told before the key that it leaves out
        first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
        key = ".".join(str(part) for part in first["loc"])
        place = f"{where}: {key}" if key else where
        if first["type"] == "extra_forbidden":
            known = _fields(model, first["loc"][:-1])
            near = get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
            raise StudyError(f"{place}: unknown; {hint}") from error
        own = first["type"] in ("missing", "value_error")  # such messages say what was found
        seen = "" if own else f" (found {str(first['input'])[:60]!r})"
        message = first["msg"].removeprefix("Value error, ")
        raise StudyError(f"{place}: {message}{seen}") from error


def _fields(model: type[BaseModel], path: Iterable[Any]) -> list[str]:
    """Return the known keys of the table that a path leads to."""
    for key in path:
        field = model.model_fields.get(str(key))
        if field is None:
            break
        options = (field.annotation, *get_args(field.annotation))
        inner = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        if not inner:
            break
        model = inner[0]
    return list(model.model_fields)
