"""Settings and provenance of a run as tables, and what a reader must be told."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fairgen.errors import FairGenError
from fairgen.files.digest import file_digest
from fairgen.report import recipes
from fairgen.report.blocks import Block, Note, Table, plain_table
from fairgen.report.leaves import flat, leaf, lookup
from fairgen.report.run import Run, Trained
from fairgen.report.words import sequence

DIGESTED = ("study.json", "manifest.json", "audit.json", "scores.jsonl", "cohort/cohort.json")
SMALL = ("tiny", "scratch", "small")


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
    found: list[Block] = [*recipes.blocks(run)]
    found += tables({k: v for k, v in run.study.items() if k != "arms"}, "Study")
    if not run.study:
        found.append(Note("study.json is missing: the settings are unknown.", missing=True))
    made = [t for t in run.trained if t.method in run.methods]
    if made:
        found.append(generation_table(made))
    found += guidance_tables(made)
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
            recipes.preferences(t),
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
    texts = [*_about_cohort(run), *recipes.notices(run), *_about_networks(run)]
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
