"""Which images of a release become a cohort: rows kept, and rows left out by named rules."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from fairgen.cohort.schema import Schema
from fairgen.errors import CohortError
from fairgen.files.rows import Row
from fairgen.intake.nifti import Place
from fairgen.intake.sources.terms import Terms

Losses = Mapping[str, Mapping[str, int]]
"""Rows left out: by rule, then by label, which is empty where the rule comes before the label."""


@dataclass(frozen=True)
class Where:
    """Says where the images of one table lie.

    Attributes:
        table: The table, or the folder if there is none.
        root: Folder of the release.
        folders: Patterns of folders below ``root`` to look in; empty for ``root`` itself.
    """

    table: Path
    root: Path
    folders: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Item:
    """Describes one image that is to come into the cohort.

    Attributes:
        number: Row of the table.
        where: Where to look for the file.
        file: Path relative to one of the folders; ``*`` stands for what the table does not tell.
        subject: Who it shows.
        levels: Level of each attribute.
        label: The disease label.
        split: ``train``, ``valid`` or ``test`` if the release says so.
        at: Where a volume is cut; ``None`` for pictures.
        extra: Columns to carry along.
    """

    number: int
    where: Where
    file: str
    subject: str
    levels: tuple[str, ...]
    label: str
    split: str = ""
    at: Place | None = None
    extra: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Drop:
    """Says by which rule a row is left out, and which label it had as far as that was known."""

    rule: str
    label: str = ""


@dataclass(frozen=True)
class Gathered:
    """Holds what became of the rows of a table."""

    items: tuple[Item, ...]
    rows: int
    kept: int
    losses: Losses


@dataclass(frozen=True)
class Plan:
    """Holds what an import will do, as far as the tables tell; no image has been looked at.

    Attributes:
        tables: The tables that were read.
        schema: The groups.
        gathered: What became of the rows: in = kept + left out by each rule.
        modality: Key in ``MODALITIES``.
        template: Prompt template; empty for the modality's own.
        waiver: Why patients cannot be told apart, if they cannot.
        further: Terms of other releases that are joined in.
    """

    tables: tuple[Path, ...]
    schema: Schema
    gathered: Gathered
    modality: str
    template: str = ""
    waiver: str = ""
    further: tuple[Terms, ...] = ()

    def __post_init__(self) -> None:
        found = self.gathered
        if found.rows != found.kept + sum(self.dropped.values()):
            raise CohortError(
                f"{self.tables[0]}: {found.rows} rows in, {found.kept} kept, "
                f"{sum(self.dropped.values())} left out; expected the last two to sum to the first"
            )

    @property
    def items(self) -> tuple[Item, ...]:
        """Return the images; several of one row where volumes are cut several times."""
        return self.gathered.items

    @property
    def dropped(self) -> dict[str, int]:
        """Return the number of rows that each rule leaves out."""
        return {rule: sum(labels.values()) for rule, labels in self.gathered.losses.items()}


def gather(where: Where, rows: Sequence[Row], read: Callable[[Row], list[Item] | Drop]) -> Gathered:
    """Return what became of every row.

    Args:
        where: Names the table in messages.
        rows: All rows of the table.
        read: Gives the images of a row, or the rule that leaves it out.

    Raises:
        CohortError: If a row is wrong or two rows name one image; the message names the row.
    """
    items: list[Item] = []
    kept = 0
    losses: dict[str, Counter[str]] = defaultdict(Counter)
    first: dict[tuple[str, Place | None], int] = {}
    for row in rows:
        try:
            found = read(row)
        except CohortError as error:
            raise CohortError(f"{where.table}: row {row.number}: {error}") from error
        if isinstance(found, Drop):
            losses[found.rule][found.label] += 1
            continue
        for item in found:
            refuse_twice(item, first)
        items += found
        kept += bool(found)
    return Gathered(tuple(items), len(rows), kept, frozen(losses))


def refuse_twice(item: Item, first: dict[tuple[str, Place | None], int]) -> None:
    """Raise if an earlier row named the image already.

    Raises:
        CohortError: If so.
    """
    earlier = first.setdefault((item.file, item.at), item.number)
    if earlier != item.number:
        raise CohortError(
            f"{item.where.table}: row {item.number}: image '{item.file}' is that of row {earlier} "
            "too; expected one row an image"
        )


def frozen(losses: Mapping[str, Mapping[str, int]]) -> Losses:
    """Return counts by rule and label that nobody can change, sorted."""
    return MappingProxyType(
        {rule: MappingProxyType(dict(sorted(losses[rule].items()))) for rule in sorted(losses)}
    )


def join(plans: Mapping[str, Plan], schema: Schema, further: tuple[Terms, ...]) -> Plan:
    """Return several releases as one cohort; a column ``collection`` says which image is whose.

    Args:
        plans: The plans by the release's name. Subjects and rules carry it too.
        schema: The groups of the whole.
        further: Terms of all releases but the first.
    """
    one = next(iter(plans.values()))
    items = tuple(owned(item, name) for name, plan in plans.items() for item in plan.items)
    losses = {
        f"{name}: {rule}": labels
        for name, plan in plans.items()
        for rule, labels in plan.gathered.losses.items()
    }
    rows, kept = (sum(getattr(p.gathered, k) for p in plans.values()) for k in ("rows", "kept"))
    return replace(
        one,
        tables=tuple(table for plan in plans.values() for table in plan.tables),
        schema=schema,
        gathered=Gathered(items, rows, kept, frozen(losses)),
        further=further,
    )


def owned(item: Item, name: str) -> Item:
    """Return an item that says from which release it is."""
    extra = MappingProxyType({"collection": name, **item.extra})
    return replace(item, subject=f"{name}:{item.subject}", extra=extra)
