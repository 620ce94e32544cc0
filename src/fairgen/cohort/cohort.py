"""Frozen rows of a cohort: which image shows whom, and to which group it belongs."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from fairgen.cohort.schema import Group, Schema
from fairgen.errors import CohortError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Record:
    """Describes one image.

    Attributes:
        image: Path relative to the cohort folder, with forward slashes.
        subject: Identifier of the patient; a split never divides one subject.
        group: The image's own group (one subject may have images in several).
        text: Prompt of the group; empty until a modality has written it.
        split: One of ``train``, ``valid``, ``test``, or empty before splitting.
        extra: Further columns of the table, carried along unread.
    """

    image: str
    subject: str
    group: Group
    text: str = ""
    split: str = ""
    extra: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Cohort:
    """Holds a schema and its records; every record's group belongs to the schema."""

    schema: Schema
    records: tuple[Record, ...]

    def __post_init__(self) -> None:
        known = set(self.schema.groups())
        for record in self.records:
            if record.group not in known:
                self.schema.check(record.group)
            if record.split and record.split not in SPLITS:
                raise CohortError(
                    f"{record.image}: unknown split '{record.split}'; expected {', '.join(SPLITS)}"
                )

    def __len__(self) -> int:
        return len(self.records)

    def counts(self) -> dict[Group, int]:
        """Return the number of images of every group of the schema, zeros included."""
        found = Counter(r.group for r in self.records)
        return {g: found[g] for g in self.schema.groups()}

    def subgroup_counts(self) -> dict[str, int]:
        """Return the number of images of every subgroup, zeros included."""
        found = Counter(r.group.subgroup for r in self.records)
        return {s: found[s] for s in self.schema.subgroups()}

    def label_counts(self) -> dict[str, int]:
        """Return the number of images of every disease label, zeros included."""
        found = Counter(r.group.label for r in self.records)
        return {d: found[d] for d in self.schema.label.levels}

    def subjects(self) -> tuple[str, ...]:
        """Return the distinct subjects, sorted."""
        return tuple(sorted({r.subject for r in self.records}))

    def select(self, keep: Callable[[Record], bool]) -> "Cohort":
        """Return the cohort of the records for which ``keep`` is true."""
        return replace(self, records=tuple(r for r in self.records if keep(r)))

    def part(self, split: str) -> "Cohort":
        """Return the records of one split.

        Raises:
            CohortError: If the split is not one of ``train``, ``valid``, ``test``, or is empty.
        """
        if split not in SPLITS:
            raise CohortError(f"unknown split '{split}'; expected one of {', '.join(SPLITS)}")
        chosen = self.select(lambda r: r.split == split)
        if not chosen.records:
            raise CohortError(f"no record belongs to split '{split}'; run `fairgen split` first")
        return chosen

    def join(self, other: "Cohort") -> "Cohort":
        """Return the records of both cohorts.

        Raises:
            CohortError: If the schemas differ.
        """
        if other.schema != self.schema:
            raise CohortError("cohorts with different schemas cannot be joined")
        return replace(self, records=self.records + other.records)
