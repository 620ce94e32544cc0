"""What may be said about each method against the reference, and no more than that."""

from collections.abc import Sequence
from dataclasses import dataclass

from fairgen.report.scores import FLOORS, OVERALL, Estimate, Scores, pooled
from fairgen.report.words import number, sequence, subgroup_text, word

REFERENCE = "sd"
MARKS = "\u00a0↑↓"
ONE_SEED = "One seed: signs are hints, not results."


@dataclass(frozen=True)
class Finding:
    """Compares one figure of one method with the reference.

    Attributes:
        method: The method.
        figure: Readable name of the figure.
        mine: The method's estimate; ``None`` if it was not measured.
        theirs: The reference's.
        words: The comparison in words.
        shown: ``better`` or ``worse`` where intervals and all of at least two seeds agree, else
            empty.
        decimals: Digits after the point of the figure.
    """

    method: str
    figure: str
    mine: Estimate | None
    theirs: Estimate | None
    words: str
    shown: str = ""
    decimals: int = 3


def apart(mine: Estimate, theirs: Estimate) -> bool | None:
    """Return whether two intervals do not overlap; ``None`` if one of them is missing."""
    if mine.low is None or mine.high is None or theirs.low is None or theirs.high is None:
        return None
    return mine.low > theirs.high or mine.high < theirs.low


def compare(mine: Estimate | None, theirs: Estimate | None, direction: str) -> tuple[str, str]:
    """Return a comparison in words, and ``better``, ``worse`` or nothing.

    Args:
        mine: The method's figure.
        theirs: The reference's figure.
        direction: ``higher`` or ``lower``: which is better.
    """
    for whose, found in (("", mine), (f"{REFERENCE}: ", theirs)):
        if found is None:
            return f"{whose}not measured", ""
        if found.value is None:
            return f"{whose}undefined: {found.reason}", ""
    if mine is None or theirs is None or mine.value is None or theirs.value is None:
        return "not measured", ""
    difference = mine.value - theirs.value
    side = "higher than" if difference > 0 else "lower than" if difference < 0 else "equal to"
    separate = apart(mine, theirs)
    gaps = {None: "no intervals", True: "intervals do not overlap", False: "intervals overlap"}
    agreeing, common = _agreement(mine, theirs)
    seeds = "one seed" if common < 2 else f"same sign in {agreeing} of {common} seeds"
    safe = bool(separate) and common >= 2 and agreeing == common
    good = (difference > 0) == (direction == "higher")
    shown = ("better" if good else "worse") if safe and difference else ""
    return f"{side} {REFERENCE}, {gaps[separate]}, {seeds}", shown


def _agreement(mine: Estimate, theirs: Estimate) -> tuple[int, int]:
    ours, others = mine.by_seed or {}, theirs.by_seed or {}
    common = sorted(set(ours) & set(others))
    difference = (mine.value or 0.0) - (theirs.value or 0.0)
    return sum((ours[s] - others[s]) * difference > 0 for s in common), len(common)


def worst_subgroup(scores: Scores, metric: str, subgroups: Sequence[str]) -> Estimate | None:
    """Return the largest figure over subgroups, each seed's own, pooled over seeds."""
    rows = [r for r in scores.where(metric=metric).rows if r.group in subgroups]
    known = [r for r in rows if r.value is not None]
    if not known:
        return pooled(rows) if rows else None
    worst = (
        max((r for r in known if r.seed == s), key=lambda r: r.value or 0.0)
        for s in {r.seed for r in known}
    )
    return pooled(worst)


def findings(scores: Scores, methods: Sequence[str], subgroups: Sequence[str]) -> list[Finding]:
    """Return every method's comparisons with the reference.

    Args:
        scores: Rows of the test split.
        methods: Methods to compare; the reference among them is left out.
        subgroups: Names of the subgroups.
    """
    others = [m for m in methods if m != REFERENCE]
    found = [f for m in others for f in _fidelity(scores, m, subgroups)]
    found += [f for m in others for f in _phenotype(scores, m)]
    return found + [f for m in others for f in _fairness(scores, m)]


def _finding(
    method: str, figure: str, pair: tuple[Estimate | None, Estimate | None], metric: str
) -> Finding:
    known = word(metric)
    words, shown = compare(*pair, known.direction)
    return Finding(method, figure, *pair, words, shown, known.decimals)


def _fidelity(scores: Scores, method: str, subgroups: Sequence[str]) -> list[Finding]:
    ours, theirs = scores.where(method=method), scores.where(method=REFERENCE)
    metrics = [m for m in scores.names("metric") if m.startswith("fid_") and "variance" not in m]
    result = []
    for metric in metrics:
        pair = ours.estimate(metric, OVERALL), theirs.estimate(metric, OVERALL)
        result.append(_finding(method, word(metric).arrowed, pair, metric))
        without = undefined_subgroups(scores, metric, subgroups)
        kept = [s for s in subgroups if s not in without]
        worst = worst_subgroup(ours, metric, kept), worst_subgroup(theirs, metric, kept)
        label = f"Worst subgroup {word(metric).arrowed}"
        if without:
            label += f" (without {sequence(map(subgroup_text, without))}: undefined)"
        result.append(_finding(method, label, worst, metric))
    return result


def _phenotype(scores: Scores, method: str) -> list[Finding]:
    """Return how many images of a phantom fit their prompt, if that was measured."""
    found = []
    for metric in ("phenotype_fit", "unseen_fit"):
        mine, theirs = (scores.where(method=m).estimate(metric) for m in (method, REFERENCE))
        if mine is not None or theirs is not None:
            found.append(_finding(method, word(metric).arrowed, (mine, theirs), metric))
    return found


def undefined_subgroups(scores: Scores, metric: str, subgroups: Sequence[str]) -> list[str]:
    """Return the subgroups for which a metric is undefined for some method and seed.

    They are left out for every method, lest methods be compared on different subgroups.
    """
    rows = scores.where(metric=metric).rows
    missing = {r.group for r in rows if r.value is None and r.method not in FLOORS}
    return [s for s in subgroups if s in missing]


def _fairness(scores: Scores, method: str) -> list[Finding]:
    metric = "fairness_improvement"
    rows = scores.where(metric=metric, group=OVERALL)
    kinds = dict.fromkeys((r.classifier, r.reweight) for r in rows.rows)
    result = []
    for classifier, reweight in kinds:
        kind = rows.where(classifier=classifier, reweight=reweight)
        pair = (
            kind.where(method=method).estimate(metric),
            kind.where(method=REFERENCE).estimate(metric),
        )
        named = ", ".join(filter(None, (classifier, "reweighted" if reweight else "")))
        label = f"{word(metric).arrowed} ({named})" if named else word(metric).arrowed
        result.append(_finding(method, label, pair, metric))
    return result


def paragraph(found: Sequence[Finding], methods: Sequence[str], seeds: int) -> str:
    """Return the verdict as prose; it names a gain only where intervals and seeds agree.

    Args:
        found: The comparisons.
        methods: Methods of the run.
        seeds: Number of seeds of the run.
    """
    if REFERENCE not in methods:
        return f"The run has no method “{REFERENCE}”, so nothing is compared with it."
    made = [f for f in found if f.mine and f.theirs and None not in (f.mine.value, f.theirs.value)]
    if not made:
        return f"No figure is defined both for “{REFERENCE}” and for another method."
    parts = [_counts(made, seeds), *(_shown(made, side) for side in ("better", "worse"))]
    if seeds < 2:
        parts.append(ONE_SEED)
    return " ".join(filter(None, parts))


def _counts(made: Sequence[Finding], seeds: int) -> str:
    total = len(made)
    overlap = sum(bool(f.mine and f.theirs and apart(f.mine, f.theirs) is False) for f in made)
    start = f"In {overlap} of {total} comparisons with {REFERENCE} the intervals overlap"
    if seeds < 2:
        return f"{start}; with one seed none of them counts as a gain or a loss."
    clear = sum(bool(f.shown) for f in made)
    return (
        f"{start}. In {clear or 'none'} of {total} the intervals are apart and every seed has the "
        f"same sign; the others show neither gain nor loss."
    )


def _shown(made: Sequence[Finding], side: str) -> str:
    chosen = [f for f in made if f.shown == side]
    texts = []
    for name in dict.fromkeys(f.figure for f in chosen):
        methods = sequence(f"{f.method} ({_pair(f)})" for f in chosen if f.figure == name)
        texts.append(f"{name.rstrip(MARKS)}: {methods}")
    return f"{side.capitalize()} than {REFERENCE} in {'; '.join(texts)}." if texts else ""


def _pair(f: Finding) -> str:
    mine = f.mine.value if f.mine else None
    theirs = f.theirs.value if f.theirs else None
    return f"{number(mine, f.decimals)} against {number(theirs, f.decimals)}"
