"""What answers in a person's place: a number for each image, and the same rule for all of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fairgen.cohort.schema import Group
from fairgen.cohort.seed import derive
from fairgen.errors import PreferenceError
from fairgen.preferences.pairs import BOTH, CANNOT_JUDGE, LEFT, RIGHT, Answer, Comparison

Fit = Callable[[Path, Group], float]
"""How well an image shows a group: more is better, NaN where it cannot be told."""
TURNED: Mapping[str, str] = MappingProxyType({LEFT: RIGHT, RIGHT: LEFT})


@dataclass(frozen=True)
class Judge:
    """Describes what answers in a person's place, before any work is done.

    Attributes:
        source: ``oracle`` or ``proxy``; it is the rater's name in every answer.
        prepare: Returns the number by which images are compared; it may take seconds.
        facts: What a manifest shall say of it.
        error_rate: Chance that a preference is turned round, in [0, 0.5].
    """

    source: str
    prepare: Callable[[], Fit]
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    error_rate: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.error_rate <= 0.5:
            raise PreferenceError(f"error rate {self.error_rate}; expected 0 to 0.5")


def answers_of(judge: Judge, comparisons: Sequence[Comparison], *, seed: int) -> tuple[Answer, ...]:
    """Return a judge's answers.

    The image that fits better wins; one that cannot be told loses against one that can. Two that
    cannot be told are not judged, and of two that fit alike both are good. With the judge's error
    rate a preference is turned round; the seed and the question's name alone decide which.

    Args:
        judge: Who answers.
        comparisons: The questions.
        seed: Decides which answers are turned round.

    Raises:
        CohortError: If an image cannot be read.
    """
    fit = judge.prepare()
    shown = dict.fromkeys((p, c.group) for c in comparisons for p in (c.left, c.right))
    known = {(path, group): fit(path, group) for path, group in shown}
    found = []
    for asked in comparisons:
        choice = better(known[asked.left, asked.group], known[asked.right, asked.group])
        if is_turned(asked.id, judge.error_rate, seed):
            choice = TURNED.get(choice, choice)
        found.append(Answer(asked.id, choice, rater=judge.source))
    return tuple(found)


def better(left: float, right: float) -> str:
    """Return the choice between two images of known fit."""
    if math.isnan(left) or math.isnan(right):
        if math.isnan(left) and math.isnan(right):
            return CANNOT_JUDGE
        return RIGHT if math.isnan(left) else LEFT
    if left == right:
        return BOTH
    return LEFT if left > right else RIGHT


def is_turned(comparison: str, error_rate: float, seed: int) -> bool:
    """Return whether the preference in a comparison is turned round."""
    return derive(seed, "turned round", comparison) < error_rate * 2**63
