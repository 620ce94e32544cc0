"""From the values of a column to levels: single values, and intervals of numbers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from fairgen.errors import StudyError


def plain(value: str) -> str:
    """Return a value without outer blanks, and a whole number without its ``.0``."""
    text = value.strip()
    return text.split(".")[0] if re.fullmatch(r"[+-]?\d+\.0*", text) else text


@dataclass(frozen=True)
class Interval:
    """Holds a range of numbers and the level that it stands for."""

    low: float
    high: float
    open: bool
    level: str

    def holds(self, number: float) -> bool:
        """Return whether the number lies in the range."""
        if self.open:
            return self.low < number < self.high
        return self.low <= number <= self.high


@dataclass(frozen=True)
class Lookup:
    """Turns the values of one column into levels."""

    exact: Mapping[str, str]
    intervals: tuple[Interval, ...]

    def level(self, value: str) -> str | None:
        """Return the level of a value, or ``None`` if no level lists it."""
        if value in self.exact:
            return self.exact[value]
        number = as_number(value)
        if number is None:
            return None
        return next((i.level for i in self.intervals if i.holds(number)), None)


def as_number(value: str) -> float | None:
    """Return the number that a text stands for, if it is one."""
    return float(value) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", value) else None


def lookup(name: str, levels: Mapping[str, tuple[str, ...]]) -> Lookup:
    """Return the lookup of a level mapping; a single value counts before an interval.

    Raises:
        StudyError: If two levels list the same value.
    """
    exact: dict[str, str] = {}
    intervals = []
    for level, values in levels.items():
        for value in map(plain, values):
            interval = parse_interval(value, level)
            if interval is not None:
                intervals.append(interval)
            elif exact.setdefault(value, level) != level:
                raise StudyError(f"{name}: value '{value}' is in levels {exact[value]}, {level}")
    refuse_overlap(name, intervals)
    return Lookup(exact, tuple(intervals))


def parse_interval(text: str, level: str) -> Interval | None:
    """Return the interval that a text such as ``<=75``, ``>75`` or ``60..75`` stands for."""
    number = r"([+-]?\d+\.?\d*)"
    if found := re.fullmatch(rf"{number}\.\.{number}", text):
        return Interval(float(found[1]), float(found[2]), open=False, level=level)
    if found := re.fullmatch(rf"(<=|<|>=|>)\s*{number}", text):
        bound, strict = float(found[2]), "=" not in found[1]
        low, high = (-inf, bound) if found[1][0] == "<" else (bound, inf)
        return Interval(low, high, open=strict, level=level)
    return None


def refuse_overlap(name: str, intervals: list[Interval]) -> None:
    """Raise if two intervals of different levels share a number.

    Raises:
        StudyError: If so.
    """
    ordered = sorted(intervals, key=lambda i: (i.low, i.high))
    for one, other in pairwise(ordered):
        meet = one.high == other.low and not one.open and not other.open
        if one.level != other.level and (one.high > other.low or meet):
            raise StudyError(f"{name}: levels {one.level} and {other.level} share numbers")
