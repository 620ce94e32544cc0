"""Attributes and labels of a release: from a cell of its table to a level, or a rule for none."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Literal

from fairgen.cohort.schema import Attribute, Schema
from fairgen.errors import CohortError
from fairgen.files.rows import Row
from fairgen.intake.lookup import Lookup, lookup, plain
from fairgen.intake.sources.plan import Drop, Item
from fairgen.intake.spec import MISSING, UNKNOWN

OLDEST = 120
PER_YEAR = {"Y": 1.0, "": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
Missing = Literal["drop", "level"]


@dataclass(frozen=True)
class Trait:
    """Says how one attribute, or the label, is read from a row.

    Attributes:
        name: Its name in the cohort.
        column: Column of the table.
        levels: Values of each level, as in ``AttributeColumn``; ``None`` takes every value.
        missing: Values that mean missing, besides ``MISSING``.
        others: Whether a row with any other value is left out or is a mistake of the table.
        clean: Turns a cell into what ``levels`` lists; raises ``CohortError`` for nonsense.
    """

    name: str
    column: str
    levels: Mapping[str, tuple[str, ...]] | None = None
    missing: tuple[str, ...] = ()
    others: Literal["drop", "error"] = "error"
    clean: Callable[[str], str] = plain

    @cached_property
    def known(self) -> Lookup:
        """Return the levels by value."""
        return lookup(self.name, self.levels or {})

    def level(self, values: Mapping[str, str], missing: Missing = "drop") -> str | Drop:
        """Return the level of a row, or the rule that leaves it out.

        Raises:
            CohortError: If the value belongs to no level and that is a mistake.
        """
        cell = values.get(self.column, "").strip()
        if is_missing(cell, self.missing):
            return UNKNOWN if missing == "level" else Drop(f"{self.name} missing")
        value = self.cleaned(cell)
        found = value if self.levels is None else self.known.level(value)
        if found is not None:
            return found
        if self.others == "drop":
            return Drop(f"{self.name} outside the levels")
        raise CohortError(
            f"column '{self.column}': '{cell}' is no {self.name}; "
            f"expected {', '.join(v for vs in (self.levels or {}).values() for v in vs)}"
        )

    def cleaned(self, cell: str) -> str:
        """Return what a cell means.

        Raises:
            CohortError: If it means nothing.
        """
        try:
            return self.clean(cell)
        except CohortError as error:
            raise CohortError(f"column '{self.column}': {error}") from error


def is_missing(cell: str, further: Iterable[str] = ()) -> bool:
    """Return whether a cell means a missing value."""
    return plain(cell).casefold() in {v.casefold() for v in (*MISSING, *further)}


@dataclass(frozen=True)
class Reading:
    """Reads a row: its label first, then its attributes, and the images that it stands for.

    Attributes:
        label: Gives a row's label, or the rule that leaves it out.
        traits: The attributes.
        missing: What becomes of a row without an attribute.
        items: Makes the images of a row with its levels and its label.
        values: Gives the cells that the attributes are read from.
    """

    label: Callable[[Row], str | Drop]
    traits: tuple[Trait, ...]
    missing: Missing
    items: Callable[[Row, tuple[str, ...], str], list[Item]]
    values: Callable[[Row], Mapping[str, str]] = attrgetter("values")

    def __call__(self, row: Row) -> list[Item] | Drop:
        """Return the images of a row, or the rule that leaves it out.

        Raises:
            CohortError: If a value is wrong.
        """
        label = self.label(row)
        if isinstance(label, Drop):
            return label
        values, levels = self.values(row), []
        for trait in self.traits:
            found = trait.level(values, self.missing)
            if isinstance(found, Drop):
                return Drop(found.rule, label)
            levels.append(found)
        return self.items(row, tuple(levels), label)


def schema_of(traits: Iterable[Trait], label: Trait, items: Iterable[Item]) -> Schema:
    """Return the groups; ``unknown`` is a level where rows with missing values were kept.

    Raises:
        CohortError: If two levels have one name, or none has been found.
    """
    listed = tuple(items)
    attributes = tuple(
        attribute(trait, {item.levels[i] for item in listed}) for i, trait in enumerate(traits)
    )
    return Schema(attributes, attribute(label, {item.label for item in listed}))


def attribute(trait: Trait, found: set[str]) -> Attribute:
    """Return a trait as an attribute with its closed list of levels.

    Raises:
        CohortError: If there is none.
    """
    levels = tuple(sorted(found - {UNKNOWN}) if trait.levels is None else trait.levels)
    return Attribute(trait.name, (*levels, UNKNOWN) if UNKNOWN in found else levels)


def sex(column: str, female: str = "F", male: str = "M") -> Trait:
    """Return sex as an attribute, female before male."""
    return Trait("sex", column, {"female": (female,), "male": (male,)})


def age(column: str, bound: int, clean: Callable[[str], str] | None = None) -> Trait:
    """Return age as two bands of completed years; whoever is older than ``OLDEST`` is left out."""
    levels = {f"{bound} and under": (f"0..{bound}",), f"over {bound}": (f"{bound + 1}..{OLDEST}",)}
    return Trait("age", column, levels, others="drop", clean=clean or whole_years)


def whole_years(cell: str) -> str:
    """Return completed years of an age such as ``57``, ``57.5``, ``060Y``, ``010M``, ``85+``.

    Raises:
        CohortError: If it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?)([YMWD]?)\+?", cell.strip().upper())
    if not found:
        raise CohortError(f"'{cell}' is no age; expected years, or such as 060Y, 010M, 002D")
    return str(int(float(found[1]) * PER_YEAR[found[2]]))


def labels(name: str, column: str, wanted: Iterable[str] | None) -> Trait:
    """Return a label whose levels are named in the table; rows with any other are left out.

    Args:
        name: Name of the label in the cohort.
        column: Column of the table.
        wanted: The labels wanted, in order; ``None`` for all that occur.
    """
    levels = None if wanted is None else {w: (w,) for w in wanted}
    return Trait(name, column, levels, others="drop")
