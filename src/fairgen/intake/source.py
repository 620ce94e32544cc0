"""Whether a folder already holds the cohort that is asked for, so that repeating does nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairgen.errors import CohortError
from fairgen.files.card import NAME, read_card


def made_from(out: Path, source: Mapping[str, Any]) -> bool:
    """Return whether ``out`` holds the cohort of this source.

    Args:
        out: Folder that is to be made.
        source: What ``cohort.json`` says about the source, or the part of it that counts.

    Raises:
        CohortError: If ``out`` holds the cohort of another source; the message names the first
            difference.
    """
    if not (out / NAME).is_file():
        return False
    found, asked = flat(read_card(out).source), flat(source)
    for key, value in asked.items():
        if key not in found or found[key] != value:
            raise CohortError(
                f"{out}: holds a cohort of another source ({key} is {found.get(key)!r}, asked for "
                f"{value!r}); expected a new folder"
            )
    return True


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one, with dotted keys; sequences become lists."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            found.update(flat(inner, f"{prefix}{key}."))
        else:
            found[prefix + key] = list(inner) if isinstance(inner, tuple) else inner
    return found
