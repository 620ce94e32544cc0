"""Pies: shares of a whole, numbered, so that they can be told apart without colour."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import cos, pi, sin
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Wedge

from fairgen.cohort.cohort import SPLITS, Cohort, Record
from fairgen.report.chart import COLOURS, INK, WIDTH, Chart, colour, draw, shown, two_lines
from fairgen.report.words import SPLIT_NAMES, sequence, subgroup_text

MOST = 14
UNIT = 0.55  # inches of a pie's radius
LINE, DOUBLE = 0.31, 0.5  # heights of an entry of the list, in radii
NAME = 19  # characters of a name on one line of the list
APART = 0.25  # least angle between two numbers around a pie
TURN = 2 * pi
HATCHES = ("", "///", "...")


def share_pies(cohort: Cohort) -> tuple[Chart, Chart]:
    """Return the share of each subgroup, and of each label, among all images."""
    schema = cohort.schema
    subgroups = {
        s: [r for r in cohort.records if r.group.subgroup == s] for s in schema.subgroups()
    }
    labels = {d: [r for r in cohort.records if r.group.label == d] for d in schema.label.levels}
    name = " × ".join(a.name for a in schema.attributes)
    return (
        pie(
            "share-subgroups", name, {subgroup_text(s): _by_split(r) for s, r in subgroups.items()}
        ),
        pie("share-labels", schema.label.name, {d: _by_split(r) for d, r in labels.items()}),
    )


def _by_split(records: Sequence[Record]) -> dict[str, int]:
    splits = [r.split for r in records]
    return {s: splits.count(s) for s in (*SPLITS, "")}


def pie(name: str, title: str, parts: Mapping[str, Mapping[str, int]]) -> Chart:
    """Return a pie and its numbered list.

    Args:
        name: File stem.
        title: What is divided.
        parts: For each part its images in each split.
    """
    counts = {part: sum(by.values()) for part, by in parts.items()}
    total = max(sum(counts.values()), 1)
    slices = _gathered(counts)
    height = max(2.6, _entry(slices) * len(slices) + 0.2)

    def paint(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_aspect("equal")
        axes.set_xlim(-1.35, WIDTH / UNIT - 1.45)
        axes.set_ylim(-height / 2, height / 2)
        axes.set_title(shown(title, 44), x=0)
        _wedges(axes, list(slices.values()), total)
        _list(axes, slices, total)

    texts = [f"{part} {100 * n / total:.1f} %" for part, n in counts.items()]
    alt = f"Pie of the {total:,} images: {sequence(texts)}"
    data = tuple(
        {"part": part, "images": counts[part], "share": counts[part] / total}
        | {SPLIT_NAMES[s]: n for s, n in by.items()}
        for part, by in parts.items()
    )
    svg = draw(name, (WIDTH, height * UNIT + 0.35), paint)
    return Chart(name, f"Share of images, {title}", svg, alt, data)


def _gathered(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the parts; of very many the smallest are taken together."""
    if len(counts) <= MOST:
        return dict(counts)
    kept = sorted(counts, key=lambda part: -counts[part])[: MOST - 1]
    rest = sum(n for part, n in counts.items() if part not in kept)
    return {part: n for part, n in counts.items() if part in kept} | {
        f"{len(counts) - len(kept)} smaller ones": rest
    }


def _wedges(axes: Axes, sizes: Sequence[int], total: int) -> None:
    """Draw the pie clockwise from the top, each wedge with its number beside it."""
    edges = [0.0]
    for n in sizes:
        edges.append(edges[-1] + TURN * n / total)
    drawn = [i for i, n in enumerate(sizes) if n]
    middles = [(edges[i] + edges[i + 1]) / 2 for i in drawn]
    for i, middle, place in zip(drawn, middles, spread(middles), strict=True):
        start, stop = (90 - 360 * edges[k] / TURN for k in (i + 1, i))
        patch = Wedge((0, 0), 1, start, stop, **_look(i))
        axes.add_patch(patch)
        (x, y), (u, v) = _point(1.02, middle), _point(1.1, place)
        axes.plot([x, u], [y, v], color=INK, lw=0.5)
        axes.text(*_point(1.21, place), str(i + 1), ha="center", va="center", fontsize=7)


def _look(index: int) -> dict[str, Any]:
    hatch = HATCHES[index // len(COLOURS) % len(HATCHES)]
    return {"facecolor": colour(index), "edgecolor": "#ffffff99", "linewidth": 1.0, "hatch": hatch}


def _point(radius: float, angle: float) -> tuple[float, float]:
    return radius * sin(angle), radius * cos(angle)


def spread(angles: Sequence[float], apart: float = APART) -> list[float]:
    """Return rising angles of one turn, moved as little as needed to stand apart."""
    if not angles:
        return []
    gap = min(apart, TURN / len(angles))
    found = list(angles)
    for i, (before, here) in enumerate(pairwise(angles), 1):
        found[i] = max(here, found[i - 1] + gap, before)
    found[-1] = min(found[-1], found[0] + TURN - gap)
    for i in range(len(found) - 2, -1, -1):
        found[i] = min(found[i], found[i + 1] - gap)
    return found


def _entry(slices: Mapping[str, int]) -> float:
    """Return the height of an entry: room for two lines if any name needs them."""
    return DOUBLE if any(len(two_lines(part, NAME)) > 1 for part in slices) else LINE


def _text(axes: Axes, x: float, y: float, lines: Sequence[str]) -> None:
    for i, line in enumerate(lines):
        lift = (len(lines) - 1 - 2 * i) * 0.11
        axes.text(x, y + lift, line, va="center")


def _list(axes: Axes, slices: Mapping[str, int], total: int) -> None:
    right = WIDTH / UNIT - 1.5
    for i, (part, n) in enumerate(slices.items()):
        y = ((len(slices) - 1) / 2 - i) * _entry(slices)
        axes.plot([1.62], [y], "s", color=colour(i), ms=6)
        axes.text(1.98, y, str(i + 1), ha="right", va="center", fontsize=7)
        _text(axes, 2.1, y, two_lines(part, NAME))
        axes.text(right, y, f"{100 * n / total:.1f} %", ha="right", va="center")
