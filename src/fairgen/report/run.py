"""Reads what a run folder holds; what is missing or broken becomes a note."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairgen.cohort.schema import SEPARATOR
from fairgen.errors import FairGenError
from fairgen.files.folder import CohortFolder, read_cohort
from fairgen.report.anatomy_file import Anatomy, read_anatomy
from fairgen.report.scores import FLOORS, OVERALL, Scores, parse_rows
from fairgen.report.words import sequence

ORDER = ("sd", "cbrs", "sqrs", "cbdm", "fairdiffusion", "fairgen")
SHARED = (*FLOORS, "candidates", "preferences", "reward")
"""Folders of a seed that are no method's."""


@dataclass(frozen=True)
class Trained:
    """Holds what one method left under one seed.

    Attributes:
        seed: Seed of the folder.
        method: Name of the method.
        log: Lines of the training log.
        manifest: The model's manifest.
        generation: The synthetic set's manifest.
        guidance: How its guidance was chosen.
        synthetic: The synthetic set, or ``None``.
        anatomy: What the phantom's oracle measured in it, or ``None``.
    """

    seed: int
    method: str
    log: tuple[Mapping[str, Any], ...] = ()
    manifest: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    guidance: Mapping[str, Any] = field(default_factory=dict)
    synthetic: CohortFolder | None = None
    anatomy: Anatomy | None = None


@dataclass(frozen=True)
class Run:
    """Holds everything the report speaks of.

    Attributes:
        root: The run folder.
        study: Resolved settings.
        manifest: Versions, platform, times.
        audit: The cohort's audit.
        cohort: The cohort, or ``None``.
        trained: One entry a seed and method.
        scores: All rows.
        missing: What could not be read, one sentence each.
        anatomy: What the phantom's oracle measured in reference and real images, or ``None``.
        folds: Number of folds, or 0. Cohort, trainings and images shown are then the first one's;
            the scores are of all.
        told: By seed, the manifest of the review that asked for ``preferences``, and the card of
            the ``reward`` model, where there are any.
    """

    root: Path
    study: Mapping[str, Any]
    manifest: Mapping[str, Any]
    audit: Mapping[str, Any]
    cohort: CohortFolder | None
    trained: tuple[Trained, ...]
    scores: Scores
    missing: tuple[str, ...]
    anatomy: Anatomy | None = None
    folds: int = 0
    told: Mapping[int, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[str, ...]:
        """Return the generators under comparison, the reference first, a study's own arms last.

        A model that others only begin from has no images and is none of them.
        """
        asked = asked_methods(self.study)
        names = {
            t.method
            for t in self.trained
            if not asked or t.method in asked or t.synthetic is not None
        }
        names = (names | set(self.scores.names("method"))) - set(FLOORS)
        return tuple(sorted(names, key=lambda m: (_rank(m, ORDER), _rank(m, asked), m)))

    @property
    def subgroups(self) -> tuple[str, ...]:
        """Return the subgroups: the schema's, else those that accuracy is scored for."""
        if self.cohort is not None:
            return self.cohort.cohort.schema.subgroups()
        names = self.scores.where(metric="accuracy").names("group") or self.scores.names("group")
        return tuple(n for n in names if n != OVERALL and not _is_part(n, names))

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the groups' keys: the schema's, else those that refine a subgroup."""
        if self.cohort is not None:
            return tuple(g.key for g in self.cohort.cohort.schema.groups())
        names = self.scores.names("group")
        return tuple(n for n in names if _is_part(n, names))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds of folders and scores."""
        return tuple(sorted({t.seed for t in self.trained} | set(self.scores.seeds())))


def _is_part(name: str, names: tuple[str, ...]) -> bool:
    """Return whether a name is a group's: another name, a subgroup's, with a label behind it."""
    return name.rpartition(SEPARATOR)[0] in names


def _rank(name: str, names: tuple[str, ...]) -> int:
    return names.index(name) if name in names else len(names)


def asked_methods(study: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the methods that a study asks for; none if its settings are not known."""
    names = study.get("methods")
    return tuple(n for n in names if isinstance(n, str)) if isinstance(names, list) else ()


Gaps = list[tuple[str, str]]  # what is wrong, and where


def read_run(root: Path) -> Run:
    """Return what a run folder holds, with a note for each part that it lacks."""
    gaps: Gaps = []
    rows, bad = parse_rows(_text(root / "scores.jsonl"))
    if not rows:
        gaps.append(("nothing was measured yet", "scores.jsonl"))
    if bad:
        gaps.append((f"{bad} line(s) could not be read and are left out", "scores.jsonl"))
    study = _mapping(root / "study.json", gaps)
    folds = folds_of(study)
    part = root / "fold0" if folds else root
    return Run(
        root=root,
        study=study,
        manifest=_mapping(root / "manifest.json", gaps),
        audit=_mapping(part / "audit.json", gaps),
        cohort=_cohort(part, "cohort", gaps),
        trained=_trained(part, asked_methods(study), gaps),
        scores=Scores(rows),
        anatomy=_anatomy(part, "anatomy.parquet", gaps),
        folds=folds,
        told=_told(part),
        missing=_sentences(gaps),
    )


def folds_of(study: Mapping[str, Any]) -> int:
    """Return the number of folds of a study; 0 for one split."""
    split = study.get("split")
    folds = split.get("folds") if isinstance(split, dict) else 0
    return folds if isinstance(folds, int) else 0


def _sentences(gaps: Gaps) -> tuple[str, ...]:
    places: dict[str, list[str]] = {}
    for what, where in gaps:
        places.setdefault(what, []).append(where)
    return tuple(f"{sequence(where)}: {what}." for what, where in places.items())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _mapping(path: Path, gaps: Gaps) -> Mapping[str, Any]:
    text = _text(path)
    try:
        value = json.loads(text) if text else None
    except json.JSONDecodeError:
        value = None
    if isinstance(value, dict):
        return value
    gaps.append(("cannot be read as JSON" if text else "not there", path.name))
    return {}


def _cohort(root: Path, name: str, gaps: Gaps) -> CohortFolder | None:
    if not (root / name).is_dir():
        gaps.append(("not there", name))
        return None
    try:
        return read_cohort(root / name, strict=False)
    except FairGenError as error:
        gaps.append((str(error).replace(f"{root}/", ""), name))
        return None


def _anatomy(root: Path, name: str, gaps: Gaps) -> Anatomy | None:
    """Return measured images; only phantoms have them, so that a missing file is no gap."""
    if not (root / name).is_file():
        return None
    try:
        return read_anatomy(root / name)
    except FairGenError as error:
        gaps.append((str(error), name))
        return None


def _seeds(root: Path) -> list[tuple[int, Path]]:
    """Return the seeds' folders."""
    found = [(m, p) for p in root.glob("seed*") if (m := re.fullmatch(r"seed(\d+)", p.name))]
    return sorted((int(m[1]), p) for m, p in found if p.is_dir())


def _told(root: Path) -> dict[int, dict[str, Mapping[str, Any]]]:
    found = {
        seed: {
            "preferences": _mapping(path / "preferences" / "manifest.json", []),
            "reward": _mapping(path / "reward" / "reward.json", []),
        }
        for seed, path in _seeds(root)
    }
    return {seed: told for seed, told in found.items() if any(told.values())}


def _trained(root: Path, asked: tuple[str, ...], gaps: Gaps) -> tuple[Trained, ...]:
    folders = [
        (seed, method)
        for seed, path in _seeds(root)
        for method in sorted(p for p in path.iterdir() if p.is_dir())
        if method.name not in SHARED and not method.name.startswith(".")
    ]
    if not folders:
        gaps.append(("no method has been trained yet", "seed folders"))
    return tuple(_one(root, seed, path, asked, gaps) for seed, path in folders)


def _one(root: Path, seed: int, path: Path, asked: tuple[str, ...], gaps: Gaps) -> Trained:
    name = f"{path.parent.name}/{path.name}"
    log = _log(path / "model" / "log.jsonl")
    if not log:
        gaps.append(("no training log", name))
    made = (path / "synthetic").is_dir()
    if not made and (not asked or path.name in asked):
        gaps.append(("no generated images", name))
    return Trained(
        seed=seed,
        method=path.name,
        log=log,
        manifest=_mapping(path / "model" / "manifest.json", []),
        generation=_mapping(path / "synthetic" / "manifest.json", []),
        guidance=_mapping(path / "guidance.json", []),
        synthetic=_cohort(root, f"{name}/synthetic", gaps) if made else None,
        anatomy=_anatomy(root, f"{name}/anatomy.parquet", gaps),
    )


def _log(path: Path) -> tuple[Mapping[str, Any], ...]:
    lines = []
    for text in filter(str.strip, _text(path).splitlines()):
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue  # the last line of a killed run may be cut short
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return tuple(lines)
