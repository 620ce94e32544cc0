"""Decoded JSON as dotted keys and texts."""

from collections.abc import Iterator, Mapping
from typing import Any


def flat(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted keys and texts of all leaves of decoded JSON."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and any(isinstance(v, Mapping) for v in value):
        for i, inner in enumerate(value, 1):
            yield from flat(inner, f"{prefix}.{i}" if prefix else str(i))
    else:
        yield prefix, leaf(value)


def leaf(value: object) -> str:
    """Return one leaf of decoded JSON as text."""
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(leaf(v) for v in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def lookup(value: object, *names: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return the first value whose key contains one of the names, at any depth; else ``None``."""
    if not isinstance(value, Mapping):
        return None
    for key, inner in value.items():
        if any(name in str(key).lower() for name in names):
            return inner
    found = (lookup(inner, *names) for inner in value.values())
    return next((f for f in found if f is not None), None)
