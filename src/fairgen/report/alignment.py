"""How training on preferences went: errors of winners and losers, and whether pairs are told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from fairgen.report.blocks import Block, Gallery
from fairgen.report.chart import FAINT, WIDTH, Chart, colour, draw, legend, shown
from fairgen.report.run import Trained
from fairgen.report.training import Log, Points, smoothed, thinned
from fairgen.report.words import number

LOGGED, PROBED, RIGHT = "preference", "preference_probe", "implicit_accuracy"
GAPS: Mapping[str, tuple[str, str, str]] = {
    "winner_gap": ("preferred", colour(2), "-"),
    "loser_gap": ("rejected", colour(4), "--"),
}
GAPS_HOW = (
    "How the error of predicting the noise has changed since the start, for preferred and for "
    "rejected images of the same pairs under the same noise; below zero such images are predicted "
    "better than before. The loss only asks that the rejected images' line lies above the other, "
    "so both may rise."
)
GAPS_FAIR = (
    "the line of preferred images falls below zero, or stays on it, while that of rejected ones "
    "does not fall as far. If both rise, images of every kind get worse."
)
RIGHT_HOW = (
    "In how many of a step's pairs the model is on the preferred image's side: faint as logged, "
    "strong smoothed; one half is a guess. These are the pairs that it learns from: they say "
    "nothing about pairs that it has not seen, nor about how images look."
)
RIGHT_FAIR = (
    "the share rises above one half and stays short of one, at which the pairs are known by heart."
)


@dataclass(frozen=True)
class Curve:
    """Holds one line of a panel: its points as logged, how it looks, and what it is called."""

    name: str
    points: Points
    tint: str
    style: str = "-"


def blocks(trained: Sequence[Trained]) -> tuple[Block, ...]:
    """Return a figure of errors and one of shares, a panel each method that learned from pairs."""
    told = [t for t in trained if any(line.get(LOGGED) or line.get(PROBED) for line in t.log)]
    first = [t for t in told if t.seed == told[0].seed]
    gaps = [gap_chart(t, i) for i, t in enumerate(first)]
    shares = [accuracy_chart(t, i) for i, t in enumerate(first)]
    figures = (
        ("Errors of preferred and rejected images", gaps, GAPS_HOW, GAPS_FAIR),
        ("Preferred images told from rejected ones", shares, RIGHT_HOW, RIGHT_FAIR),
    )
    return tuple(
        Gallery(f"{title} (seed {first[0].seed})", drawn, how, fair)
        for title, charts, how, fair in figures
        if (drawn := tuple(c for c in charts if c is not None))
    )


def logged(log: Log, table: str, name: str) -> Points:
    """Return step and value of a figure that a log holds in one of its tables."""
    found = ((line["step"], (line.get(table) or {}).get(name)) for line in log)
    return [(s, float(v)) for s, v in found if isinstance(v, int | float)]


def gap_chart(trained: Trained, index: int) -> Chart | None:
    """Return the change of the errors of fixed pairs by step, winners apart from losers."""
    curves = [
        Curve(name, [(0, 0.0), *thinned(points)], tint, style)
        for key, (name, tint, style) in GAPS.items()
        if (points := logged(trained.log, PROBED, key))
    ]
    if not curves:
        return None

    def paint(axes: Axes) -> None:
        axes.axhline(0, color=FAINT, lw=0.9)
        for c in curves:
            kwargs: dict[str, Any] = {"color": c.tint, "lw": 1.4, "label": c.name}
            axes.plot(*zip(*c.points, strict=True), c.style, marker="o", ms=2.5, **kwargs)
        axes.margins(y=0.12)
        _finish(axes, trained.method, "change of error")
        legend(axes)

    ends = "; ".join(f"{c.name} {number(c.points[-1][1], 5)}" for c in curves)
    svg = draw(f"preference-gap-{index}", (WIDTH, 2.4), paint)
    data = tuple({"images": c.name, "step": s, "change": v} for c in curves for s, v in c.points)
    alt = f"Change of error in preference training of {trained.method}, at the end: {ends}"
    return Chart(f"preference-gap-{index}", "", svg, alt, data)


def accuracy_chart(trained: Trained, index: int) -> Chart | None:
    """Return the share of pairs that the model tells apart, by step."""
    raw = thinned(logged(trained.log, LOGGED, RIGHT))
    if not raw:
        return None
    soft = thinned(smoothed(logged(trained.log, LOGGED, RIGHT)))

    def paint(axes: Axes) -> None:
        axes.axhline(0.5, color=FAINT, lw=0.9)
        axes.plot(*zip(*raw, strict=True), color=colour(3), lw=0.5, alpha=0.3)
        axes.plot(*zip(*soft, strict=True), color=colour(3), lw=1.4)
        axes.set_ylim(-0.03, 1.03)
        _finish(axes, trained.method, "share of pairs")

    svg = draw(f"preference-accuracy-{index}", (WIDTH, 2.4), paint)
    data = tuple({"step": s, RIGHT: v} for s, v in raw)
    end = number(soft[-1][1], 2)
    alt = f"Share of preference pairs that {trained.method} tells apart, smoothed at the end: {end}"
    return Chart(f"preference-accuracy-{index}", "", svg, alt, data)


def _finish(axes: Axes, method: str, label: str) -> None:
    axes.set_title(shown(method, 40))
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    axes.grid(axis="y")
    axes.locator_params(axis="x", nbins=5)
