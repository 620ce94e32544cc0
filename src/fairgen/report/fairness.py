"""How fair and how accurate the downstream classifiers are: radars, dots and tables."""

from collections.abc import Sequence
from dataclasses import replace

from fairgen.report import twobytwo
from fairgen.report.blocks import Block, Gallery, Measured, Note, Table, heading, measured_table
from fairgen.report.chart import FAINT, Chart, colour, marker
from fairgen.report.dots import DotRow, Line, Mark, Scale, dot_chart, limits
from fairgen.report.radar import Arm, arm_of, auc_radar, radar
from fairgen.report.scores import OVERALL, Scores
from fairgen.report.words import (
    group_text,
    method_text,
    number,
    sequence,
    subgroup_text,
    term_name,
    word,
)

COLUMNS = (
    *("accuracy", "auc", "worst_subgroup_accuracy", "essp", "nar"),
    *("demographic_parity_mean", "demographic_parity_worst"),
    *("equal_opportunity_mean", "equal_opportunity_permuted", "equal_opportunity_worst"),
    "cas",
)
BY_GROUP = ("accuracy", "auc")
"""Figures whose rows of single groups have a table."""
FEWEST_SPOKES = 3
AUC_HOW = (
    "How well the classifier ranks images of one subgroup, label by label; 0.5 is guessing. Grey "
    "is the classifier trained on real images only. Intervals stand in the table."
)
AUC_WEB = "An axis a subgroup, from guessing at the centre outwards to 1. "
AUC_DOTS = "A row a subgroup, as fewer than three subgroups make no radar. "
AUC_FAIR = (
    "equally far for every subgroup, so that the radar's line is round and the dots stand above "
    "one another, and for none of them short of the grey."
)
RADAR_HOW = (
    "Outer is better on every axis: gaps are drawn as 1 − gap, values below 0 at the centre. DP "
    "and EO are means over labels. Grey is the classifier trained on real images only. "
    "Neighbouring axes are arbitrary, so the enclosed area means nothing: compare axis by axis, "
    "and see the table for intervals. A missing corner is a figure that is undefined."
)
RADAR_FAIR = "far out on all axes, and on none of them inside the grey line."
ACCURACY_HOW = (
    "Each dot is the accuracy within one subgroup; the vertical line is the overall accuracy "
    "without reweighting; grey is the classifier trained on real images only."
)
ACCURACY_FAIR = (
    "dots of one shape stand above one another, and none of them left of its grey companion: "
    "nobody pays for it."
)
IMPROVEMENT_HOW = (
    "Right of zero: the four gaps shrank, on average, against the same classifier on real images "
    "only without reweighting. Intervals that include zero show no improvement. The four terms "
    "stand in the table."
)
IMPROVEMENT_FAIR = (
    "the whole interval lies right of zero, for every seed, and the figure of levelling down below "
    "shows that it cost nobody."
)
LEVELLING_HOW = (
    "Change in the accuracy of the worst subgroup (filled) and of the best (hollow), against real "
    "images only. Fairness gained by levelling down shows as a hollow mark left of zero."
)
LEVELLING_FAIR = "the filled mark lies right of zero and the hollow one not left of it."


def blocks(
    scores: Scores,
    methods: Sequence[str],
    subgroups: Sequence[str],
    groups: Sequence[str] = (),
) -> tuple[Block, ...]:
    """Return the figures and tables of every classifier.

    Args:
        scores: Rows of the test split.
        methods: The generators.
        subgroups: Their figures are drawn.
        groups: Their figures stand in folded tables.
    """
    classifiers = scores.names("classifier")
    if not classifiers:
        return (Note("No downstream classifier was scored.", missing=True),)
    found: list[Block] = [Note(_counts(scores, subgroups))]
    for i, name in enumerate(classifiers):
        own = scores.where(classifier=name)
        found += _classifier(own, (name, i), methods, subgroups)
        found += group_tables(name, _arms(own, methods), groups)
    return tuple(found)


def _counts(scores: Scores, subgroups: Sequence[str]) -> str:
    sizes = [r.n for r in scores.where(metric="accuracy", group=OVERALL).rows if r.n]
    images = f"{min(sizes):,} real test images" if sizes else "real test images"
    return (
        f"All figures are measured on {images} and {len(subgroups)} subgroups; ESSP falls as the "
        "number of subgroups grows, so it compares only within this page. “Reweighted” "
        "classifiers weight subgroups by their validation accuracy during training."
    )


def _arms(scores: Scores, methods: Sequence[str]) -> list[Arm]:
    """Return real images only, then every method that was scored."""
    arms = [arm_of(scores, m, i) for i, m in enumerate(methods)]
    return [
        arm_of(scores, "real", len(methods)),
        *(a for a in arms if a.plain.rows or a.weighted.rows),
    ]


def _classifier(
    scores: Scores, named: tuple[str, int], methods: Sequence[str], subgroups: Sequence[str]
) -> list[Block]:
    name, place = named
    base, *arms = _arms(scores, methods)
    radars = tuple(radar(a, base, f"radar-{place}-{a.index}") for a in arms or [base])
    dots = tuple(dots_chart("accuracy", a, base, subgroups, place) for a in arms or [base])
    return [
        Gallery(f"Fairness and accuracy of {name}", radars, RADAR_HOW, RADAR_FAIR),
        figures_table(name, [base, *arms]),
        *twobytwo.blocks(arms, base, name, place),
        Gallery(f"Accuracy of {name} by subgroup", dots, ACCURACY_HOW, ACCURACY_FAIR),
        *_auc(arms or [base], base, subgroups, named),
        *subgroup_tables(name, [base, *arms], subgroups),
        *_improvement([base, *arms], name, place),
        *_levelling([base, *arms], name, place),
    ]


def _auc(
    arms: Sequence[Arm], base: Arm, subgroups: Sequence[str], named: tuple[str, int]
) -> list[Block]:
    """Return the AUC of each subgroup as radars, or as dots where there are too few for one."""
    name, place = named
    if not any(_has(a, "auc", s) for a in arms for s in subgroups):
        return []
    if len(subgroups) < FEWEST_SPOKES:
        charts = tuple(dots_chart("auc", a, base, subgroups, place) for a in arms)
        return [Gallery(f"AUC of {name} by subgroup", charts, AUC_DOTS + AUC_HOW, AUC_FAIR)]
    charts = tuple(auc_radar(a, base, subgroups, f"auc-{place}-{a.index}") for a in arms)
    return [Gallery(f"AUC of {name} by subgroup", charts, AUC_WEB + AUC_HOW, AUC_FAIR)]


def group_tables(name: str, arms: Sequence[Arm], groups: Sequence[str]) -> list[Block]:
    """Return a folded table a figure: a row a group, a column a method and weighting."""
    columns = [
        (method_text(a.method) + suffix, scores)
        for a in arms
        for scores, suffix in ((a.plain, ""), (a.weighted, ", reweighted"))
        if scores.rows
    ]
    found: list[Block] = []
    for metric in BY_GROUP:
        places = [g for g in groups if any(_has(a, metric, g) for a in arms)]
        rows = [
            (
                heading(group_text(g)),
                [(s.estimate(metric, g), word(metric).decimals) for _, s in columns],
            )
            for g in places
        ]
        if rows:
            head = ("Group", *(label for label, _ in columns))
            table = measured_table(f"{word(metric).label} of {name} by group", head, rows, "")
            found.append(replace(table, folded=True))
    return found


def subgroup_tables(name: str, arms: Sequence[Arm], subgroups: Sequence[str]) -> list[Block]:
    """Return accuracy and AUC by subgroup, folded."""
    found: list[Block] = []
    for metric in ("accuracy", "auc"):
        if any(_has(a, metric, s) for a in arms for s in subgroups):
            places = [(metric, s) for s in subgroups]
            head = ("Training data", *(subgroup_text(s) for s in subgroups))
            caption = f"{word(metric).label} of {name} by subgroup"
            table = measured_table(caption, head, _rows(arms, places), "")
            found.append(replace(table, folded=True))
    return found


def figures_table(name: str, arms: Sequence[Arm]) -> Table:
    """Return value, interval and sample size of every figure, a row a method and weighting."""
    metrics = [m for m in COLUMNS if any(_has(a, m) for a in arms)]
    head = ("Training data", *(word(m).arrowed for m in metrics))
    caption = f"Figures of {name} on the test split"
    return measured_table(caption, head, _rows(arms, [(m, OVERALL) for m in metrics]), "")


def _rows(arms: Sequence[Arm], columns: Sequence[tuple[str, str]]) -> list[Measured]:
    """Return a row an arm and weighting that has any of the columns' metrics and groups."""
    found = [
        (
            heading(method_text(arm.method), detail),
            [(scores.estimate(m, group), word(m).decimals) for m, group in columns],
        )
        for arm in arms
        for scores, detail in ((arm.plain, ""), (arm.weighted, "reweighted"))
    ]
    return [(name, cells) for name, cells in found if any(e is not None for e, _ in cells)]


def _has(arm: Arm, metric: str, group: str = OVERALL) -> bool:
    return any(s.where(metric=metric, group=group).rows for s in (arm.plain, arm.weighted))


def dots_chart(metric: str, arm: Arm, base: Arm, subgroups: Sequence[str], place: int) -> Chart:
    """Return a figure of each subgroup, beside real images only and with reweighting."""
    tint = colour(arm.index)
    kinds = [
        (base.plain, FAINT, "o", True, "real only"),
        (arm.plain, tint, "o", True, "as it is"),
        (arm.weighted, tint, "s", False, "reweighted"),
    ][1 if arm is base else 0 :]
    rows = [
        DotRow(
            subgroup_text(s),
            tuple(
                Mark(found, ink, shape, filled, label)
                for scores, ink, shape, filled, label in kinds
                if (found := scores.estimate(metric, s)) is not None
            ),
        )
        for s in subgroups
    ]
    overall = arm.plain.estimate(metric)
    level = None if overall is None else overall.value
    lines = () if level is None else (Line(level, "overall", "-"),)
    low = limits(rows, lines).limits[0]
    label = "accuracy ↑" if metric == "accuracy" else word(metric).arrowed
    texts = "; ".join(
        f"{r.name} {number(m.estimate.value)} ({m.name})" for r in rows for m in r.marks
    )
    return dot_chart(
        f"{metric}-{place}-{arm.index}",
        method_text(arm.method),
        rows,
        Scale(label, (max(0.0, min(low, 0.5)), 1.02), lines),
        f"{word(metric).label} by subgroup, {method_text(arm.method)}: {texts}",
    )


def _pairs(arms: Sequence[Arm], metric: str, marks: tuple[str, bool]) -> dict[str, list[Mark]]:
    found: dict[str, list[Mark]] = {}
    for arm in arms:
        for scores, suffix in ((arm.plain, ""), (arm.weighted, ", reweighted")):
            estimate = scores.estimate(metric)
            if estimate is not None:
                name, filled = marks
                mark = Mark(estimate, colour(arm.index), marker(arm.index), filled, name)
                found.setdefault(method_text(arm.method) + suffix, []).append(mark)
    return found


def _improvement(arms: Sequence[Arm], name: str, place: int) -> list[Block]:
    pairs = _pairs(arms, "fairness_improvement", ("", True))
    if not pairs:
        text = f"{name}: no fairness improvement was measured; it needs a run on real images only."
        return [Note(text, missing=True)]
    known = [m.estimate for marks in pairs.values() for m in marks]
    if all(e.value is None for e in known):
        reasons = sequence(dict.fromkeys(e.reason for e in known))
        text = f"{name}: fairness improvement is undefined for every method: {reasons}."
        return [Note(text, missing=True), terms_table(name, arms)]
    rows = [DotRow(label, tuple(marks)) for label, marks in pairs.items()]
    lines = (Line(0, "", "-"),)
    scale = Scale("fairness improvement ↑", limits(rows, lines).limits, lines)
    alt = "Fairness improvement: " + "; ".join(
        f"{r.name} {number(r.marks[0].estimate.value)}" for r in rows
    )
    chart = dot_chart(f"improvement-{place}", "", rows, scale, alt)
    return [
        Gallery(
            f"Fairness improvement over {name} on real images only",
            (chart,),
            IMPROVEMENT_HOW,
            IMPROVEMENT_FAIR,
        ),
        terms_table(name, arms),
    ]


def terms_table(name: str, arms: Sequence[Arm]) -> Table:
    """Return the fairness improvement with its terms, and the change of best and worst."""
    everything = Scores(tuple(r for a in arms for r in (*a.plain.rows, *a.weighted.rows)))
    terms = sorted(m for m in everything.names("metric") if m.endswith("_term"))
    metrics = ["fairness_improvement", *terms, "levelling_worst", "levelling_best"]
    names = [f"{term_name(m)} term" if m in terms else word(m).arrowed for m in metrics]
    note = (
        "Terms: ESSP new / base − 1; for the gaps 1 − new / base. Their mean is the improvement; "
        "it is left out, with the reason, where a base gap is too near zero to divide by."
    )
    caption = f"Fairness improvement of {name}, term by term"
    rows = _rows(arms, [(m, OVERALL) for m in metrics])
    return measured_table(caption, ("Method", *names), rows, note)


def _levelling(arms: Sequence[Arm], name: str, place: int) -> list[Block]:
    worst = _pairs(arms, "levelling_worst", ("worst subgroup", True))
    best = _pairs(arms, "levelling_best", ("best subgroup", False))
    if not worst and not best:
        return []
    labels = dict.fromkeys([*worst, *best])
    rows = [DotRow(k, (*worst.get(k, ()), *best.get(k, ()))) for k in labels]
    lines = (Line(0, "", "-"),)
    scale = Scale("change in accuracy", limits(rows, lines).limits, lines)
    alt = "Change in accuracy: " + "; ".join(
        f"{r.name} {m.name} {number(m.estimate.value)}" for r in rows for m in r.marks
    )
    chart = dot_chart(f"levelling-{place}", "", rows, scale, alt)
    return [Gallery(f"Levelling down, {name}", (chart,), LEVELLING_HOW, LEVELLING_FAIR)]
