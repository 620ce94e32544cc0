"""A review as a folder: the questions with their images, and the answers once there are any.

``manifest.json`` is written first and last: only when it says ``finished`` is the folder whole.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from fairgen import __version__
from fairgen.cohort.schema import Schema
from fairgen.errors import CohortError, FairGenError, PreferenceError
from fairgen.files.atomic import write_bytes, write_errors, write_json, write_text
from fairgen.files.digest import folder_digest, value_digest
from fairgen.files.folder import CohortFolder, card_of, inner_path
from fairgen.files.mapping import read_mapping
from fairgen.files.preferences import write_preferences
from fairgen.files.rows import read_rows
from fairgen.preferences.judge import Judge, answers_of
from fairgen.preferences.pairs import (
    CANNOT_JUDGE,
    CHOICES,
    Answer,
    Comparison,
    draw_comparisons,
    preferences_of,
)

T = TypeVar("T")
MANIFEST, COMPARISONS, ANSWERS = "manifest.json", "comparisons.jsonl", "answers.jsonl"
PREFERENCES, IMAGES = "preferences.jsonl", "images"
PROTOCOL = "preference"
NOBODY = "none"
"""The source of the answers where there are none yet."""


def write_review(
    folder: CohortFolder, out: str | Path, *, per_group: int, seed: int, judge: Judge | None = None
) -> dict[str, Any]:
    """Write a review of a generated set, answered by a judge or waiting for people.

    The folder holds its own copies of the images. Repeating the call does nothing; answers that
    people gave since stay.

    Args:
        folder: The generated set. It may lie in ``out``.
        out: Folder of ``comparisons.jsonl``, ``images`` and ``manifest.json``, and of
            ``answers.jsonl`` and ``preferences.jsonl`` if there is a judge.
        per_group: Questions about each group.
        seed: Decides the pairs, their sides and order, and the judge's errors.
        judge: What answers; ``None`` leaves the questions to people.

    Returns:
        What ``manifest.json`` says.

    Raises:
        CohortError: If the folder is no generated set, or a group has too few images.
        PreferenceError: If ``out`` holds something else, or no answer prefers an image.
        StudyError: If a file cannot be written.
    """
    out = Path(out)
    comparisons = draw_comparisons(folder, per_group=per_group, seed=seed)
    manifest = _describe(folder, per_group, seed, judge)
    check_place(out, folder.root, manifest["key"])
    if _is_whole(out, comparisons, judge):
        return read_mapping(out / MANIFEST, PreferenceError, "the manifest of a review")
    write_json(out / MANIFEST, {**manifest, "finished": False})
    copied = _copied(comparisons, out)
    _write_lines(out / COMPARISONS, (_row(c, out) for c in copied))
    counts: dict[str, Any] = {"comparisons": _by_group(folder, copied)}
    if judge is not None:
        counts |= _answer(judge, copied, out, folder, seed)
    write_json(out / MANIFEST, {**manifest, **counts, "finished": True})
    return {**manifest, **counts, "finished": True}


def check_place(out: Path, inner: Path, key: str | None = None) -> None:
    """Raise unless a folder may hold a review.

    Args:
        out: The folder.
        inner: The generated set, which may lie in it.
        key: Key of the review; ``None`` where it is not known yet.

    Raises:
        PreferenceError: If the folder holds something else, or another review.
    """
    path = out / MANIFEST
    if not path.is_file():
        with write_errors(out):
            held = list(out.iterdir()) if out.exists() else []
        if any(p.resolve() != inner.resolve() for p in held):
            raise PreferenceError(f"{out}: exists and is no review; give another --out")
        return
    found = read_mapping(path, PreferenceError, "the manifest of a review, or another --out")
    if found.get("protocol") != PROTOCOL:
        raise PreferenceError(f"{out}: exists and is no review; give another --out")
    if (key is None and not inner.exists()) or (key is not None and found.get("key") != key):
        raise PreferenceError(
            f"{out}: holds a review of other images or settings; give another --out"
        )


def _describe(
    folder: CohortFolder, per_group: int, seed: int, judge: Judge | None
) -> dict[str, Any]:
    """Return what the manifest says before there is any answer."""
    source = folder.source
    facts = {} if judge is None else dict(judge.facts)
    content: dict[str, Any] = {
        "fairgen": __version__,
        "protocol": PROTOCOL,
        "source": NOBODY if judge is None else judge.source,
        "error_rate": None if judge is None else judge.error_rate,
        "looked_at": facts.pop("looked_at", []),
        "kept_back": facts.pop("kept_back", []),
        "judge": facts,
        "seed": seed,
        "per_group": per_group,
        "synthetic": folder_digest(folder.root),
        **{k: source.get(k) for k in ("model", "method", "trained_on")},
        "cohort": card_of(folder, layout="flat").model_dump(mode="json"),
    }
    return {"key": value_digest(content), **content}


def _is_whole(out: Path, comparisons: Sequence[Comparison], judge: Judge | None) -> bool:
    """Return whether a review is finished and none of its files is missing."""
    if not (out / MANIFEST).is_file():
        return False
    if read_mapping(out / MANIFEST, PreferenceError, "a review").get("finished") is not True:
        return False
    files = [COMPARISONS, *([ANSWERS, PREFERENCES] if judge else [])]
    named = [out / name for name in files] + [out / n for n in _names(comparisons).values()]
    return all(path.is_file() for path in named)


def _names(comparisons: Sequence[Comparison]) -> dict[Path, str]:
    """Return the name in the review of every image, numbered as they are shown."""
    shown = dict.fromkeys(path for c in comparisons for path in (c.left, c.right))
    return {p: f"{IMAGES}/{i:06d}{p.suffix.lower()}" for i, p in enumerate(shown)}


def _copied(comparisons: Sequence[Comparison], out: Path) -> tuple[Comparison, ...]:
    """Copy the images into the review, and return the comparisons of the copies.

    Raises:
        StudyError: If an image cannot be written.
    """
    names = _names(comparisons)
    for path, name in names.items():
        write_bytes(out / name, path.read_bytes())
    return tuple(
        replace(c, left=out / names[c.left], right=out / names[c.right]) for c in comparisons
    )


def _answer(
    judge: Judge,
    comparisons: Sequence[Comparison],
    out: Path,
    folder: CohortFolder,
    seed: int,
) -> dict[str, Any]:
    """Write a judge's answers, and return their counts.

    Raises:
        PreferenceError: If no answer prefers an image.
    """
    answers = answers_of(judge, comparisons, seed=seed)
    preferences = preferences_of(comparisons, answers)
    choices = Counter(a.choice for a in answers)
    write_answers(out / ANSWERS, answers)
    write_preferences(out / PREFERENCES, preferences)
    return {
        "preferences": _by_group(folder, preferences),
        "answers": {choice: choices[choice] for choice in CHOICES},
        "cannot_judge": choices[CANNOT_JUDGE] / len(answers),
    }


def _by_group(folder: CohortFolder, rows: Iterable[Any]) -> dict[str, int]:
    found = Counter(row.group for row in rows)
    return {g.key: found[g] for g in folder.cohort.schema.groups()}


def _row(comparison: Comparison, out: Path) -> dict[str, str]:
    return {
        "id": comparison.id,
        "group": comparison.group.key,
        "text": comparison.text,
        "left": comparison.left.relative_to(out).as_posix(),
        "right": comparison.right.relative_to(out).as_posix(),
    }


def _write_lines(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_answers(path: Path, answers: Iterable[Answer]) -> None:
    """Write answers as JSON lines, all of them or none.

    Raises:
        StudyError: If the file cannot be written.
    """
    rows = ({k: v for k, v in vars(answer).items() if v} for answer in answers)
    _write_lines(path, rows)


def read_comparisons(out: str | Path, schema: Schema) -> tuple[Comparison, ...]:
    """Return the questions of a review.

    Args:
        out: Folder of the review.
        schema: The groups, as ``manifest.json`` lists them.

    Raises:
        PreferenceError: If the file is missing or a line is wrong.
    """
    out = Path(out)

    def comparison(row: Mapping[str, str]) -> Comparison:
        left, right = (out / inner_path(row[side]) for side in ("left", "right"))
        return Comparison(row["id"], schema.group(row["group"]), row["text"], left, right)

    return _read_lines(out / COMPARISONS, comparison)


def read_answers(out: str | Path) -> tuple[Answer, ...]:
    """Return the answers of a review.

    Raises:
        PreferenceError: If the file is missing or a line is wrong.
    """

    def answer(row: Mapping[str, str]) -> Answer:
        rest = (row.get(field, "") for field in ("rater", "time", "reason"))
        return Answer(row["comparison"], row["choice"], *rest)

    return _read_lines(Path(out) / ANSWERS, answer)


def _read_lines(path: Path, make: Callable[[Mapping[str, str]], T]) -> tuple[T, ...]:
    try:
        rows = read_rows(path)
    except CohortError as error:
        raise PreferenceError(str(error)) from error
    found = []
    for row in rows:
        try:
            found.append(make(row.values))
        except KeyError as error:
            raise PreferenceError(f"{path}: line {row.number}: {error} is missing") from error
        except FairGenError as error:
            raise PreferenceError(f"{path}: line {row.number}: {error}") from error
    return tuple(found)
