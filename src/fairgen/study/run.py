"""A whole study: every stage in order, each done once."""

import json
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fairgen.classifiers import ClassifySettings, classify
from fairgen.cohort.seed import derive
from fairgen.engine.features import train_extractor
from fairgen.engine.generate import generate, open_generator, planned
from fairgen.engine.tiny import make_tiny
from fairgen.engine.train import train
from fairgen.files.atomic import write_json
from fairgen.files.facts import audit_folder
from fairgen.files.folder import CohortFolder, read_cohort
from fairgen.methods.method import find_method
from fairgen.report import write_report
from fairgen.study.config import Study
from fairgen.study.data import data_inputs, make_cohort
from fairgen.study.guidance import choose_guidance
from fairgen.study.scores import classifier_folder, score_run, write_rows
from fairgen.study.stages import Stages, open_stages

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """Holds a study, its folder and the record of its stages."""

    study: Study
    root: Path
    stages: Stages

    @property
    def base(self) -> str:
        """Return the base that is fine-tuned: the study's own, or the tiny one of the run."""
        return self.study.base.path or str(self.root / "base")

    def cohort(self) -> CohortFolder:
        """Return the run's cohort."""
        return read_cohort(self.root / "cohort")


def run_study(study: Study, out: Path) -> Path:
    """Run a study from its data to its report; repeating the call resumes or does nothing.

    Args:
        study: What to do.
        out: Run folder.

    Returns:
        Path of the report.

    Raises:
        FairGenError: If any stage cannot be done; what earlier stages made stays.
    """
    inputs = data_inputs(study)
    stages = open_stages(out, {"study": study.name, "preferences": "none"})
    write_json(out / "study.json", json.loads(study.model_dump_json()))
    run = Run(study, out, stages)
    cohort = stages.make("cohort", inputs, lambda path: make_cohort(study, path))
    stages.make("audit.json", cohort, lambda path: _audit(run, path))
    shared = [cohort, _make_base(run, cohort)]
    extractor = stages.make(
        "extractor",
        [cohort, study.extractor.model_dump()],
        lambda path: train_extractor(run.cohort(), study.extractor, out=path),
    )
    keys = [extractor]
    for seed in study.seeds:
        keys += _classify(run, seed, "real", [cohort])
        for method in study.methods:
            made = _synthesise(run, seed, method, [*shared, extractor])
            keys += [made, *_classify(run, seed, method, [cohort, made])]
    scores = stages.make(
        "scores.jsonl",
        [keys, study.score.model_dump()],
        lambda path: write_rows(path, score_run(study, out, run.base)),
    )
    stages.make("report", [scores, study.about], lambda _: write_report(out))
    return out / "report" / "index.html"


def _audit(run: Run, path: Path) -> None:
    write_json(path, audit_folder(run.root / "cohort").as_dict())


def _make_base(run: Run, cohort: str) -> Any:  # noqa: ANN401 - JSON
    """Make the tiny base, unless the study names another, and return what it depends on."""
    settings = run.study.base
    if settings.path is not None:
        return settings.path
    return run.stages.make(
        "base",
        [cohort, settings.tiny.model_dump()],
        lambda path: make_tiny(run.cohort(), out=path, settings=settings.tiny),
    )


def _synthesise(run: Run, seed: int, method: str, inputs: list[Any]) -> str:
    """Train one method and draw its synthetic set, with the guidance that validation chose."""
    study, stages, place = run.study, run.stages, f"seed{seed}/{method}"
    recipe = find_method(method)
    trained = stages.make(
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
    chosen = stages.make(
        f"{place}/guidance.json",
        [trained, study.generate.model_dump()],
        lambda path: write_json(
            path,
            choose_guidance(
                run.cohort(), model, study.generate, extractor=run.root / "extractor", seed=seed
            ),
        ),
    )
    return stages.make(
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
            keys.append(run.stages.make(place, [inputs, recipe, seed], fit))
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
