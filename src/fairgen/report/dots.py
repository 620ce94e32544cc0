"""Rows of dots with intervals: the one figure in which methods and subgroups are compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from fairgen.report.chart import (
    INK,
    WIDTH,
    Chart,
    draw,
    legend,
    legend_shape,
    name_rows,
    plain_log,
    shown,
    span,
    two_lines,
)
from fairgen.report.scores import Estimate


@dataclass(frozen=True)
class Mark:
    """Describes one dot: an estimate and how it looks."""

    estimate: Estimate
    colour: str
    marker: str = "o"
    filled: bool = True
    name: str = ""


@dataclass(frozen=True)
class Line:
    """Describes a vertical line that dots are held against."""

    value: float
    name: str
    style: str = ":"


@dataclass(frozen=True)
class DotRow:
    """Names one row and its dots."""

    name: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Scale:
    """Describes the horizontal axis: its name, limits, vertical lines, whether it is log.

    ``apart`` is the distance, in rows, between the dots of one row.
    """

    label: str
    limits: tuple[float, float]
    lines: tuple[Line, ...] = ()
    log: bool = False
    apart: float = 0.28


def limits(rows: Sequence[DotRow], lines: Sequence[Line] = (), *, zero: bool = False) -> Scale:
    """Return a scale without a name that holds every dot, interval and line."""
    found = [m.estimate for r in rows for m in r.marks]
    values = [v for e in found for v in (e.value, e.low, e.high)]
    return Scale("", span([*values, *(line.value for line in lines)], zero=zero), tuple(lines))


def dot_chart(
    name: str, title: str, rows: Sequence[DotRow], scale: Scale, alt: str, *, width: float = WIDTH
) -> Chart:
    """Return rows of dots; where a figure is undefined the row says so."""
    named = dict.fromkeys(m.name for r in rows for m in r.marks if m.name)
    keys = legend_shape([*named, *(line.name for line in scale.lines if line.name)])[1]
    length = round(4.7 * width)
    height = 0.7 + _row_height(rows, scale, length) * max(len(rows), 2) + 0.17 * keys

    def paint(axes: Axes) -> None:
        name_rows(axes, [r.name for r in rows], width=length)
        _paint(axes, title, rows, scale)

    svg = draw(name, (width, height), paint)
    return Chart(name, title, svg, alt, tuple(_data(title, rows)))


def _row_height(rows: Sequence[DotRow], scale: Scale, length: int) -> float:
    most = max((len(r.marks) for r in rows), default=1) if scale.apart else 1
    double = any(len(two_lines(r.name, length)) > 1 for r in rows)
    return max(0.15 + 0.1 * most, 0.31 if double else 0.0)


def _paint(axes: Axes, title: str, rows: Sequence[DotRow], scale: Scale) -> None:
    _axis(axes, scale)
    if title:
        axes.set_title(shown(title, 44), x=0)
    for line in scale.lines:
        axes.axvline(line.value, color=INK, lw=1.1, ls=line.style, label=line.name or None)
    named: set[str] = set()
    for y, row in enumerate(rows):
        for i, mark in enumerate(row.marks):
            offset = (i - (len(row.marks) - 1) / 2) * scale.apart
            _mark(axes, y + offset, mark, "" if mark.name in named else mark.name)
            named.add(mark.name)
    legend(axes)


def _axis(axes: Axes, scale: Scale) -> None:
    if scale.log:
        axes.set_xscale("log")
        plain_log(axes.xaxis)
    else:
        axes.locator_params(axis="x", nbins=5)
    axes.set_xlim(*scale.limits)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(scale.label)


def _mark(axes: Axes, y: float, mark: Mark, name: str) -> None:
    found = mark.estimate
    if found.value is None:
        where = ("axes fraction", "data")
        axes.annotate("undefined", (0.02, y), xycoords=where, va="center", size=7, style="italic")
        return
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [y, y], color=mark.colour, lw=1.6, alpha=0.75)
    if found.seeds > 1 and mark.filled:
        values = list((found.by_seed or {}).values())
        axes.plot(values, [y] * len(values), "|", color=mark.colour, ms=7, mew=0.8, alpha=0.8)
    face = mark.colour if mark.filled else "none"
    axes.plot(
        [found.value], [y], mark.marker, color=mark.colour, mfc=face, mew=1.2, ms=5.5, label=name
    )


def _data(title: str, rows: Sequence[DotRow]) -> list[Mapping[str, Any]]:
    return [
        {
            "panel": title,
            "row": row.name,
            "series": mark.name,
            "value": mark.estimate.value,
            "low": mark.estimate.low,
            "high": mark.estimate.high,
            "n": mark.estimate.n,
            "seeds": mark.estimate.seeds,
        }
        for row in rows
        for mark in row.marks
    ]
