"""A whole study: every stage in order, each done once."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fairgen.classifiers import ClassifySettings, classify
from fairgen.cohort.seed import derive
from fairgen.engine.checks import check_groups
from fairgen.engine.features import train_extractor
from fairgen.engine.generate import generate, open_generator, planned
from fairgen.engine.tiny import make_tiny
from fairgen.engine.train import train
from fairgen.errors import StudyError
from fairgen.files.atomic import write_json
from fairgen.files.facts import audit_folder
from fairgen.files.folder import CohortFolder, read_cohort
from fairgen.methods.method import find_method
from fairgen.report import write_report
from fairgen.study.anatomy import ANATOMY, oracle_of, write_reference, write_synthetic
from fairgen.study.config import Study
from fairgen.study.data import data_inputs, make_cohort
from fairgen.study.guidance import choose_guidance
from fairgen.study.preflight import check_study, difference
from fairgen.study.scores import autoencoder_floor, classifier_folder, score_run, write_rows
from fairgen.study.stages import STUDY, Stages, open_stages

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """Holds a study, or one fold of it, where it lies, and the record of its stages.

    Attributes:
        study: What to do.
        out: The run folder.
        stages: Which of its stages are done.
        place: Where in the run folder this part lies: empty, or such as ``fold0/``.
    """

    study: Study
    out: Path
    stages: Stages
    place: str = ""

    @property
    def root(self) -> Path:
        """Return the folder of this part."""
        return self.out / self.place

    @property
    def base(self) -> str:
        """Return the base that is fine-tuned: the study's own, or the tiny one of the run."""
        return self.study.base.path or str(self.root / "base")

    def cohort(self) -> CohortFolder:
        """Return the run's cohort."""
        return read_cohort(self.root / "cohort")

    def make(self, name: str, inputs: Any, make: Callable[[Path], object]) -> str:  # noqa: ANN401
        """Run a stage of this part; see ``Stages.make``."""
        return self.stages.make(f"{self.place}{name}", inputs, make)


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
    stages = open_stages(out, {"study": study.name, "preferences": "none"})
    _refuse_another(study, stages, overwrite=overwrite)
    write_json(out / STUDY, json.loads(study.model_dump_json()))
    parts = [Run(part, out, stages, place) for place, part in folds(study)]
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


def _run_part(run: Run) -> list[str]:
    """Make everything that the scores of one part rest on, and return its keys."""
    study = run.study
    cohort = run.make("cohort", data_inputs(study), lambda path: make_cohort(study, path))
    run.make("audit.json", cohort, lambda path: _audit(run, path))
    check_groups(run.cohort(), study.train)
    shared = [cohort, _make_base(run, cohort)]
    extractor = run.make(
        "extractor",
        [cohort, study.extractor.model_dump()],
        lambda path: train_extractor(run.cohort(), study.extractor, out=path),
    )
    keys = [extractor, *_measure_reference(run, shared)]
    for seed in study.seeds:
        keys += _classify(run, seed, "real", [cohort])
        for method in study.methods:
            made = _synthesise(run, seed, method, [*shared, extractor])
            keys += [made, *_measure(run, seed, method, made)]
            keys += _classify(run, seed, method, [cohort, made])
    return keys


def _audit(run: Run, path: Path) -> None:
    write_json(path, audit_folder(run.root / "cohort").as_dict())


def _make_base(run: Run, cohort: str) -> Any:  # noqa: ANN401 - JSON
    """Make the tiny base, unless the study names another, and return what it depends on."""
    settings = run.study.base
    if settings.path is not None:
        return settings.path
    return run.make(
        "base",
        [cohort, settings.tiny.model_dump()],
        lambda path: make_tiny(run.cohort(), out=path, settings=settings.tiny),
    )


def _measure_reference(run: Run, inputs: list[Any]) -> list[str]:
    """Measure the anatomy of freshly drawn phantoms, if the study is about a phantom."""
    phantom, data = oracle_of(run.study), run.study.data.phantom
    if phantom is None or data is None:
        return []
    plan, reference = run.study.generate, run.study.score.anatomy_reference
    counts = (reference, plan.per_group if plan.plan == "balanced" else reference)

    def make(path: Path) -> None:
        through = autoencoder_floor(run.base, run.cohort())
        write_reference(path, phantom, size=data.size, counts=counts, roundtrip=through)

    return [run.make(ANATOMY, [inputs, counts, data.size], make)]


def _measure(run: Run, seed: int, method: str, made: str) -> list[str]:
    """Measure the anatomy of a generated set, if the study is about a phantom."""
    phantom, place = oracle_of(run.study), f"seed{seed}/{method}"
    if phantom is None:
        return []
    folder = run.root / place / "synthetic"
    return [
        run.make(
            f"{place}/{ANATOMY}",
            made,
            lambda path: write_synthetic(path, phantom, read_cohort(folder)),
        )
    ]


def _synthesise(run: Run, seed: int, method: str, inputs: list[Any]) -> str:
    """Train one method and draw its synthetic set, with the guidance that validation chose."""
    study, place = run.study, f"seed{seed}/{method}"
    recipe = find_method(method)
    trained = run.make(
        f"{place}/model",
        [inputs, recipe.as_dict(), study.train.model_dump(), seed],
        lambda path: train(
            run.cohort(),
            method=recipe,
            base=run.base,
            out=path,
            settings=study.train,
            seed=derive(seed, "training"),
        ),
    )
    model = run.root / place / "model"
    chosen = run.make(
        f"{place}/guidance.json",
        [trained, study.generate.model_dump()],
        lambda path: write_json(
            path,
            choose_guidance(
                run.cohort(), model, study.generate, extractor=run.root / "extractor", seed=seed
            ),
        ),
    )
    return run.make(
        f"{place}/synthetic", [chosen, seed], lambda path: _generate(run, seed, model, path)
    )


def _generate(run: Run, seed: int, model: Path, out: Path) -> None:
    guidance = json.loads((model.parent / "guidance.json").read_text())["guidance"]
    settings = run.study.generate.sample.model_copy(update={"guidance": guidance})
    generator, fill = open_generator(model), run.study.generate.plan == "fill"
    per_group = None if fill else run.study.generate.per_group
    plan = planned(generator, "fill" if fill else None, per_group, derive(seed, "images"))
    generate(generator, plan, out=out, settings=settings)


def _classify(run: Run, seed: int, method: str, inputs: list[Any]) -> list[str]:
    """Train each classifier with and without reweighting, on real or real and synthetic images."""
    settings, keys = run.study.downstream, []
    recipe = settings.model_dump(exclude={"classifiers", "reweight"})
    for name in settings.classifiers:
        for reweight in settings.reweight:
            place = f"seed{seed}/{method}/{classifier_folder(name, reweight=reweight)}"
            own = settings.settings.model_copy(update={"classifier": name, "reweight": reweight})
            fit = partial(_fit, run, seed, method, own)
            keys.append(run.make(place, [inputs, recipe, seed], fit))
    return keys


def _fit(run: Run, seed: int, method: str, settings: ClassifySettings, out: Path) -> None:
    synthetic = None
    if method != "real":
        synthetic = read_cohort(run.root / f"seed{seed}" / method / "synthetic")
    classify(
        run.cohort(),
        synthetic=synthetic,
        ratio=run.study.downstream.ratio,
        settings=settings,
        out=out,
        seed=derive(seed, "classify"),
    )
