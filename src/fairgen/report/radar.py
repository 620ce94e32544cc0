"""Radar charts: several figures of one method, each turned so that outer is better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi
from types import MappingProxyType
from typing import Any

from matplotlib.axes import Axes

from fairgen.report.chart import FAINT, Chart, colour, draw, legend, shown
from fairgen.report.scores import Scores
from fairgen.report.words import method_text, number

AXES: Mapping[str, str] = MappingProxyType(
    {
        "essp": "ESSP",
        "demographic_parity_mean": "1 − DP",
        "equal_opportunity_mean": "1 − EO",
        "nar": "1 − NAR",
        "worst_subgroup_accuracy": "Worst\nsubgroup",
        "accuracy": "Accuracy",
    }
)
INVERTED = ("demographic_parity_mean", "equal_opportunity_mean", "nar")


@dataclass(frozen=True)
class Arm:
    """Names one classifier's rows for one method, with and without reweighting."""

    method: str
    index: int
    plain: Scores
    weighted: Scores


def arm_of(scores: Scores, method: str, index: int) -> Arm:
    """Return the rows of one method."""
    own = scores.where(method=method)
    plain = Scores(tuple(r for r in own.rows if r.reweight is not True))
    return Arm(method, index, plain, own.where(reweight=True))


def axis_values(scores: Scores) -> list[float | None]:
    """Return the radar's figures in the order of its axes, each in [0, 1], outer is better."""
    found = [scores.estimate(metric) for metric in AXES]
    values = [None if e is None else e.value for e in found]
    turned = [
        1 - v if v is not None and metric in INVERTED else v
        for metric, v in zip(AXES, values, strict=True)
    ]
    return [None if v is None else min(max(v, 0.0), 1.0) for v in turned]


def radar(arm: Arm, base: Arm, name: str) -> Chart:
    """Return the radar of one method: without and with reweighting, over real images only."""
    tint = colour(arm.index)
    lines = [
        ("real only", axis_values(base.plain), FAINT, "-"),
        ("as it is", axis_values(arm.plain), tint, "-"),
        ("reweighted", axis_values(arm.weighted), tint, "--"),
    ]
    kept = lines[1:] if arm is base else lines
    lines = [line for line in kept if any(v is not None for v in line[1])]

    def paint(axes: Axes) -> None:
        _grid(axes)
        for label, values, ink, style in lines:
            _polygon(axes, values, ink, style, label)
        axes.set_title(shown(method_text(arm.method), 40), pad=22)
        legend(axes)

    data: tuple[dict[str, Any], ...] = tuple(
        {"method": arm.method, "series": label, "axis": axis.replace("\n", " "), "value": value}
        for label, values, _, _ in lines
        for axis, value in zip(AXES.values(), values, strict=True)
    )
    texts = [f"{r['series']} {r['axis']} {number(r['value'])}" for r in data]
    alt = f"Radar of {method_text(arm.method)}: " + "; ".join(texts)
    return Chart(name, "", draw(name, (3.2, 3.3), paint, polar=True), alt, data)


def _angles() -> list[float]:
    return [2 * pi * i / len(AXES) for i in range(len(AXES))]


def _grid(axes: Axes) -> None:
    axes.set_theta_offset(pi / 2)  # type: ignore[attr-defined]
    axes.set_theta_direction(-1)  # type: ignore[attr-defined]
    axes.set_ylim(0, 1)
    axes.set_yticks([0.25, 0.5, 0.75, 1.0], [""] * 4)
    axes.set_xticks(_angles(), [""] * len(AXES))
    axes.grid(True)
    axes.spines["polar"].set_visible(False)
    for text, angle in zip(("0.5", "1"), (pi / 6, pi / 6), strict=True):
        axes.text(angle, float(text), text, fontsize=6, ha="center", va="center")
    places = ("center", "left", "left", "center", "right", "right")
    for name, angle, side in zip(AXES.values(), _angles(), places, strict=True):
        for i, line in enumerate(lines := name.split("\n")):
            axes.annotate(
                line,
                (angle, 1.08),
                xytext=(0, (len(lines) - 1 - 2 * i) * 4.6),
                textcoords="offset points",
                ha=side,
                va="center",
                annotation_clip=False,
            )


def _polygon(axes: Axes, values: Sequence[float | None], ink: str, style: str, label: str) -> None:
    angles = _angles()
    closed = [*zip(angles, values, strict=True), (angles[0], values[0])]
    broken = [(a, float("nan") if v is None else v) for a, v in closed]
    dashed = style != "-"
    look: dict[str, Any] = {"marker": "s" if dashed else "o", "ms": 3.5 if dashed else 3}
    look["mfc"] = "none" if dashed else ink
    axes.plot(*zip(*broken, strict=True), style, color=ink, lw=1.4, label=label, **look)
    if None not in values and style == "-":
        axes.fill(*zip(*broken, strict=True), color=ink, alpha=0.12, lw=0)
