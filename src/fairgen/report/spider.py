"""Spider webs: polygons over several axes that all run from a centre outwards to 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from typing import Any

from matplotlib.axes import Axes

from fairgen.report.chart import Chart, draw, legend, shown, two_lines
from fairgen.report.words import number


@dataclass(frozen=True)
class Polygon:
    """Names one line of a web: a value an axis, ``None`` where it is undefined."""

    name: str
    values: tuple[float | None, ...]
    colour: str
    dashed: bool = False


@dataclass(frozen=True)
class Web:
    """Describes the axes: their names, clockwise from the top, and the value at the centre."""

    axes: tuple[str, ...]
    centre: float = 0.0


def spider(name: str, title: str, web: Web, polygons: Sequence[Polygon]) -> Chart:
    """Return the polygons that have any value, on one web.

    Args:
        name: File stem.
        title: Heading inside the drawing.
        web: The axes.
        polygons: The lines; values beyond an axis are drawn at its end.
    """
    lines = [line for line in polygons if any(v is not None for v in line.values)]

    def paint(axes: Axes) -> None:
        _grid(axes, web)
        for line in lines:
            _polygon(axes, line, web)
        axes.set_title(shown(title, 40), pad=22)
        legend(axes)

    data = tuple(
        {"panel": title, "series": line.name, "axis": axis, "value": value}
        for line in lines
        for axis, value in zip(web.axes, line.values, strict=True)
    )
    texts = [f"{r['series']} {r['axis']} {number(r['value'])}" for r in data]  # type: ignore[arg-type]
    alt = f"Radar of {title}: " + "; ".join(texts)
    return Chart(name, f"Radar of {title}", draw(name, (3.2, 3.3), paint, polar=True), alt, data)


def _angles(web: Web) -> list[float]:
    return [2 * pi * i / len(web.axes) for i in range(len(web.axes))]


def _grid(axes: Axes, web: Web) -> None:
    axes.set_theta_offset(pi / 2)  # type: ignore[attr-defined]
    axes.set_theta_direction(-1)  # type: ignore[attr-defined]
    axes.set_ylim(0, 1)
    axes.set_yticks([0.25, 0.5, 0.75, 1.0], [""] * 4)
    axes.set_xticks(_angles(web), [""] * len(web.axes))
    axes.grid(True)
    axes.spines["polar"].set_visible(False)
    for place in (0.5, 1.0):
        value = web.centre + place * (1 - web.centre)
        between = pi / len(web.axes)
        axes.text(between, place, f"{value:g}", fontsize=6, ha="center", va="center")
    for name, angle in zip(web.axes, _angles(web), strict=True):
        _name(axes, name, angle)


def _name(axes: Axes, name: str, angle: float) -> None:
    """Write an axis' name beyond its end, on its own side."""
    side = "center" if abs(sin(angle)) < 0.2 else "left" if sin(angle) > 0 else "right"
    lines = two_lines(name, 12)
    lift = 4.6 * (len(lines) - 1) * cos(angle)
    for i, line in enumerate(lines):
        axes.annotate(
            line,
            (angle, 1.08),
            xytext=(0, (len(lines) - 1 - 2 * i) * 4.6 + lift),
            textcoords="offset points",
            ha=side,
            va="center",
            annotation_clip=False,
        )


def _polygon(axes: Axes, line: Polygon, web: Web) -> None:
    angles = _angles(web)
    radii = [_radius(v, web.centre) for v in line.values]
    closed = [*zip(angles, radii, strict=True), (angles[0], radii[0])]
    look: dict[str, Any] = {"marker": "s", "ms": 3.5, "mfc": "none"}
    if not line.dashed:
        look = {"marker": "o", "ms": 3, "mfc": line.colour}
    style = "--" if line.dashed else "-"
    axes.plot(*zip(*closed, strict=True), style, color=line.colour, lw=1.4, label=line.name, **look)
    if None not in line.values and not line.dashed:
        axes.fill(*zip(*closed, strict=True), color=line.colour, alpha=0.12, lw=0)


def _radius(value: float | None, centre: float) -> float:
    return float("nan") if value is None else min(max((value - centre) / (1 - centre), 0.0), 1.0)
