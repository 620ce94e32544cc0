"""What each method is: what it changes, whom it learned from, how long it was trained."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fairgen.methods.method import METHODS
from fairgen.report.blocks import Block, Table, plain_table
from fairgen.report.leaves import flat, leaf, lookup
from fairgen.report.run import Run, Trained
from fairgen.report.words import number, sequence

LEFT_OUT = ("none", False)
RATERS: Mapping[str, str] = MappingProxyType(
    {
        "oracle": "the phantom's known anatomy chose, in a physician's place",
        "proxy": "a network trained on the training split chose, in a physician's place",
        "file": "what a preference file holds",
    }
)
HEAD = ("Method", "like", "what differs", "begins from", "steps", "in all", "preferences", "pairs")
STEPS_NOTE = (
    "Steps in all count those of the model that a training begins from. Preferences ask for "
    "further compute: candidates to choose from, pairs beside every batch, and a reward model "
    "where one is taken."
)


def blocks(run: Run) -> tuple[Block, ...]:
    """Return what each method is, and what is known of the preferences of each seed."""
    found: list[Block] = []
    if run.methods or run.trained:
        found.append(methods_table(run))
    return (*found, *_told_tables(run))


def notices(run: Run) -> Iterator[str]:
    """Yield whom methods learned from, and which were trained for longer than others."""
    yield from _about_preferences(run)
    yield from _about_steps(run)


def methods_table(run: Run) -> Table:
    """Return one row a method, and one for each model that another begins from."""
    names = dict.fromkeys((*run.methods, *(t.method for t in run.trained)))
    rows = [_method_row(run, name) for name in names]
    table = plain_table("Methods", HEAD, rows)
    return Table(table.caption, table.head, table.rows, STEPS_NOTE)


def _method_row(run: Run, name: str) -> tuple[str, ...]:
    arm, trained = arms_of(run.study).get(name), _first(run, name)
    own = METHODS[name].source if name in METHODS else ""
    return (
        name,
        leaf(None if arm is None else arm.get("like")),
        leaf(own if arm is None else changes(arm)),
        start(run.study, name) or "the base",
        _count(_steps(trained)),
        _count(total_steps(run, name)),
        "–" if trained is None else preferences(trained),
        _count(None if trained is None else trained.manifest.get("pairs")),
    )


def arms_of(study: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the methods of the study's own, as its file gives them."""
    found = study.get("arms")
    known = found if isinstance(found, Mapping) else {}
    return {str(name): arm for name, arm in known.items() if isinstance(arm, Mapping)}


def changes(arm: Mapping[str, Any]) -> str:
    """Return what an arm lays over the method that it is like, as prose."""
    pairs = [p for table in ("method", "train") for p in flat(arm.get(table) or {}) if p[0]]
    words = {"none": "without {}", "no": "without {}", "–": "with {}"}
    return ", ".join(words.get(v, f"{{}} = {v}").format(k) for k, v in pairs)


def _like(study: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any] | str]:
    """Yield an arm, the arm that it is like, and so on, and last the name of a method."""
    arms, seen = arms_of(study), set[str]()
    while name in arms and name not in seen:
        seen.add(name)
        yield arms[name]
        name = str(arms[name].get("like"))
    yield name


def start(study: Mapping[str, Any], name: str) -> str:
    """Return the model that a method begins from; empty for the base."""
    for arm in _like(study, name):
        after = arm.get("after") if isinstance(arm, Mapping) else None
        if isinstance(after, str):
            return "" if after == "none" else after
    return ""


def learns(study: Mapping[str, Any], name: str) -> bool:
    """Return whether a method would learn from preferences if there were any."""
    for arm in _like(study, name):
        if isinstance(arm, str):
            return arm in METHODS and METHODS[arm].alignment is not None
        method = arm.get("method")
        if isinstance(method, Mapping) and "alignment" in method:
            return method["alignment"] not in LEFT_OUT
    return False


def _first(run: Run, name: str) -> Trained | None:
    return next((t for t in run.trained if t.method == name), None)


def _steps(trained: Trained | None) -> int | None:
    settings = None if trained is None else trained.manifest.get("settings")
    steps = settings.get("steps") if isinstance(settings, Mapping) else None
    return steps if isinstance(steps, int) else None


def total_steps(run: Run, name: str) -> int | None:
    """Return a method's steps, with those of the models that it begins from."""
    total, seen = 0, set[str]()
    while name and name not in seen:
        seen.add(name)
        steps = _steps(_first(run, name))
        if steps is None:
            return None
        total, name = total + steps, start(run.study, name)
    return total


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "–"


def preferences(trained: Trained) -> str:
    """Return which preferences a method was trained with; a dash where that is not known."""
    found = lookup(trained.manifest, "preferences")
    if isinstance(found, Mapping):
        found = lookup(found, "kind", "source", "name") or "yes"
    return leaf(found)


def source_of(run: Run) -> str:
    """Return whom the run's preferences come from, as its study or its manifest says."""
    asked = run.study.get("preferences")
    found = asked.get("source") if isinstance(asked, Mapping) else run.manifest.get("preferences")
    return found if isinstance(found, str) else "not known"


def _about_preferences(run: Run) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for t in run.trained:
        if lookup(t.manifest, "preferences") is not None:
            found.setdefault(preferences(t), []).append(t.method)
    for kind, methods in found.items():
        if kind == "none":
            wanting = [m for m in dict.fromkeys(methods) if learns(run.study, m)]
            if wanting:
                yield (
                    f"preferences: none ({sequence(wanting)}): trained without "
                    "physicians' choices, on the rest of the method alone."
                )
        elif kind != "–":
            words = f": {RATERS[kind]}" if kind in RATERS else ""
            yield f"preferences: {kind} ({sequence(dict.fromkeys(methods))}){words}."


def _about_steps(run: Run) -> Iterator[str]:
    """Yield which methods were trained for longer than others, if any was."""
    found: dict[int, dict[str, list[str]]] = {}
    for method in run.methods:
        total, after = total_steps(run, method), start(run.study, method)
        if total is not None:
            own = f" ({_count(_steps(_first(run, method)))} of them after {after})" if after else ""
            found.setdefault(total, {}).setdefault(own, []).append(method)
    if len(found) > 1:
        told = (
            f"{n:,} steps: " + "; ".join(f"{sequence(ms)}{own}" for own, ms in by.items())
            for n, by in sorted(found.items())
        )
        yield f"Not all methods were trained equally long. {'. '.join(told)}."


def _told_tables(run: Run) -> Iterator[Table]:
    """Yield what is known of each seed's pairs, of who answered, and of the reward model."""
    rows = [_told_row(seed, told) for seed, told in run.told.items()]
    if rows:
        head = (
            *("Seed", "answered by", "turned round", "comparisons", "preferences"),
            *("looked at", "kept back", "reward model agrees", "calibration error"),
        )
        table = plain_table("Preferences", head, rows)
        note = (
            "Turned round: share of answers given the wrong way on purpose. Reward model agrees: "
            "share of held-out pairs, none of whose images it learned from, in which the preferred "
            "image scores higher; one half is a guess."
        )
        yield Table(table.caption, table.head, table.rows, note)


def _told_row(seed: int, told: Mapping[str, Any]) -> Sequence[str]:
    review, reward = told.get("preferences", {}), told.get("reward", {})
    return (
        str(seed),
        *(leaf(review.get(k)) for k in ("source", "error_rate")),
        *(_summed(review.get(k)) for k in ("comparisons", "preferences")),
        *(leaf(review.get(k)) for k in ("looked_at", "kept_back")),
        _accuracy(reward.get("accuracy")),
        _figure(lookup(reward.get("after"), "ece")),
    )


def _summed(counts: object) -> str:
    known = counts.values() if isinstance(counts, Mapping) else ()
    return _count(sum(n for n in known if isinstance(n, int)) if known else None)


def _figure(value: object) -> str:
    return number(value) if isinstance(value, float) else "–"


def _accuracy(found: object) -> str:
    values = [found.get(k) for k in ("value", "low", "high")] if isinstance(found, Mapping) else []
    if not values or not all(isinstance(v, int | float) for v in values):
        return "–"
    value, low, high = (number(v) for v in values)
    count = found.get("n") if isinstance(found, Mapping) else None
    return f"{value} [{low}, {high}], n {_count(count)}"
