"""The closed, ordered list of groups that a cohort may hold."""

from dataclasses import dataclass
from itertools import product

from fairgen.errors import CohortError

SEPARATOR = "|"


@dataclass(frozen=True)
class Attribute:
    """Names a property of a patient and its closed, ordered levels."""

    name: str
    levels: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.levels:
            raise CohortError(f"attribute '{self.name}': no levels; expected at least one")
        if len(set(self.levels)) != len(self.levels):
            raise CohortError(f"attribute '{self.name}': a level is named twice in {self.levels}")
        for text in (self.name, *self.levels):
            if not text.strip() or SEPARATOR in text:
                raise CohortError(
                    f"attribute '{self.name}': '{text}' is empty or contains '{SEPARATOR}'"
                )

    def check(self, level: str) -> str:
        """Return the level if this attribute has it.

        Raises:
            CohortError: If it has not; the message lists the known levels.
        """
        if level not in self.levels:
            raise CohortError(
                f"{self.name}: unknown level '{level}'; expected one of {', '.join(self.levels)}"
            )
        return level


@dataclass(frozen=True)
class Group:
    """Names one attribute-disease pair; several sensitive attributes may be crossed."""

    levels: tuple[str, ...]
    label: str

    @property
    def key(self) -> str:
        """Return the group's name in files, such as ``dark|psoriasis``."""
        return SEPARATOR.join((*self.levels, self.label))

    @property
    def subgroup(self) -> str:
        """Return the name of the attribute levels alone, such as ``dark`` or ``dark|female``."""
        return SEPARATOR.join(self.levels)


@dataclass(frozen=True)
class Schema:
    """Lists the sensitive attributes (at least one) and the disease label of a cohort."""

    attributes: tuple[Attribute, ...]
    label: Attribute

    def __post_init__(self) -> None:
        names = [a.name for a in (*self.attributes, self.label)]
        if not self.attributes:
            raise CohortError("schema: no sensitive attribute; expected at least one")
        if len(set(names)) != len(names):
            raise CohortError(f"schema: a column is named twice in {', '.join(names)}")

    def groups(self) -> tuple[Group, ...]:
        """Return every group in order, the empty ones too."""
        levels = product(*(a.levels for a in self.attributes))
        return tuple(Group(ls, label) for ls in levels for label in self.label.levels)

    def subgroups(self) -> tuple[str, ...]:
        """Return every crossing of attribute levels, in order."""
        return tuple(SEPARATOR.join(ls) for ls in product(*(a.levels for a in self.attributes)))

    def group(self, key: str) -> Group:
        """Return the group of a key such as ``dark|psoriasis``.

        Raises:
            CohortError: If the key has the wrong number of parts or an unknown level.
        """
        *levels, label = key.split(SEPARATOR)
        return self.check(Group(tuple(levels), label))

    def check(self, group: Group) -> Group:
        """Return the group if it belongs to this schema.

        Raises:
            CohortError: If it does not; the message names the attribute and its levels.
        """
        if len(group.levels) != len(self.attributes):
            names = ", ".join(a.name for a in self.attributes)
            raise CohortError(f"group '{group.key}': expected one level for each of {names}")
        for attribute, level in zip(self.attributes, group.levels, strict=True):
            attribute.check(level)
        self.label.check(group.label)
        return group
