"""Who is in the data: counts by group, and how often each image is drawn."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf

from matplotlib.axes import Axes

from fairgen.cohort.cohort import SPLITS, Cohort
from fairgen.cohort.resample import RESAMPLERS, repeats
from fairgen.cohort.schema import Group
from fairgen.report.blocks import Block, Cell, Gallery, Note, Table, figure, heading
from fairgen.report.chart import (
    COLOURS,
    Chart,
    colour,
    draw,
    legend,
    legend_shape,
    marker,
    name_rows,
    shown,
)
from fairgen.report.dots import DotRow, Line, Mark, Scale, dot_chart
from fairgen.report.pies import share_pies
from fairgen.report.scores import Estimate
from fairgen.report.words import SPLIT_NAMES, group_text, number, sequence, subgroup_text

TINY = 10
MOST_NAMES = 6
MOST_ROWS = 24
MIDDLE, LONG = 3.8, 4.2  # inches of figures with long names, and with longer ones
Counts = Mapping[Group, int]


def blocks(cohort: Cohort) -> tuple[Block, ...]:
    """Return figures and tables of the cohort's composition."""
    parts = splits(cohort)
    train = parts.get("train", cohort).counts()
    return (
        Note(summary(cohort)),
        Gallery(
            "Images by subgroup and label",
            (composition_chart(cohort),),
            "Each bar is a subgroup, each colour a label, in the order of the key; the number "
            "counts the subgroup's images.",
            "bars equally long, so that everyone is seen equally often, and divided alike, so that "
            "a subgroup does not give the label away.",
        ),
        Gallery(
            "Shares of subgroups and of labels",
            share_pies(cohort),
            "All splits together. The numbers around a pie are those of the list beside it. Shares "
            "say nothing about how many images there are: see the bars.",
            "subgroups of equal share. Labels may well be unequal, since some diseases are rare; "
            "but a rare label in a small subgroup leaves few images to learn from.",
        ),
        counts_table(cohort, parts),
        *_repeats(train),
    )


def splits(cohort: Cohort) -> dict[str, Cohort]:
    """Return the cohort's records by split, the empty splits left out."""
    named = {s: cohort.select(lambda r, s=s: r.split == s) for s in (*SPLITS, "")}  # type: ignore[misc]
    return {s: part for s, part in named.items() if len(part)}


def summary(cohort: Cohort) -> str:
    """Return the cohort's size, imbalance, and its tiny and empty groups, as prose."""
    counts = cohort.counts()
    filled = [n for n in counts.values() if n]
    subjects = len(cohort.subjects())
    texts = [
        f"{len(cohort):,} images of {subjects:,} subjects in {len(counts)} groups "
        f"(a group is one {' and '.join(a.name for a in cohort.schema.attributes)} with one "
        f"{cohort.schema.label.name})."
    ]
    if filled:
        ratio = max(filled) / min(filled)
        texts.append(f"The largest group has {number(ratio, 1)} times the images of the smallest.")
    tiny = [group_text(g.key) for g, n in counts.items() if 0 < n < TINY]
    empty = [group_text(g.key) for g, n in counts.items() if n == 0]
    if tiny:
        texts.append(f"Fewer than {TINY} images: {few(tiny)}.")
    if empty:
        texts.append(f"No images: {few(empty)}; nothing can be learned about them.")
    return " ".join(texts)


def few(names: Sequence[str]) -> str:
    """Return the first names as prose, and how many more there are."""
    more = len(names) - MOST_NAMES
    return sequence([*names[:MOST_NAMES], f"{more} more groups"] if more > 1 else names)


def composition_chart(cohort: Cohort) -> Chart:
    """Return one stacked bar a subgroup, divided by label."""
    subgroups, labels = cohort.schema.subgroups(), cohort.schema.label.levels
    counts = cohort.counts()
    by = {(g.subgroup, g.label): n for g, n in counts.items()}
    rows = [{"subgroup": s, "label": d, "images": by[s, d]} for s in subgroups for d in labels]
    totals = cohort.subgroup_counts()

    def paint(axes: Axes) -> None:
        name_rows(axes, [subgroup_text(s) for s in subgroups], width=18)
        left = [0] * len(subgroups)
        for i, label in enumerate(labels):
            widths = [by[s, label] for s in subgroups]
            axes.barh(
                range(len(subgroups)),
                widths,
                0.62,
                left=left,
                label=shown(label, 30),
                color=colour(i),
                hatch=("", "///", "...")[i // len(COLOURS) % 3],
                edgecolor="#ffffff66",
                linewidth=0.6,
            )
            left = [a + b for a, b in zip(left, widths, strict=True)]
        for y, total in enumerate(left):
            axes.annotate(f"{total:,}", (total, y), (4, 0), textcoords="offset points", va="center")
        axes.set_xlim(0, 1.12 * max(*left, 1))
        axes.grid(axis="x")
        axes.set_xlabel("images")
        axes.spines["left"].set_visible(False)
        legend(axes)

    height = 0.75 + 0.36 * len(subgroups) + 0.17 * legend_shape([shown(d, 30) for d in labels])[1]
    alt = "Stacked bars. " + "; ".join(f"{subgroup_text(s)}: {n} images" for s, n in totals.items())
    svg = draw("composition", (MIDDLE, height), paint)
    return Chart("composition", "", svg, alt, tuple(rows), wide=True)


def counts_table(cohort: Cohort, parts: Mapping[str, Cohort]) -> Table:
    """Return images by group and split, with subjects and share."""
    by_split = {s: part.counts() for s, part in parts.items()}
    total, everyone = cohort.counts(), max(len(cohort), 1)
    subjects = Counter(g for _, g in {(r.subject, r.group) for r in cohort.records})
    rows = tuple(
        (
            heading(group_text(g.key)),
            *(figure(counts[g]) for counts in by_split.values()),
            Cell(f"{total[g]:,}", number=True),
            figure(subjects[g]),
            Cell(f"{100 * total[g] / everyone:.1f} %", number=True),
        )
        for g in cohort.schema.groups()
    )
    head = ("Group", *(SPLIT_NAMES[s] for s in by_split), "all", "subjects", "share")
    note = (
        "Splits are by subject: nobody appears in two of them. A subject may have images in "
        "several groups."
    )
    return Table("Images by group and split", head, rows, note)


def _repeats(counts: Counts) -> tuple[Block, ...]:
    if not any(counts.values()):
        return (Note("No training images: draws per image cannot be computed.", missing=True),)
    how = (
        "How often one training image is drawn in an epoch of as many draws as there are images; "
        "1, the vertical line, is its natural rate. The number behind a group counts its images."
    )
    fair = (
        "small groups lie right of the line, as they are shown more often than they occur, yet not "
        "far right of it: many repeats of few images invite a model to memorise them."
    )
    return (Gallery("Draws of one image, by resampling rule", (repeats_chart(counts),), how, fair),)


def repeats_chart(counts: Counts) -> Chart:
    """Return how often one image of each group is drawn in an epoch, a dot a resampler."""
    drawn = {name: repeats(counts, rule.weights(counts)) for name, rule in RESAMPLERS.items()}
    groups = sorted((g for g, n in counts.items() if n), key=lambda g: counts[g])[:MOST_ROWS]
    rows = [
        DotRow(
            f"{group_text(g.key)} ({counts[g]})",
            tuple(
                Mark(Estimate(drawn[name][g], n=counts[g]), colour(i), marker(i), name=name)
                for i, name in enumerate(drawn)
            ),
        )
        for g in groups
    ]
    values = [m.estimate.value or inf for r in rows for m in r.marks]
    scale = Scale(
        "draws of one image per epoch (log scale)",
        (min(values) / 1.4, max(values) * 1.4),
        (Line(1, "", "-"),),
        log=True,
        apart=0.0,
    )
    alt = f"Dots. One image of the smallest group is drawn {_extremes(groups, drawn)} per epoch."
    return replace(dot_chart("repeats", "", rows, scale, alt, width=LONG), wide=True)


def _extremes(groups: Sequence[Group], drawn: Mapping[str, Mapping[Group, float]]) -> str:
    return sequence(f"{number(by[groups[0]], 1)} times under {name}" for name, by in drawn.items())
