"""Where volumes are cut into slices."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

from fairgen.errors import StudyError
from fairgen.intake.nifti import LARGEST, Place


def places(values: tuple[Place, ...]) -> tuple[Place, ...]:
    """Return places of slices if they are such.

    Raises:
        ValueError: If there is none, a share is not from 0 to 1, a number is below 0, or a place
            is named twice.
    """
    shares = all(0 <= v <= 1 for v in values if isinstance(v, float))
    numbers = all(v >= 0 for v in values if isinstance(v, int))
    if not values or not shares or not numbers or len(set(map(str, values))) < len(values):
        raise ValueError(
            f"{values}; expected different slices, each a share from 0.0 to 1.0, "
            "a number from 0, or 'largest brain area'"
        )
    return values


Slices = Annotated[tuple[Place, ...], AfterValidator(places)]


def parse_slices(texts: Iterable[str]) -> tuple[Place, ...]:
    """Return the slices that short texts name: ``80``, ``0.5`` or ``largest``.

    Raises:
        StudyError: If a text is none of these.
    """
    return tuple(parse_slice(text) for text in texts)


def parse_slice(text: str) -> Place:
    """Return the slice that a short text names.

    Raises:
        StudyError: If it names none.
    """
    if text in ("largest", LARGEST):
        return LARGEST
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError as error:
        raise StudyError(
            f"slice '{text}': expected a number such as 80, a share such as 0.5, or largest"
        ) from error
