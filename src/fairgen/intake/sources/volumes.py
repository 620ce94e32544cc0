"""Where volumes are cut into slices."""

from typing import Annotated

from pydantic import AfterValidator

from fairgen.intake.pixels import Place


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
