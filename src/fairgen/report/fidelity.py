"""How close generated images are to real ones: distances by subgroup, with their floors."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from fairgen.report.blocks import Block, Gallery, Note, Table, heading, measured_table
from fairgen.report.chart import Chart, colour, marker, slug
from fairgen.report.dots import DotRow, Line, Mark, Scale, dot_chart, limits
from fairgen.report.scores import OVERALL, Scores
from fairgen.report.words import method_text, number, subgroup_text, word

FLOORS = {"real": ("real against real", ":"), "autoencoder": ("autoencoder", "--")}
DISTANCE_HOW = (
    "Further left is closer to the real test images. Dotted and dashed: what real images (train "
    "against test) and a round trip through the autoencoder reach; nobody can be expected to do "
    "better."
)
DISTANCE_FAIR = (
    "a method's dots stand at the same place in every panel, measured against that panel's own "
    "dotted and dashed lines, and no further right than those of sd."
)
CONSISTENCY_HOW = (
    "Share of generated images in which a network trained on real images recognises what the "
    "prompt asked for. Read it beside the distances: images can be good and yet show the wrong "
    "group."
)
CONSISTENCY_FAIR = (
    "equally far right for every subgroup, and as far right as real images are; one subgroup that "
    "lags behind is painted over by the others' looks."
)
CONSISTENCY = (CONSISTENCY_HOW, CONSISTENCY_FAIR)
SPREAD = "within_group_"
SPREAD_HOW = (
    "Mean distance between two images of one group over that between two real ones, in the "
    "extractor's features, with a 95 % interval. Below one the images of a group are more alike "
    "than real ones; near zero the model repeats an image."
)
SPREAD_FAIR = "close to one in every subgroup, the rare ones too."


def blocks(scores: Scores, methods: Sequence[str], subgroups: Sequence[str]) -> tuple[Block, ...]:
    """Return FID, KID and their variance, a figure and a table each."""
    metrics = [m for m in scores.names("metric") if m.startswith(("fid_", "kid_"))]
    plain = sorted(m for m in metrics if not m.endswith("_variance"))
    if not plain:
        return (Note("No distance between generated and real images was measured.", missing=True),)
    places = [OVERALL, *subgroups]
    found: list[Block] = [Note(_caution(plain))]
    for metric in plain:
        named = {**{m: m for m in methods}, **{m: name for m, (name, _) in FLOORS.items()}}
        measured = scores.where(metric=metric).names("method")
        rows = [(m, name) for m, name in named.items() if m in methods or m in measured]
        found += [
            _panels(scores, metric, methods, places),
            method_table(scores, metric, rows, places),
        ]
    variances = sorted(m for m in metrics if m.endswith("_variance"))
    return (*found, *_variances(scores, variances, methods))


def _caution(metrics: Sequence[str]) -> str:
    names = sorted({m.partition("_")[2] for m in metrics})
    extractors = ", ".join(f"“{n}”" for n in names)
    return (
        f"Features come from: {extractors}. Distances of different extractors are never "
        "comparable, nor are they with published figures of another extractor. Every distance "
        "depends on the number of images n: compare only where n is equal."
    )


def method_panels(
    scores: Scores,
    metric: str,
    methods: Sequence[str] | Mapping[str, str],
    places: Sequence[str],
    lines: Callable[[str], tuple[Line, ...]] | None = None,
) -> tuple[Chart, ...]:
    """Return one panel a place (overall, then subgroups), a row a method, on a common axis.

    Args:
        scores: The rows.
        metric: What is drawn.
        methods: Which methods; where it maps them to names, those are shown.
        places: Overall and subgroups.
        lines: The vertical lines of a place.
    """
    rows = {p: _rows(scores.where(metric=metric, group=p), metric, p, methods) for p in places}
    rows = {p: found for p, found in rows.items() if found}
    floors = {p: lines(p) if lines else () for p in rows}
    every = [line for p in rows for line in floors[p]]
    common = limits([r for found in rows.values() for r in found], every)
    return tuple(
        dot_chart(
            f"{slug(metric)}-{i}",
            subgroup_text(place) if len(rows) > 1 else "",
            found,
            Scale(word(metric).arrowed, common.limits, floors[place]),
            _alt(metric, place, found),
        )
        for i, (place, found) in enumerate(rows.items())
    )


def _rows(
    scores: Scores, metric: str, place: str, methods: Sequence[str] | Mapping[str, str]
) -> list[DotRow]:
    names = methods if isinstance(methods, Mapping) else {m: method_text(m) for m in methods}
    found = [(m, scores.where(method=m).estimate(metric, place)) for m in methods]
    return [
        DotRow(names[m], (Mark(e, colour(i), marker(i)),))
        for i, (m, e) in enumerate(found)
        if e is not None
    ]


def _alt(metric: str, place: str, rows: Sequence[DotRow]) -> str:
    decimals = word(metric).decimals
    texts = "; ".join(f"{r.name} {number(r.marks[0].estimate.value, decimals)}" for r in rows)
    return f"{word(metric).label}, {subgroup_text(place)}: {texts}"


def _panels(scores: Scores, metric: str, methods: Sequence[str], places: Sequence[str]) -> Block:
    charts = method_panels(
        scores, metric, methods, places, lambda p: floor_lines(scores, metric, p)
    )
    if not charts:
        return Note(f"{word(metric).label}: no method was measured.", missing=True)
    return Gallery(f"{word(metric).label} by subgroup", charts, DISTANCE_HOW, DISTANCE_FAIR)


def floor_lines(
    scores: Scores,
    metric: str,
    place: str,
    floors: Mapping[str, tuple[str, str]] = MappingProxyType(FLOORS),
) -> tuple[Line, ...]:
    """Return what methods that generate nothing reach.

    Args:
        scores: All rows.
        metric: The figure.
        place: Overall, or the subgroup.
        floors: Name and line style of each such method.
    """
    lines = []
    for method, (name, style) in floors.items():
        found = scores.where(metric=metric, method=method).estimate(metric, place)
        if found is not None and found.value is not None:
            lines.append(Line(found.value, name, style))
    return tuple(lines)


def method_table(
    scores: Scores, metric: str, rows: Sequence[tuple[str, str]], places: Sequence[str]
) -> Table:
    """Return a figure's table: a row a method, given with its name, and a column a place."""
    decimals = word(metric).decimals
    own = {m: scores.where(metric=metric, method=m) for m, _ in rows}
    cells = [
        (heading(name), [(own[m].estimate(metric, p), decimals) for p in places])
        for m, name in rows
    ]
    head = ("Method", *(subgroup_text(p) for p in places))
    return measured_table(word(metric).arrowed, head, cells, "")


def _variance_panels(scores: Scores, metric: str, methods: Sequence[str]) -> tuple[Chart, ...]:
    def floors(place: str) -> tuple[Line, ...]:
        return floor_lines(scores, metric, place)

    return method_panels(scores, metric, methods, [OVERALL], floors)


def _variances(scores: Scores, metrics: Sequence[str], methods: Sequence[str]) -> tuple[Block, ...]:
    charts = tuple(c for m in metrics for c in _variance_panels(scores, m, methods))
    if not charts:
        return ()
    how = (
        "Variance of a method's distances over subgroups. Equally bad images for everyone have no "
        "variance either: read it beside the distances."
    )
    fair = "close to zero, or to the dotted line of real images, with distances that are short."
    return (Gallery("Variance over subgroups", charts, how, fair),)


def consistency_blocks(
    scores: Scores, methods: Sequence[str], subgroups: Sequence[str]
) -> tuple[Block, ...]:
    """Return whether generated images show what was asked for, and how various they are."""
    metrics = [m for m in scores.names("metric") if m.endswith("_consistency")]
    metrics += [m for m in scores.names("metric") if m.startswith(SPREAD)]
    everyone = {m: m for m in methods} | {"real": "real images", "autoencoder": "autoencoder"}
    found: list[Block] = []
    for metric in metrics:
        rows = [(m, n) for m, n in everyone.items() if scores.where(metric=metric, method=m).rows]
        places = [p for p in (OVERALL, *subgroups) if scores.where(metric=metric, group=p).rows]
        charts = method_panels(scores, metric, everyone, places)
        if charts:
            told = (SPREAD_HOW, SPREAD_FAIR) if metric.startswith(SPREAD) else CONSISTENCY
            found.append(Gallery(word(metric).label, charts, *told))
            found.append(method_table(scores, metric, rows, places))
    if not found:
        text = "Whether generated images show what was asked for was not measured."
        return (Note(text, missing=True),)
    return tuple(found)
