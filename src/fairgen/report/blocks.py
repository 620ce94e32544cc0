"""What a section of the page is made of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fairgen.report.chart import Chart
from fairgen.report.scores import Estimate
from fairgen.report.words import number

LONGEST_NOTE = 24


@dataclass(frozen=True)
class Cell:
    """Holds one cell: a text and, smaller beneath it, details; ``shade`` in [0, 1] tints it."""

    text: str
    details: tuple[str, ...] = ()
    heading: bool = False
    number: bool = False
    shade: float | None = None


@dataclass(frozen=True)
class Note:
    """Holds a remark; ``missing`` marks what a run lacks."""

    text: str
    missing: bool = False
    kind: str = "note"


@dataclass(frozen=True)
class Table:
    """Holds a table; the first cell of a row is its heading."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    folded: bool = False
    kind: str = "table"


@dataclass(frozen=True)
class Gallery:
    """Holds one figure of one or more charts, how to read it, and what a fair result looks like.

    Attributes:
        title: Heading.
        charts: Its panels.
        how: What is drawn, and what not to conclude from it.
        fair: What a fair result would look like; it goes on after "A fair result:".
        kind: Which part of the template shows it.
    """

    title: str
    charts: tuple[Chart, ...]
    how: str
    fair: str
    kind: str = "gallery"


@dataclass(frozen=True)
class Picture:
    """Holds one contact sheet cell: an image as a data URI, or why there is none."""

    source: str
    alt: str
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Sheet:
    """Holds contact sheets: a row a group, a column a source of images; read as a gallery is."""

    how: str
    fair: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]
    kind: str = "sheet"


@dataclass(frozen=True)
class Glossary:
    """Holds terms and what they mean."""

    items: tuple[tuple[str, str], ...]
    kind: str = "glossary"


@dataclass(frozen=True)
class Fold:
    """Holds figures that are folded away, and why they are."""

    title: str
    reason: str
    galleries: tuple[Gallery, ...]
    kind: str = "fold"


Block = Note | Table | Gallery | Sheet | Fold | Glossary


@dataclass(frozen=True)
class Section:
    """Holds one numbered section of the page."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]

    def charts(self) -> tuple[Chart, ...]:
        """Return the section's drawings."""
        return tuple(c for b in self.blocks for g in galleries(b) for c in g.charts)


def galleries(block: Block) -> tuple[Gallery, ...]:
    """Return the figures that a block holds."""
    if isinstance(block, Fold):
        return block.galleries
    return (block,) if isinstance(block, Gallery) else ()


def heading(text: str, detail: str = "") -> Cell:
    """Return a cell that heads its row."""
    return Cell(text, (detail,) if detail else (), heading=True)


def figure(value: float | None, decimals: int = 0) -> Cell:
    """Return a cell with a plain number."""
    return Cell(number(value, decimals), number=True)


def measured(
    found: Estimate | None,
    decimals: int = 3,
    *,
    size: bool = True,
    marks: Mapping[str, str] = MappingProxyType({}),
) -> Cell:
    """Return a cell with a value, and beneath it interval and sample size, or why it lacks.

    Args:
        found: The estimate; ``None`` if nothing was measured.
        decimals: Digits after the point.
        size: Whether to tell the sample size.
        marks: Short forms of reasons and notes that are told elsewhere.
    """
    if found is None:
        return Cell("–", ("not measured",))
    if found.value is None:
        return Cell("–", (marks.get(found.reason, found.reason),))
    count = f"n {found.n:,}" if size and found.n is not None else ""
    details = (interval(found, decimals), count, marks.get(found.note, found.note))
    return Cell(number(found.value, decimals), tuple(filter(None, details)))


def remarks(found: Iterable[Estimate]) -> dict[str, str]:
    """Return the mark of each reason, and of each note too long for a cell."""
    texts: dict[str, None] = {}
    for e in found:
        if e.value is None:
            texts[e.reason] = None
        elif len(e.note) > LONGEST_NOTE:
            texts[e.note] = None
    return {text: f"see {i}" for i, text in enumerate(texts, 1)}


Measured = tuple[Cell, Sequence[tuple[Estimate | None, int]]]


def measured_table(caption: str, head: Sequence[str], rows: Sequence[Measured], note: str) -> Table:
    """Return a table of estimates; a sample size that all share is told once, beneath it.

    Args:
        caption: Heading of the table.
        head: Headings of the columns.
        rows: For each row its heading, and estimates with their decimals.
        note: Text beneath; what the cells hold is added.
    """
    found = [e for _, cells in rows for e, _ in cells if e is not None]
    sizes = {e.n for e in found if e.value is not None}
    same = len(sizes) == 1 and None not in sizes
    marks = remarks(found)
    body = tuple(
        (name, *(measured(e, decimals, size=not same, marks=marks) for e, decimals in cells))
        for name, cells in rows
    )
    count = f"{max(n for n in sizes if n is not None):,}" if same else ""
    told = f"its interval; n = {count} throughout" if same else "its interval and n"
    marked = (f"({mark.removeprefix('see ')}) {text}." for text, mark in marks.items())
    notes = (note, f"Beneath each value: {told}.", *marked)
    return Table(caption, tuple(head), body, " ".join(filter(None, notes)))


def interval(found: Estimate, decimals: int = 3) -> str:
    """Return ``[low, high]``, or nothing where there is no interval."""
    if found.low is None or found.high is None:
        return ""
    return f"[{number(found.low, decimals)}, {number(found.high, decimals)}]"


def plain_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a folded table of texts."""
    cells = tuple((heading(r[0]), *(Cell(t) for t in r[1:])) for r in rows)
    return Table(caption, tuple(head), cells, folded=True)
