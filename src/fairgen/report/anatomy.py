"""Does the anatomy of generated images fit their prompts? Told for phantoms, by their oracle."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fairgen.phantoms import PHANTOMS, Phantom
from fairgen.phantoms.phantom import Quantity
from fairgen.report.blocks import Block, Cell, Gallery, Note, Table, heading, measured_table
from fairgen.report.distributions import Material, figures
from fairgen.report.fidelity import floor_lines, method_panels, method_table
from fairgen.report.run import Run
from fairgen.report.scores import OVERALL, Scores
from fairgen.report.words import group_text, method_text, number, word

FLOORS = {"real": ("real phantoms", ":"), "autoencoder": ("autoencoder", "--")}
SHARES = ("phenotype_fit", "phenotype_label", "phenotype_attribute", "unseen_fit", "measurable")
TABLED = ("unseen_label", "unseen_attribute")
DISTANCE = "anatomy_distance"
PREFIX = "wasserstein_"
METRICS = (*SHARES, *TABLED, DISTANCE)
STRONGEST = 1.5  # standard deviations at which a cell has its full tint
SHARES_HOW = {
    "phenotype_fit": "Share of images whose measured anatomy is more typical of the group that the "
    "prompt named than of any other.",
    "phenotype_label": "Share of images whose anatomy is most typical of the label that was asked "
    "for, whatever the subgroup.",
    "phenotype_attribute": "Share of images whose anatomy is most typical of the subgroup that was "
    "asked for, whatever the label.",
    "unseen_fit": "As the first of these figures, but by the quantities alone that the oracle does "
    "not look at when it prefers one image to another. Where a method learned from its "
    "preferences, this figure may judge it and the others may not.",
    "measurable": "Share of images in which the oracle finds anything to measure. The others count "
    "as misses in the figures above and are left out of the distances below.",
}
FLOORS_HOW = (
    "Dotted and dashed: newly drawn phantoms, and the same after a round trip through the "
    "autoencoder; nobody can be expected to do better."
)
SHARES_FAIR = (
    "the dots of a method reach the lines in every panel, not in one alone; where a subgroup's "
    "dots fall short, its prompts are answered with somebody else's anatomy."
)
DISTANCE_HOW = (
    "How far measured anatomy lies from that of new phantoms of the same group: mean over the "
    "robust quantities, in standard deviations of each. Further left is closer."
)
DISTANCE_FAIR = (
    "a method's dots are close to the lines, and at the same place in every panel: no subgroup's "
    "anatomy is told less truly than another's."
)


def blocks(run: Run, scores: Scores) -> tuple[Block, ...]:
    """Return the figures and tables of measured anatomy.

    Nothing is returned for a cohort without an oracle; for a phantom that was not measured, a note.

    Args:
        run: The run.
        scores: Its rows of the test split.
    """
    known = quantities(run)
    material = Material(run.anatomy, _made(run), run.groups)
    rows = [m for m in scores.names("metric") if m in METRICS or m.startswith(PREFIX)]
    drawn = figures(material, known) if run.anatomy or any(material.made.values()) else ()
    if not rows and not drawn:
        text = "The anatomy of generated images was not measured."
        return (Note(text, missing=True),) if phantom_of(run) else ()
    return (
        Note(_opening(run)),
        *_shares(scores, run),
        *_distances(scores, run),
        *wasserstein_tables(scores, run, known),
        *drawn,
    )


def phantom_of(run: Run) -> Phantom | None:
    """Return the phantom that the study is about."""
    data = run.study.get("data")
    found = data.get("phantom") if isinstance(data, Mapping) else None
    name = found.get("name") if isinstance(found, Mapping) else None
    return PHANTOMS.get(name) if isinstance(name, str) else None


def quantities(run: Run) -> tuple[Quantity, ...]:
    """Return what was measured: the phantom's quantities, else what the files hold."""
    phantom = phantom_of(run)
    if phantom is not None:
        return phantom.quantities
    files = [run.anatomy, *(t.anatomy for t in run.trained)]
    names = dict.fromkeys(n for a in files if a is not None for n in a.values)
    return tuple(Quantity(n, n.replace("_", " ")) for n in names)


def _made(run: Run) -> dict[str, tuple[Any, ...]]:
    return {
        m: tuple(t.anatomy for t in run.trained if t.method == m and t.anatomy is not None)
        for m in run.methods
    }


def _opening(run: Run) -> str:
    count = len(run.groups)
    guess = f" A guess would fit in {100 / count:.0f} % of images." if count else ""
    return (
        "The images are phantoms, so there is a truth to hold them against: an oracle measures "
        "anatomy from pixels alone, and a model that was fitted on newly drawn phantoms, every "
        f"group alike, says which of the {count} groups an image's anatomy is most typical "
        f"of.{guess} No network that was trained on the cohort takes part."
    )


def _everyone(run: Run) -> dict[str, str]:
    return {m: m for m in run.methods} | {m: name for m, (name, _) in FLOORS.items()}


def _shares(scores: Scores, run: Run) -> Iterator[Block]:
    for metric in SHARES:
        how = f"{SHARES_HOW[metric]} {FLOORS_HOW}"
        yield from _panels(scores, run, metric, (how, SHARES_FAIR))
    for metric in TABLED:
        yield from _table(scores, run, metric)
    for metric in (*SHARES, *TABLED):
        yield from _by_group(scores, run, metric)


def _distances(scores: Scores, run: Run) -> Iterator[Block]:
    yield from _panels(scores, run, DISTANCE, (f"{DISTANCE_HOW} {FLOORS_HOW}", DISTANCE_FAIR))
    yield from _by_group(scores, run, DISTANCE)


def _panels(scores: Scores, run: Run, metric: str, texts: tuple[str, str]) -> Iterator[Block]:
    """Yield a panel a subgroup, and the table behind them."""
    found = scores.where(metric=metric)
    places = [p for p in (OVERALL, *run.subgroups) if found.where(group=p).rows]
    charts = method_panels(
        scores, metric, run.methods, places, lambda p: floor_lines(scores, metric, p, FLOORS)
    )
    if charts:
        yield Gallery(word(metric).label, charts, *texts)
    yield from _table(scores, run, metric)


def _table(scores: Scores, run: Run, metric: str) -> Iterator[Table]:
    """Yield a table of a figure: a row a method, a column a subgroup."""
    found = scores.where(metric=metric)
    places = [p for p in (OVERALL, *run.subgroups) if found.where(group=p).rows]
    rows = [(m, name) for m, name in _everyone(run).items() if m in found.names("method")]
    if places and rows:
        yield method_table(scores, metric, rows, places)


def _by_group(scores: Scores, run: Run, metric: str) -> Iterator[Table]:
    """Yield a folded table, a row a group and a column a method."""
    found = scores.where(metric=metric)
    groups = [g for g in run.groups if found.where(group=g).rows]
    methods = {m: n for m, n in _everyone(run).items() if m in found.names("method")}
    if groups:
        rows = [
            (
                heading(group_text(g)),
                [
                    (found.where(method=m).estimate(metric, g), word(metric).decimals)
                    for m in methods
                ],
            )
            for g in groups
        ]
        head = ("Group", *methods.values())
        caption = f"{word(metric).arrowed} by group"
        yield replace(measured_table(caption, head, rows, ""), folded=True)


def wasserstein_tables(scores: Scores, run: Run, known: Sequence[Quantity]) -> Iterator[Table]:
    """Yield how far each quantity is from real, a table a method; the floors' are folded."""
    for robust in (True, False):
        columns = [q for q in known if q.robust is robust]
        for method, name in _everyone(run).items():
            own = scores.where(method=method)
            told = [q for q in columns if own.where(metric=PREFIX + q.name).rows]
            if told:
                folded = method in FLOORS or not robust
                yield _heat(own, method_text(name), run.groups, told, folded=folded)


def _heat(
    own: Scores, name: str, groups: Sequence[str], columns: Sequence[Quantity], *, folded: bool
) -> Table:
    rows = tuple(
        (heading(group_text(g)), *(_tinted(own, PREFIX + q.name, g) for q in columns))
        for g in groups
    )
    kind = "" if columns[0].robust else ": what may not judge generated images"
    missing = [own.estimate(PREFIX + q.name, g) for q in columns for g in groups]
    reasons = dict.fromkeys(e.reason for e in missing if e and e.value is None)
    note = (
        "Wasserstein distance to newly drawn phantoms of the same group, in standard deviations of "
        f"the quantity; the stronger the tint the further, strongest from {STRONGEST:g}. A fair "
        "result: a faint tint in all rows alike. A strong row is a group whose anatomy is missed, "
        "a strong column a quantity that is." + "".join(f" –: {reason}." for reason in reasons)
    )
    head = ("Group", *(q.label for q in columns))
    return Table(f"Distance of anatomy from real ↓, {name}{kind}", head, rows, note, folded)


def _tinted(own: Scores, metric: str, group: str) -> Cell:
    found = own.estimate(metric, group)
    value = None if found is None else found.value
    shade = None if value is None else min(max(value / STRONGEST, 0.0), 1.0)
    return Cell(number(value, 2), number=True, shade=shade)
