"""JSON files that hold one object, such as manifests: read, or refused in one line."""

import json
from pathlib import Path
from typing import Any

from fairgen.errors import FairGenError


def read_mapping(path: Path, error: type[FairGenError], expected: str) -> dict[str, Any]:
    """Return the JSON object in a file.

    Args:
        path: File to read.
        error: What to raise where it cannot be done.
        expected: What the reader would have liked to find, for the message.

    Raises:
        FairGenError: Of the kind ``error``, if the file is missing, no JSON, or no object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise error(f"{path}: no such file; expected {expected}") from cause
    except OSError as cause:
        raise error(f"{path}: cannot be read ({cause.strerror})") from cause
    except ValueError as cause:
        reason = " ".join(str(cause).split())[:100]
        raise error(
            f"{path}: is damaged, it holds no JSON ({reason}); expected {expected}"
        ) from cause
    if not isinstance(found, dict):
        raise error(f"{path}: is damaged, it holds no JSON object; expected {expected}")
    return found
