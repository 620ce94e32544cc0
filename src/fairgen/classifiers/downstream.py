"""The downstream test: train on the training split, choose on validation, score once on test."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fairgen.classifiers.classifier import Classifier, ClassifySettings
from fairgen.classifiers.members import find_classifier
from fairgen.classifiers.predictions import write_predictions
from fairgen.classifiers.sources import (
    Source,
    lesson,
    samples,
    split_source,
    synthetic_source,
)
from fairgen.errors import StudyError
from fairgen.files.atomic import fresh_folder, write_json, write_text
from fairgen.files.digest import value_digest
from fairgen.files.folder import CohortFolder
from fairgen.files.mapping import read_mapping
from fairgen.files.synthetic import method_of

PREDICTIONS, SETTINGS, LOG, MODEL = "predictions.parquet", "settings.json", "log.jsonl", "model"


def classify(
    folder: CohortFolder,
    *,
    synthetic: CohortFolder | None = None,
    ratio: float | None = None,
    settings: ClassifySettings | None = None,
    out: str | Path,
    seed: int = 0,
) -> Path:
    """Train a classifier, and write what it predicts for validation and test images.

    Args:
        folder: A split cohort.
        synthetic: Generated images to add to the training split.
        ratio: Synthetic images per real training image, spread evenly over groups; unset, all.
        settings: Which classifier and how to train it; unset, the defaults.
        out: Folder to make, with ``predictions.parquet``, ``log.jsonl``, ``settings.json`` and
            ``model``. Repeating the call does nothing.
        seed: Decides initial weights, order, augmentation and choice of synthetic images.

    Returns:
        Path of ``predictions.parquet``.

    Raises:
        CohortError: If the cohort is not split, the synthetic set is not generated or of other
            groups, or an image cannot be read.
        StudyError: If a setting is wrong, synthetic images are missing or too few, or ``out`` holds
            something else.
    """
    out = Path(out)
    classifier, resolved = _resolved(settings or ClassifySettings(), folder)
    train = _training(folder, synthetic, ratio, resolved, seed)
    valid, test = split_source(folder, "valid"), split_source(folder, "test")
    key = value_digest([resolved.model_dump(), seed, [s.digest() for s in (*train, valid, test)]])
    if _done(out, key):
        return out / PREDICTIONS
    size, lines = resolved.size or 0, list[Mapping[str, object]]()
    predictor = classifier.fit(
        lesson(train, valid, size=size), resolved, seed=seed, log=lines.append
    )
    with fresh_folder(out) as partial:
        said = [predictor.probabilities(samples([s], size=size).images) for s in (valid, test)]
        write_predictions(partial / PREDICTIONS, (valid, test), said)
        write_text(partial / LOG, "".join(json.dumps(line) + "\n" for line in lines))
        (partial / MODEL).mkdir()
        predictor.save(partial / MODEL)
        card = _card(classifier, resolved, folder, train)
        method = "real" if synthetic is None else method_of(synthetic)
        about = {"method": method, "key": key, "seed": seed, "ratio": ratio}
        write_json(partial / SETTINGS, card | about)
    return out / PREDICTIONS


def read_settings(folder: Path) -> ClassifySettings:
    """Return how the classifier in a folder was trained.

    Raises:
        StudyError: If the folder holds no classifier.
    """
    path = folder / SETTINGS
    try:
        return ClassifySettings.model_validate(_read(path)["settings"])
    except (KeyError, ValidationError) as error:
        raise StudyError(f"{path}: describes no classifier; expected one of `classify`") from error


def read_method(folder: Path) -> str:
    """Return what the classifier in a folder learned from: ``real``, or a generator's name.

    Raises:
        StudyError: If the folder holds no classifier, or one of an earlier version that does not
            say which generator made its synthetic images.
    """
    path = folder / SETTINGS
    found = _read(path)
    if "method" in found:
        return str(found["method"])
    if found.get("synthetic"):
        raise StudyError(f"{path}: does not name the generator; expected --method NAME")
    return "real"


def read_methods(folders: Sequence[Path]) -> str:
    """Return what the classifiers of several folds learned from, which must be one thing.

    Raises:
        StudyError: If a folder holds no classifier, or they learned from different generators.
    """
    found = {str(folder): read_method(folder) for folder in folders}
    if len(set(found.values())) != 1:
        named = ", ".join(f"{folder}: {name}" for folder, name in found.items())
        raise StudyError(f"classifiers of different generators ({named}); expected one generator")
    return next(iter(found.values()))


def _read(path: Path) -> dict[str, Any]:
    return read_mapping(path, StudyError, "a folder written by `fairgen classify`")


def _resolved(
    settings: ClassifySettings, folder: CohortFolder
) -> tuple[Classifier, ClassifySettings]:
    classifier = find_classifier(settings)
    flip = folder.modality.flip if settings.flip is None else settings.flip
    return classifier, classifier.resolve(settings.model_copy(update={"flip": flip}))


def _training(
    folder: CohortFolder,
    synthetic: CohortFolder | None,
    ratio: float | None,
    settings: ClassifySettings,
    seed: int,
) -> list[Source]:
    real = split_source(folder, "train")
    if synthetic is None:
        if ratio is not None or settings.only_synthetic:
            raise StudyError("classify: a ratio or only_synthetic needs a synthetic set")
        return [real]
    made = synthetic_source(synthetic, folder, ratio=ratio, seed=seed)
    return [made] if settings.only_synthetic else [real, made]


def _done(out: Path, key: str) -> bool:
    """Return whether ``out`` already holds this very result.

    Raises:
        StudyError: If it holds another one.
    """
    if not (out / SETTINGS).is_file():
        return False
    if _read(out / SETTINGS).get("key") != key:
        raise StudyError(
            f"{out}: holds a classifier of other settings or images; expected a new folder"
        )
    return (out / PREDICTIONS).is_file()


def _card(
    classifier: Classifier,
    settings: ClassifySettings,
    folder: CohortFolder,
    train: Sequence[Source],
) -> dict[str, object]:
    """Return what a reader must know about a trained classifier."""
    made = [s for s in train if s.folder is not folder]
    real = [s for s in train if s.folder is folder]
    return {
        "classifier": classifier.name,
        "title": classifier.title,
        "settings": settings.model_dump(mode="json"),
        "real": {key: n for s in real for key, n in s.counts().items()},
        "synthetic": {key: n for s in made for key, n in s.counts().items()},
    }
