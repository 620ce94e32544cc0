"""Two by two: accuracy with and without synthetic images, with and without reweighting."""

from collections.abc import Iterator, Sequence

from fairgen.report.blocks import Block, Gallery, Measured, Table, heading, measured_table
from fairgen.report.chart import FAINT, Chart, colour, marker
from fairgen.report.dots import DotRow, Mark, Scale, dot_chart, limits
from fairgen.report.radar import Arm
from fairgen.report.scores import Scores
from fairgen.report.words import method_text, number, word

MEASURES = {"accuracy": "overall", "worst_subgroup_accuracy": "worst subgroup"}
HOW = (
    "From top to bottom: what a classifier learns from, first real images alone, then with "
    "synthetic ones, each without and with reweighting. Filled: overall accuracy; hollow: the "
    "worst subgroup's. If synthetic images do what reweighting does, the last line gains little "
    "over the second and the third."
)
FAIR = (
    "going down, the hollow mark moves right towards the filled one, and the filled one does not "
    "move left. A gain that reweighting of real images reaches too needs no generator."
)
NOTE = (
    "Changes are against real images without reweighting, on the same test images; their intervals "
    "draw the same subjects for both, so that they may exclude zero where the intervals of the two "
    "accuracies overlap."
)


def blocks(arms: Sequence[Arm], base: Arm, name: str, place: int) -> list[Block]:
    """Return figure and table for one classifier, or nothing where the base was not scored.

    Args:
        arms: The methods.
        base: Real images only.
        name: The classifier.
        place: Its place among the classifiers.
    """
    if base.plain.estimate("accuracy") is None or not arms:
        return []
    rows = [_rows(arm, base) for arm in arms]
    low = min(limits(found, ()).limits[0] for found in rows)
    scale = Scale("accuracy ↑", (max(0.0, min(low, 0.5)), 1.02))
    charts = tuple(
        _chart(arm, found, scale, f"two-by-two-{place}-{arm.index}")
        for arm, found in zip(arms, rows, strict=True)
    )
    title = f"Synthetic images and reweighting, {name}"
    return [Gallery(title, charts, HOW, FAIR), changes_table(arms, base, name)]


def cases(arm: Arm, base: Arm) -> dict[str, tuple[Scores, bool]]:
    """Return the four ways to train, each with whether synthetic images take part."""
    return {
        "real only": (base.plain, False),
        "real only, reweighted": (base.weighted, False),
        "with synthetic": (arm.plain, True),
        "with synthetic, reweighted": (arm.weighted, True),
    }


def _rows(arm: Arm, base: Arm) -> list[DotRow]:
    found = []
    for label, (scores, made) in cases(arm, base).items():
        tint, shape = (colour(arm.index), marker(arm.index)) if made else (FAINT, "o")
        marks = tuple(
            Mark(estimate, tint, shape, metric == "accuracy", MEASURES[metric])
            for metric in MEASURES
            if (estimate := scores.estimate(metric)) is not None
        )
        if marks:
            found.append(DotRow(label, marks))
    return found


def _chart(arm: Arm, rows: Sequence[DotRow], scale: Scale, name: str) -> Chart:
    title = method_text(arm.method)
    texts = "; ".join(
        f"{r.name}: {m.name} {number(m.estimate.value)}" for r in rows for m in r.marks
    )
    return dot_chart(name, title, rows, scale, f"Accuracy, {title}. {texts}")


def changes_table(arms: Sequence[Arm], base: Arm, name: str) -> Table:
    """Return the four accuracies of each method, and how far three of them are from the first."""
    head = ("Training data", *(_short(c) for c in cases(base, base)), *CHANGES)
    rows = [row for arm in arms for row in _table_rows(arm, base)]
    return measured_table(f"Two by two: accuracy of {name}", head, rows, NOTE)


CHANGES = ("change by reweighting", "change by synthetic", "change by both")


def _short(case: str) -> str:
    return case.replace(", reweighted", " + reweighting")


def _table_rows(arm: Arm, base: Arm) -> Iterator[Measured]:
    for metric, label in MEASURES.items():
        ways = [scores for scores, _ in cases(arm, base).values()]
        found = [scores.estimate(metric) for scores in ways]
        changes = [scores.estimate(f"{metric}_change") for scores in ways[1:]]
        cells = [(e, word(metric).decimals) for e in (*found, *changes)]
        yield heading(method_text(arm.method), label), cells
