"""Settings and provenance of a run as tables, and what a reader must be told."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fairgen.errors import FairGenError
from fairgen.files.digest import file_digest
from fairgen.report.blocks import Block, Note, Table, plain_table
from fairgen.report.run import Run, Trained
from fairgen.report.words import sequence

DIGESTED = ("study.json", "manifest.json", "audit.json", "scores.jsonl", "cohort/cohort.json")
SMALL = ("tiny", "scratch", "small")


def flat(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted keys and texts of all leaves of decoded JSON."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and any(isinstance(v, Mapping) for v in value):
        for i, inner in enumerate(value, 1):
            yield from flat(inner, f"{prefix}.{i}" if prefix else str(i))
    else:
        yield prefix, leaf(value)


def leaf(value: object) -> str:
    """Return one leaf of decoded JSON as text."""
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(leaf(v) for v in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def lookup(value: object, *names: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return the first value whose key contains one of the names, at any depth; else ``None``."""
    if not isinstance(value, Mapping):
        return None
    for key, inner in value.items():
        if any(name in str(key).lower() for name in names):
            return inner
    found = (lookup(inner, *names) for inner in value.values())
    return next((f for f in found if f is not None), None)


def tables(value: Mapping[str, Any], title: str) -> Iterator[Table]:
    """Yield one table for the plain settings and one for each that has settings of its own."""
    nested = {k: v for k, v in value.items() if isinstance(v, Mapping) and v}
    plain = {k: v for k, v in value.items() if k not in nested}
    for name, part in (("", plain), *nested.items()):
        rows = list(flat(part)) if part else []
        if rows:
            yield plain_table(f"{title}: {name}" if name else title, ("Setting", "Value"), rows)


def blocks(run: Run) -> tuple[Block, ...]:
    """Return the resolved settings, each model's own, versions and times, and digests."""
    found: list[Block] = [*tables(run.study, "Study")]
    if not run.study:
        found.append(Note("study.json is missing: the settings are unknown.", missing=True))
    if run.trained:
        found.append(generation_table(run.trained))
    found += guidance_tables(run.trained)
    stages = run.manifest.get("stages")
    found += tables({k: v for k, v in run.manifest.items() if k != "stages"}, "Provenance")
    if isinstance(stages, Mapping) and stages:
        found.append(stages_table(stages))
    if not run.manifest:
        found.append(Note("manifest.json is missing: versions, times unknown.", missing=True))
    digests = list(_digests(run))
    if digests:
        found.append(plain_table("Files read for this page", ("File", "SHA-256"), digests))
    return tuple(found)


def stages_table(stages: Mapping[str, Any]) -> Table:
    """Return seconds, state and key of every stage."""
    rows = [
        (name, *(leaf(lookup(stage, n)) for n in ("seconds", "finished", "key")))
        for name, stage in stages.items()
    ]
    return plain_table("Stages", ("Stage", "seconds", "finished", "key"), rows)


def _digests(run: Run) -> Iterator[tuple[str, str]]:
    for name in DIGESTED:
        try:
            yield name, file_digest(run.root / name)
        except FairGenError:
            continue


def generation_table(trained: Sequence[Trained]) -> Table:
    """Return how each method's images were made."""
    rows = [
        (
            t.method,
            str(t.seed),
            *(leaf(sampling(t).get(n)) for n in ("guidance", "sampler", "steps")),
            "–" if t.synthetic is None else f"{len(t.synthetic.cohort):,}",
            preferences(t),
        )
        for t in trained
    ]
    head = ("Method", "seed", "guidance", "sampler", "steps", "images", "preferences")
    return plain_table("Generated sets", head, rows)


def sampling(trained: Trained) -> Mapping[str, Any]:
    """Return the settings that a method's images were drawn with."""
    found = trained.generation.get("settings", trained.generation)
    return found if isinstance(found, Mapping) else {}


def guidance_tables(trained: Sequence[Trained]) -> Iterator[Table]:
    """Yield how each method's guidance was chosen, if that is recorded."""
    rows = [
        (
            t.method,
            str(t.seed),
            leaf(t.guidance.get("guidance")),
            leaf(t.guidance.get("chosen_by")),
            "; ".join(f"{k}: {v}" for k, v in flat(t.guidance.get("distances")) if k) or "–",
            leaf(t.guidance.get("n")),
        )
        for t in trained
        if t.guidance
    ]
    if rows:
        head = ("Method", "seed", "guidance", "chosen by", "distance at each scale", "images")
        yield plain_table("Choice of guidance", head, rows)


def preferences(trained: Trained) -> str:
    """Return which preferences a method was trained with; a dash where it uses none."""
    found = lookup(trained.manifest, "preferences")
    if isinstance(found, Mapping):
        found = lookup(found, "kind", "source", "name") or "yes"
    return leaf(found)


def guidance(run: Run) -> str:
    """Return the guidance scale of each method as prose; empty where none is recorded."""
    by_method: dict[str, list[str]] = {m: [] for m in run.methods}
    for t in run.trained:
        value = sampling(t).get("guidance")
        if isinstance(value, int | float):
            by_method[t.method].append(f"{value:g}")
    told = {m: "/".join(dict.fromkeys(v)) for m, v in by_method.items() if v}
    if len(set(told.values())) == 1:
        return f"Guidance scale: {next(iter(told.values()))} for {sequence(told)}."
    return f"Guidance scale: {sequence(f'{m} {v}' for m, v in told.items())}." if told else ""


def notices(run: Run) -> tuple[str, ...]:
    """Return what must stand beside the verdict."""
    texts = [*_about_cohort(run), *_about_preferences(run), *_about_networks(run)]
    research = (
        "Research use only: neither the images nor the classifiers are fit for diagnosis or "
        "treatment."
    )
    return (*texts, research)


def _about_cohort(run: Run) -> Iterator[str]:
    if run.cohort is None:
        return
    source = run.cohort.source
    if waiver := lookup(source, "waive"):
        reason = f" ({leaf(waiver)})" if isinstance(waiver, str) else ""
        yield (
            f"Subject identifiers were waived for this cohort{reason}: images of one person may "
            "lie in training and test, which flatters every figure."
        )
    if lookup(source, "phantom"):
        yield "The cohort is a phantom: images drawn from known anatomy; no patient is shown."
    terms = lookup(source, "licen", "terms")
    if run.folds:
        yield (
            f"Cross-validation in {run.folds} folds by subject: classifiers' figures pool the "
            "predictions of all folds, figures of images are means over folds. Parts of the "
            "cohort, training curves and pictures are those of the first fold."
        )
    if terms or run.cohort.terms:
        named = f" ({run.cohort.terms} in the cohort folder)" if run.cohort.terms else ""
        text = leaf(terms) if terms else "see the file"
        yield f"Terms of the cohort, which hold for what is generated from it too{named}: {text}."


def _about_preferences(run: Run) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for t in run.trained:
        if lookup(t.manifest, "preferences") is not None:
            found.setdefault(preferences(t), []).append(t.method)
    for kind, methods in found.items():
        if kind == "none":
            wanting = [m for m in dict.fromkeys(methods) if m.startswith("fairgen")]
            if not wanting:
                continue
            yield (
                f"preferences: none ({sequence(wanting)}): trained without "
                "physicians' choices, on resampling and class diversity alone."
            )
        elif kind != "–":
            yield f"preferences: {kind} ({sequence(dict.fromkeys(methods))})."


def _about_networks(run: Run) -> Iterator[str]:
    small = [c for c in run.scores.names("classifier") if any(s in c.lower() for s in SMALL)]
    if small:
        yield (
            f"{sequence(small)}: small networks trained from scratch, not the pretrained ones of "
            "the same family; compare methods, not levels."
        )
    base = run.study.get("base")
    if isinstance(base, Mapping) and "tiny" in base and not base.get("path"):
        yield (
            "The generator is a small Stable Diffusion built from the training split: its image "
            "quality says nothing about full-size models."
        )
