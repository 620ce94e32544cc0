"""How training went: loss by step, draws by group, strength of the condition."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from fairgen.cohort.cohort import Cohort
from fairgen.cohort.schema import SEPARATOR
from fairgen.report.blocks import Block, Cell, Gallery, Note, Table, figure, heading
from fairgen.report.chart import (
    FAINT,
    INK,
    WIDTH,
    Chart,
    colour,
    draw,
    legend,
    legend_shape,
    plain_log,
    shown,
    stroke,
)
from fairgen.report.dots import DotRow, Mark, Scale, dot_chart
from fairgen.report.run import Trained
from fairgen.report.scores import Estimate
from fairgen.report.words import group_text, number, subgroup_text

MOST_GROUPS = 12
MOST_POINTS = 300
Log = Sequence[Mapping[str, Any]]
Points = list[tuple[float, float]]


def blocks(trained: Sequence[Trained], cohort: Cohort | None) -> tuple[Block, ...]:
    """Return curves, draws and the table of runs."""
    logged = [t for t in trained if t.log]
    if not logged:
        return (Note("No training log was found.", missing=True),)
    first = [t for t in logged if t.seed == logged[0].seed]
    return (
        _curves(logged, first),
        *_draws(first, cohort),
        *_strength(first),
        runs_table(logged),
    )


def series(log: Log, name: str) -> Points:
    """Return step and value of a logged quantity; ``loss`` is the total, else a part's name."""
    values = (
        (line["step"], line.get("loss") if name == "loss" else (line.get("parts") or {}).get(name))
        for line in log
    )
    return [(s, float(v)) for s, v in values if isinstance(v, int | float)]


def smoothed(points: Points) -> Points:
    """Return an exponential moving average over about a twentieth of the points.

    The average is corrected for its start, so that the first value is the first point's.
    """
    keep = 1 - 1 / max(len(points) / 20, 1)
    total = weight = 0.0
    result = []
    for step, value in points:
        total, weight = keep * total + value, keep * weight + 1
        result.append((step, total / weight))
    return result


def thinned(points: Points) -> Points:
    """Return at most a few hundred of the points, the last one among them."""
    stride = len(points) // MOST_POINTS + 1
    return points[::-1][::stride][::-1]


def parts_of(log: Log) -> tuple[str, ...]:
    """Return the names of the logged parts of the loss, in order of first appearance."""
    return tuple(dict.fromkeys(k for line in log for k in (line.get("parts") or {})))


def _curves(logged: Sequence[Trained], first: Sequence[Trained]) -> Gallery:
    how = (
        "Faint: as logged; strong: smoothed. Totals of different objectives are not comparable, "
        "the denoising part is; a lower loss does not mean better or fairer images."
    )
    fair = (
        "cannot be read from a loss. A fair comparison can: all methods ran for equally many steps "
        "and their curves had flattened by the end."
    )
    order = {m: i for i, m in enumerate(dict.fromkeys(t.method for t in logged))}
    told = any("denoising" in parts_of(t.log) for t in first)
    charts = [common_chart(logged, order)] if told else []
    charts += [curve_chart(t, i) for i, t in enumerate(first)]
    title = f"Loss by training step (panels of single methods: seed {first[0].seed})"
    return Gallery(title, tuple(charts), how, fair)


def common_chart(logged: Sequence[Trained], order: Mapping[str, int]) -> Chart:
    """Return the smoothed denoising part of every method and seed on one pair of axes."""
    lines = [(t, thinned(smoothed(series(t.log, "denoising")))) for t in logged]
    lines = [(t, points) for t, points in lines if points]

    def paint(axes: Axes) -> None:
        named: set[str] = set()
        for t, points in lines:
            label = None if t.method in named else shown(t.method, 20)
            place = order[t.method]
            axes.plot(
                *zip(*points, strict=True), stroke(place), color=colour(place), lw=1.3, label=label
            )
            named.add(t.method)
        _finish(axes, "All methods: denoising part", [v for _, ps in lines for _, v in ps])

    ends = "; ".join(f"{t.method}, seed {t.seed}: {number(points[-1][1])}" for t, points in lines)
    svg = draw("loss-denoising", (WIDTH, 2.2 + 0.17 * legend_shape(list(order))[1]), paint)
    data = tuple(
        {"method": t.method, "seed": t.seed, "step": s, "denoising_smoothed": v}
        for t, points in lines
        for s, v in points
    )
    return Chart("loss-denoising", "", svg, f"Smoothed denoising loss at the end: {ends}", data)


def curve_chart(trained: Trained, index: int) -> Chart:
    """Return total and parts of one method's loss."""
    names = ("loss", *parts_of(trained.log)) if len(parts_of(trained.log)) > 1 else ("loss",)
    raw = {n: thinned(series(trained.log, n)) for n in names}
    soft = {n: thinned(smoothed(series(trained.log, n))) for n in names}

    def paint(axes: Axes) -> None:
        for i, name in enumerate(n for n in names if raw[n]):
            tint = INK if name == "loss" else colour(i - 1)
            axes.plot(*zip(*raw[name], strict=True), color=tint, lw=0.5, alpha=0.3)
            label = "total" if name == "loss" else shown(name, 20)
            axes.plot(*zip(*soft[name], strict=True), color=tint, lw=1.4, label=label)
        _finish(axes, shown(trained.method, 40), [v for ps in raw.values() for _, v in ps])

    svg = draw(f"loss-{index}", (WIDTH, 2.2 + 0.17 * legend_shape(names)[1]), paint)
    ends = "; ".join(f"{n} {number(ps[-1][1])}" for n, ps in soft.items() if ps)
    alt = f"Loss of {trained.method} by step; smoothed at the end: {ends}"
    data = tuple({"part": n, "step": s, "value": v} for n, ps in raw.items() for s, v in ps)
    return Chart(f"loss-{index}", "", svg, alt, data)


def _finish(axes: Axes, title: str, values: Sequence[float]) -> None:
    if values and min(values) > 0 and max(values) / min(values) > 5:
        axes.set_yscale("log")
        plain_log(axes.yaxis)
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.grid(axis="y")
    axes.locator_params(axis="x", nbins=5)
    if len(axes.get_legend_handles_labels()[1]) > 1:
        legend(axes)


def draws(log: Log, *, by_subgroup: bool = False) -> Counter[str]:
    """Return how often each group, or each subgroup, was drawn in all."""
    total: Counter[str] = Counter()
    for line in log:
        for key, count in (line.get("draws") or {}).items():
            total[key.rpartition(SEPARATOR)[0] if by_subgroup else key] += int(count)
    return total


def _draws(first: Sequence[Trained], cohort: Cohort | None) -> tuple[Block, ...]:
    if not any(draws(t.log) for t in first):
        return (Note("The logs do not say which groups were drawn.", missing=True),)
    if cohort is None:
        return ()
    few = len(cohort.schema.groups()) <= MOST_GROUPS
    train = cohort.select(lambda r: r.split in ("train", ""))
    have = {g.key: n for g, n in train.counts().items()} if few else train.subgroup_counts()
    charts = [draws_chart(t, i, have, few=few) for i, t in enumerate(first) if draws(t.log)]
    how = (
        "Share of all draws (filled) beside the share of training images (hollow). Resampling "
        "moves the filled marks of small groups to the right."
    )
    fair = (
        "filled marks close to one vertical, so that training sees every group about equally "
        "often; for a method without resampling they cover the hollow ones."
    )
    return (Gallery("Draws in training", tuple(charts), how, fair),)


def draws_chart(trained: Trained, index: int, have: Mapping[str, int], *, few: bool) -> Chart:
    """Return the share of draws beside the share of images, a row a group or subgroup."""
    total = draws(trained.log, by_subgroup=not few)
    text = group_text if few else subgroup_text
    drawn, images = sum(total.values()) or 1, sum(have.values()) or 1
    rows = [
        DotRow(
            text(key),
            (
                Mark(Estimate(n / images, n=n), FAINT, filled=False, name="images"),
                Mark(Estimate(total[key] / drawn, n=total[key]), colour(index), name="draws"),
            ),
        )
        for key, n in have.items()
    ]
    top = max(m.estimate.value or 0.0 for r in rows for m in r.marks)
    scale = Scale("share", (-0.02 * top, 1.08 * top or 1.0))
    alt = "Shares of draws: " + "; ".join(f"{text(k)} {100 * total[k] / drawn:.0f} %" for k in have)
    return dot_chart(f"draws-{index}", trained.method, rows, scale, alt)


def _strength(first: Sequence[Trained]) -> tuple[Block, ...]:
    key = "condition_strength"
    logged = [(i, t) for i, t in enumerate(first) if any(x.get(key) for x in t.log)]
    if not logged:
        return ()
    how = (
        "How far the noise predicted under a group's prompt lies from that under another group's, "
        "by noise step (mean square). Lines that fall to zero mean that the prompt is no longer "
        "heard."
    )
    fair = "no line falls to zero: groups are treated alike, but they do not come to look alike."
    charts = tuple(strength_chart(t, i) for i, t in logged)
    return (Gallery("Strength of the condition", charts, how, fair),)


def strength_chart(trained: Trained, index: int) -> Chart:
    """Return the logged strength of the condition by step, a line a name."""
    lines: dict[str, Points] = {}
    for entry in trained.log:
        for key, value in (entry.get("condition_strength") or {}).items():
            if isinstance(value, int | float):
                lines.setdefault(str(key), []).append((entry["step"], float(value)))

    def paint(axes: Axes) -> None:
        for i, (key, points) in enumerate(lines.items()):
            xs, ys = zip(*thinned(points), strict=True)
            axes.plot(xs, ys, stroke(i), color=colour(i), lw=1.1, label=shown(group_text(key), 34))
        _finish(axes, shown(trained.method, 40), [v for ps in lines.values() for _, v in ps])

    keys = legend_shape([shown(group_text(k), 34) for k in lines])[1]
    svg = draw(f"strength-{index}", (WIDTH, 2.2 + 0.17 * keys), paint)
    ends = "; ".join(f"{group_text(k)} {number(ps[-1][1])}" for k, ps in lines.items())
    data = tuple({"name": k, "step": s, "value": v} for k, ps in lines.items() for s, v in ps)
    return Chart(f"strength-{index}", "", svg, f"Condition strength at the end: {ends}", data)


def runs_table(logged: Sequence[Trained]) -> Table:
    """Return steps, last losses and speed of every run."""
    rows = tuple(_run_row(t) for t in logged)
    head = ("Method", "seed", "steps", "loss at end", "denoising at end", "images / s")
    return Table("Training runs", head, rows, "Losses are smoothed.", folded=len(rows) > 12)


def _run_row(trained: Trained) -> tuple[Cell, ...]:
    ends = [smoothed(series(trained.log, n))[-1:] for n in ("loss", "denoising")]
    speeds = [v for x in trained.log if isinstance(v := x.get("images_per_second"), int | float)]
    middle = sorted(speeds)[len(speeds) // 2] if speeds else None
    return (
        heading(trained.method),
        figure(trained.seed),
        Cell(f"{trained.log[-1]['step']:,}", number=True),
        *(figure(e[0][1] if e else None, 4) for e in ends),
        figure(middle, 1),
    )
