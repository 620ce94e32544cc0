"""Rows of quantile boxes: how a quantity is distributed, real beside synthetic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from fairgen.report.chart import (
    WIDTH,
    Chart,
    draw,
    legend,
    legend_shape,
    name_rows,
    shown,
    two_lines,
)

STEP = 0.105  # inches a box
NAMES = 16  # characters of a row's name on one line


@dataclass(frozen=True)
class Box:
    """Describes one distribution by its 5, 25, 50, 75 and 95 % quantiles; empty without values."""

    name: str
    colour: str
    marker: str
    n: int
    quantiles: tuple[float, ...] = ()


@dataclass(frozen=True)
class BoxRow:
    """Names one row and its boxes."""

    name: str
    boxes: tuple[Box, ...]


def box_chart(
    name: str, title: str, rows: Sequence[BoxRow], label: str, limits: tuple[float, float]
) -> Chart:
    """Return rows of boxes on a common axis.

    Args:
        name: File stem.
        title: Heading of the panel.
        rows: The rows, each with the same boxes in the same order.
        label: Name of the axis.
        limits: Ends of the axis.
    """
    most = max((len(r.boxes) for r in rows), default=1)
    double = any(len(two_lines(r.name, NAMES)) > 1 for r in rows)
    each = max(0.12 + STEP * most, 0.31 if double else 0.0)
    keys = legend_shape([b.name for r in rows[:1] for b in r.boxes])[1]

    def paint(axes: Axes) -> None:
        name_rows(axes, [r.name for r in rows], width=NAMES)
        axes.set_title(shown(title, 44), x=0)
        axes.set_xlim(*limits)
        axes.locator_params(axis="x", nbins=5)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(shown(label, 52))
        for y, row in enumerate(rows):
            for i, box in enumerate(row.boxes):
                offset = (i - (len(row.boxes) - 1) / 2) * STEP / each
                _box(axes, y + offset, box, named=y > 0)
        legend(axes)

    svg = draw(name, (WIDTH, 0.75 + each * len(rows) + 0.17 * keys), paint)
    return Chart(name, f"{label}, {title}", svg, _alt(title, rows), tuple(_data(title, rows)))


def _box(axes: Axes, y: float, box: Box, *, named: bool) -> None:
    name = "" if named else box.name
    look: dict[str, Any] = {"color": box.colour, "solid_capstyle": "butt"}
    if not box.quantiles:
        where = ("axes fraction", "data")
        axes.annotate("none measured", (0.02, y), xycoords=where, va="center", size=6)
        axes.plot([], [], box.marker, color=box.colour, ms=_size(box), label=name)
        return
    low, quarter, median, upper, high = box.quantiles
    axes.plot([low, high], [y, y], lw=0.9, **look)
    axes.plot([quarter, upper], [y, y], lw=4.2, alpha=0.45, **look)
    axes.plot([median], [y], box.marker, color=box.colour, ms=_size(box), label=name)


def _size(box: Box) -> float:
    return 7 if box.marker == "|" else 4


def _alt(title: str, rows: Sequence[BoxRow]) -> str:
    texts = (
        f"{row.name}, {box.name} {box.quantiles[2]:.3g}"
        for row in rows
        for box in row.boxes
        if box.quantiles
    )
    return f"{title}, medians: {'; '.join(texts) or 'none'}"


def _data(title: str, rows: Sequence[BoxRow]) -> list[Mapping[str, Any]]:
    names = ("q05", "q25", "q50", "q75", "q95")
    return [
        {"panel": title, "row": row.name, "series": box.name, "n": box.n}
        | dict(zip(names, box.quantiles or (None,) * 5, strict=True))
        for row in rows
        for box in row.boxes
    ]
