"""A whole study: every stage in order, each done once."""

import json
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from fairgen.classifiers import ClassifySettings, classify
from fairgen.cohort.seed import derive
from fairgen.engine.features import train_extractor
from fairgen.engine.generate import generate, open_generator, planned
from fairgen.engine.tiny import make_tiny
from fairgen.engine.train import train
from fairgen.errors import StudyError
from fairgen.files.atomic import write_json
from fairgen.files.facts import audit_folder
from fairgen.files.folder import read_cohort
from fairgen.report import write_report
from fairgen.study.anatomy import ANATOMY, oracle_of, write_reference, write_synthetic
from fairgen.study.arms import Recipe
from fairgen.study.config import Study
from fairgen.study.data import data_inputs, make_cohort
from fairgen.study.feedback import Told, gather
from fairgen.study.guidance import choose_guidance
from fairgen.study.part import Part
from fairgen.study.preflight import check_cohort, check_study, difference
from fairgen.study.scores import autoencoder_floor, classifier_folder, score_run, write_rows
from fairgen.study.stages import STUDY, Stages, open_stages

logger = logging.getLogger(__name__)


def run_study(study: Study, out: str | Path, *, overwrite: bool = False) -> Path:
    """Run a study from its data to its report; repeating the call resumes or does nothing.

    With ``split.folds`` every fold is a study of its own; the classifiers' predictions are pooled
    and the figures of images averaged.

    Args:
        study: What to do.
        out: Run folder.
        overwrite: Remove what another study, or other data, left in the run folder.

    Returns:
        Path of the report.

    Raises:
        StudyError: If the run folder holds another study, or one of other data or another split.
        FairGenError: If any stage cannot be done; what earlier stages made stays.
    """
    out = Path(out)
    check_study(study)  # what is missing is told before anything is written
    notes = {"study": study.name, "preferences": study.preferences.source}
    stages = open_stages(out, notes)
    _refuse_another(study, stages, overwrite=overwrite)
    write_json(out / STUDY, json.loads(study.model_dump_json()))
    parts = [Part(own, out, stages, place) for place, own in folds(study)]
    keys = [key for part in parts for key in _run_part(part)]
    scores = stages.make(
        "scores.jsonl",
        [keys, study.score.model_dump()],
        lambda path: write_rows(path, score_run(study, [(p.root, p.base) for p in parts])),
    )
    stages.make("report", [scores, study.about], lambda _: write_report(out))
    return out / "report" / "index.html"


def _refuse_another(study: Study, stages: Stages, *, overwrite: bool) -> None:
    """Raise if the run folder holds another study or other data, or make room for this one.

    Raises:
        StudyError: If so; the message says what differs.
    """
    found = difference(stages, folds(study))
    if found and not overwrite:
        raise StudyError(
            f"{stages.root}: holds another study ({found}); give another --out, or --overwrite "
            "to remove what is there"
        )
    if found:
        logger.warning("%s: another study is removed (%s)", stages.root, found)
        stages.clear()


def folds(study: Study) -> list[tuple[str, Study]]:
    """Return the place and the study of every fold; one nameless place where there are none."""
    if not study.split.folds:
        return [("", study)]
    return [
        (
            f"fold{fold}/",
            study.model_copy(update={"split": study.split.model_copy(update={"fold": fold})}),
        )
        for fold in range(study.split.folds)
    ]


def _run_part(part: Part) -> list[str]:
    """Make everything that the scores of one part rest on, and return its keys."""
    study = part.study
    cohort = part.make("cohort", data_inputs(study), lambda path: make_cohort(study, path))
    part.make("audit.json", cohort, lambda path: _audit(part, path))
    check_cohort(study, part.cohort())
    shared = [cohort, _make_base(part, cohort)]
    extractor = part.make(
        "extractor",
        [cohort, study.extractor.model_dump()],
        lambda path: train_extractor(part.cohort(), study.extractor, out=path),
    )
    keys = [extractor, *_measure_reference(part, shared)]
    for seed in study.seeds:
        keys += _classify(part, seed, "real", [cohort])
        for method, model in _models(part, seed, shared, extractor):
            if method in study.methods:
                made = _synthesise(part, seed, method, [model, extractor])
                keys += [made, *_measure(part, seed, method, made)]
                keys += _classify(part, seed, method, [cohort, made])
    return keys


def _audit(part: Part, path: Path) -> None:
    write_json(path, audit_folder(part.root / "cohort").as_dict())


def _make_base(part: Part, cohort: str) -> Any:  # noqa: ANN401 - JSON
    """Make the tiny base, unless the study names another, and return what it depends on."""
    settings = part.study.base
    if settings.path is not None:
        return settings.path
    return part.make(
        "base",
        [cohort, settings.tiny.model_dump()],
        lambda path: make_tiny(part.cohort(), out=path, settings=settings.tiny),
    )


def _measure_reference(part: Part, inputs: list[Any]) -> list[str]:
    """Measure the anatomy of freshly drawn phantoms, if the study is about a phantom."""
    phantom, data = oracle_of(part.study), part.study.data.phantom
    if phantom is None or data is None:
        return []
    plan, reference = part.study.generate, part.study.score.anatomy_reference
    counts = (reference, plan.per_group if plan.plan == "balanced" else reference)

    def make(path: Path) -> None:
        through = autoencoder_floor(part.base, part.cohort())
        write_reference(path, phantom, size=data.size, counts=counts, roundtrip=through)

    return [part.make(ANATOMY, [inputs, counts, data.size], make)]


def _measure(part: Part, seed: int, method: str, made: str) -> list[str]:
    """Measure the anatomy of a generated set, if the study is about a phantom."""
    phantom, place = oracle_of(part.study), f"seed{seed}/{method}"
    if phantom is None:
        return []
    folder = part.root / place / "synthetic"
    return [
        part.make(
            f"{place}/{ANATOMY}",
            made,
            lambda path: write_synthetic(path, phantom, read_cohort(folder)),
        )
    ]


def _models(part: Part, seed: int, shared: list[Any], extractor: str) -> Iterator[tuple[str, str]]:
    """Train every recipe of the study under one seed, and yield names and keys of the models."""
    recipes, keys = part.study.recipes(), dict[str, str]()
    if part.study.preferences.drawn:
        keys["sd"] = _train(part, seed, recipes["sd"], shared, None)
    told = gather(part, seed, shared, {"extractor": extractor, **keys})
    for name, recipe in recipes.items():
        if name not in keys:
            inputs = shared if recipe.after is None else [*shared, keys[recipe.after]]
            keys[name] = _train(part, seed, recipe, inputs, told)
        yield name, keys[name]


def _train(part: Part, seed: int, recipe: Recipe, inputs: list[Any], told: Told | None) -> str:
    """Train one recipe from the base, or from the finished model that it comes after."""
    said = [] if told is None else told.inputs(recipe)
    return part.make(
        f"seed{seed}/{recipe.name}/model",
        [inputs, recipe.method.as_dict(), recipe.train.model_dump(), said, seed],
        lambda path: train(
            part.cohort(),
            method=recipe.method,
            base=_start(part, seed, recipe),
            out=path,
            settings=recipe.train,
            feedback=None if told is None else told.feedback(recipe),
            seed=derive(seed, "training"),
        ),
    )


def _start(part: Part, seed: int, recipe: Recipe) -> str:
    """Return the pipeline that a training begins from."""
    if recipe.after is None:
        return part.base
    return str(part.root / f"seed{seed}" / recipe.after / "model" / "pipeline")


def _synthesise(part: Part, seed: int, method: str, inputs: list[str]) -> str:
    """Draw a method's synthetic set, with the guidance that validation chose."""
    study, place = part.study, f"seed{seed}/{method}"
    model, extractor = part.root / place / "model", part.root / "extractor"
    chosen = part.make(
        f"{place}/guidance.json",
        [inputs, study.generate.model_dump()],
        lambda path: write_json(
            path,
            choose_guidance(part.cohort(), model, study.generate, extractor=extractor, seed=seed),
        ),
    )
    return part.make(
        f"{place}/synthetic", [chosen, seed], lambda path: _generate(part, seed, model, path)
    )


def _generate(part: Part, seed: int, model: Path, out: Path) -> None:
    guidance = json.loads((model.parent / "guidance.json").read_text())["guidance"]
    settings = part.study.generate.sample.model_copy(update={"guidance": guidance})
    generator, fill = open_generator(model), part.study.generate.plan == "fill"
    per_group = None if fill else part.study.generate.per_group
    plan = planned(generator, "fill" if fill else None, per_group, derive(seed, "images"))
    generate(generator, plan, out=out, settings=settings)


def _classify(part: Part, seed: int, method: str, inputs: list[Any]) -> list[str]:
    """Train each classifier with and without reweighting, on real or real and synthetic images."""
    settings, keys = part.study.downstream, []
    recipe = settings.model_dump(exclude={"classifiers", "reweight"})
    for name in settings.classifiers:
        for reweight in settings.reweight:
            place = f"seed{seed}/{method}/{classifier_folder(name, reweight=reweight)}"
            own = settings.settings.model_copy(update={"classifier": name, "reweight": reweight})
            fit = partial(_fit, part, seed, method, own)
            keys.append(part.make(place, [inputs, recipe, seed], fit))
    return keys


def _fit(part: Part, seed: int, method: str, settings: ClassifySettings, out: Path) -> None:
    synthetic = None
    if method != "real":
        synthetic = read_cohort(part.root / f"seed{seed}" / method / "synthetic")
    classify(
        part.cohort(),
        synthetic=synthetic,
        ratio=part.study.downstream.ratio,
        settings=settings,
        out=out,
        seed=derive(seed, "classify"),
    )
