"""Fine-tune a base with one method: set up, step, log, save, resume."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from fairgen.cohort.seed import derive
from fairgen.engine.backbone import Backbone, save_pipeline
from fairgen.engine.checkpoint import tensor_errors
from fairgen.engine.checks import (
    check_groups,
    check_machine,
    check_resumable,
    check_sharding,
)
from fairgen.engine.grid import write_grid
from fairgen.engine.interrupt import Stop, terminations
from fairgen.engine.loop import StepReport, training_steps
from fairgen.engine.lora import merge_adapters, save_adapters
from fairgen.engine.pairs import (
    Feedback,
    check_feedback,
    describe_feedback,
)
from fairgen.engine.prepare import prepare
from fairgen.engine.probes import calibrated, condition_strength, probe_pairs
from fairgen.engine.processes import let_go
from fairgen.engine.resume import resume, save
from fairgen.engine.settings import TrainSettings
from fairgen.engine.sharding import is_deepspeed, is_sharded, whole_backbone
from fairgen.engine.tracker import tracking
from fairgen.engine.training import Training
from fairgen.engine.trainlog import TrainLog
from fairgen.errors import CheckpointError, Stopped
from fairgen.files.atomic import write_errors, write_json
from fairgen.files.digest import folder_digest, value_digest
from fairgen.files.folder import CohortFolder, card_of
from fairgen.files.mapping import read_mapping
from fairgen.files.progress import progress_bar
from fairgen.methods.method import Method

logger = logging.getLogger(__name__)
MANIFEST = "manifest.json"


def train(  # noqa: PLR0913 - what a training is made of
    folder: CohortFolder,
    *,
    method: Method,
    base: str | Path,
    out: str | Path,
    settings: TrainSettings,
    feedback: Feedback | None = None,
    seed: int = 0,
) -> Path:
    """Fine-tune a base on the training split and write ``out/pipeline``.

    Repeating the call resumes from the newest checkpoint, or does nothing if it has finished. Runs
    under ``accelerate launch`` on any number of processes. Once the steps have begun, SIGTERM is
    heard: after the step in hand (with several processes, at the next multiple of ten) a checkpoint
    is saved, whatever ``checkpoint_every`` is; after the last step the training finishes first.
    Under DeepSpeed, of which no checkpoint is kept, SIGTERM ends the processes at once.

    Args:
        folder: A split cohort; only its training images are read.
        method: What is drawn and what is minimised.
        base: ``tiny``, a local pipeline folder, or a hub id.
        out: Folder for ``pipeline``, ``log.jsonl``, ``checkpoints``, ``grids``, ``manifest.json``.
        settings: The recipe.
        feedback: What raters said; without it, the method's preference terms are left out.
        seed: Seed of every draw.

    Returns:
        ``out``.

    Raises:
        CohortError: If the cohort is not split, a group has no training image, or an image cannot
            be read.
        CheckpointError: If the base cannot be loaded, or ``out`` holds something else.
        PreferenceError: If the preference file is wrong.
        StudyError: If a setting does not suit the base, the device or the preferences, or ``out``
            cannot be written, as on a full disk; the last checkpoint then stays.
        MissingExtra: If the tracker is not installed.
        Stopped: If SIGTERM came.
    """
    base, out = str(base), Path(out)
    check_machine(settings)
    method = check_feedback(method, feedback)
    check_sharding(settings, method)
    recipe = describe_training(
        folder, method=method, base=base, settings=settings, feedback=feedback, seed=seed
    )
    if finished(out, str(recipe["key"])):
        logger.info("%s: finished already", out)
        return out
    check_resumable(out)
    began = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        training = prepare(
            folder,
            method=method,
            base=base,
            settings=settings,
            feedback=feedback,
            seed=seed,
            out=out,
        )
        _seed(training, -1)
        training = calibrated(training)
        with write_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        start = resume(training, out / "checkpoints", str(recipe["key"]))
        savable = not is_deepspeed(training.accelerator)
        with tracking(training, out, recipe) as known:
            log = TrainLog(out / "log.jsonl", training, folder.cohort.schema.groups())
            log.restore(start, reported=known)
            with terminations() if savable else nullcontext(Stop()) as stop:
                _run(training, log, out, str(recipe["key"]), start, stop)
                _finish(training, folder, out, recipe, time.monotonic() - began)
    if stop.asked:
        raise _stopped(out, settings.steps)
    return out


def describe_training(
    folder: CohortFolder,
    *,
    method: Method,
    base: str,
    settings: TrainSettings,
    feedback: Feedback | None = None,
    seed: int,
) -> dict[str, Any]:
    """Return what makes this training what it is, and the digest of all of it."""
    check_groups(folder, settings)
    part = folder.cohort.part("train")
    counts = part.counts()
    recipe: dict[str, Any] = {
        "method": method.as_dict(),
        "settings": settings.model_dump(),
        "seed": seed,
        "base": base,
        "base_digest": folder_digest(Path(base)) if Path(base).is_dir() else base,
        "cohort": card_of(folder, layout="flat").model_dump(mode="json"),
        "counts": {g.key: n for g, n in counts.items()},
        "images": value_digest([[r.image, r.group.key, r.subject] for r in part.records]),
        **describe_feedback(folder, method, feedback),
    }
    return {**recipe, "key": value_digest(recipe)}


def finished(out: Path, key: str) -> bool:
    """Return whether ``out`` holds the finished training of this key.

    Raises:
        CheckpointError: If it holds another training.
    """
    if not (out / MANIFEST).is_file():
        return False
    found = read_mapping(out / MANIFEST, CheckpointError, "that of a training, or another --out")
    if found.get("key") != key:
        raise CheckpointError(
            f"{out}: holds a model trained with other settings, data or base; "
            "give another --out, or remove the folder to train anew"
        )
    return True


def _run(training: Training, log: TrainLog, out: Path, key: str, start: int, stop: Stop) -> None:
    settings, accelerator = training.settings, training.accelerator
    with progress_bar(f"train {training.method.name}", settings.steps, start) as advance:
        for report in _steps(training, start):
            done = report.step + 1
            log.add(report)
            last = done == settings.steps
            stops = not last and stop.agreed(accelerator, done)
            saves = stops or (
                settings.checkpoint_every > 0 and (last or _due(done, settings.checkpoint_every))
            )
            if last or saves or _due(done, settings.log_every):
                probed = settings.probe_every > 0 and (last or done % settings.probe_every == 0)
                with write_errors(out):
                    log.flush(done, _probe(training) if probed else {})
            if _due(done, settings.grid_every) or last:
                draw_grid(training, out, done)
            if saves:
                save(training, out / "checkpoints", key, done)
            advance(1, log.note)
            if stops:
                accelerator.wait_for_everyone()  # the first to leave would end the one that saves
                _end(training, out)
                raise _stopped(out, done)


def _steps(training: Training, start: int) -> Iterator[StepReport]:
    """Yield each step's report; what networks draw by themselves follows from the step too."""
    reports = training_steps(training, start)
    for step in range(start, training.settings.steps):
        _seed(training, step)
        yield next(reports)


def _seed(training: Training, step: int) -> None:
    """Seed what does not ask for a seed, such as dropout in a base that has some."""
    process = training.accelerator.process_index
    torch.manual_seed(derive(training.draws.seed, "train/networks", step, process))


def _stopped(out: Path, done: int) -> Stopped:
    return Stopped(f"{out}: stopped by SIGTERM at step {done}; repeat the command to go on")


def _probe(training: Training) -> dict[str, dict[str, float]]:
    """Return what is measured now and then, on fixed images and noise."""
    found = {"condition_strength": condition_strength(training)}
    if training.bank is not None:
        found["preference_probe"] = probe_pairs(training)
    return found


def _due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0


def draw_grid(training: Training, out: Path, step: int) -> None:
    """Write ``out/grids/step-*.png``: a row of images for each group, with averaged weights."""
    settings, accelerator = training.settings, training.accelerator
    draws = accelerator.is_main_process
    if settings.grid_columns == 0 or not (draws or is_sharded(accelerator)):
        return
    with _averaged(training) as backbone:
        if draws:
            backbone.unet.to(accelerator.device)
            write_grid(
                out / "grids" / f"step-{step:06d}.png",
                backbone,
                training.captions.prompts,
                columns=settings.grid_columns,
                guidance=settings.grid_guidance,
            )


@contextmanager
def _averaged(training: Training) -> Iterator[Backbone]:
    """Put the averaged weights in place for as long as the block lasts; yield the whole model."""
    training.ema.store(training.parameters)
    training.ema.copy_to(training.parameters)
    try:
        yield whole_backbone(training.backbone, training.accelerator)
    finally:
        training.ema.restore(training.parameters)


def _finish(
    training: Training, folder: CohortFolder, out: Path, recipe: Mapping[str, Any], seconds: float
) -> None:
    """Write the pipeline with averaged weights, then the manifest that says it is whole."""
    accelerator = training.accelerator
    accelerator.wait_for_everyone()
    training.ema.copy_to(training.parameters)
    backbone = whole_backbone(training.backbone, accelerator)
    if accelerator.is_main_process:
        write_weights(backbone, training.settings, out)
        manifest = {
            **recipe,
            "processes": accelerator.num_processes,
            "sharded": is_sharded(accelerator),
            "global_batch": training.global_batch,
            "draws": training.global_batch * training.settings.steps,
            "error_weight": None if training.bank is None else training.bank.error_weight,
            "source": dict(folder.source),
            "pipeline_digest": folder_digest(out / "pipeline"),
            "seconds_of_last_run": round(seconds, 1),
        }
        write_json(out / MANIFEST, manifest)
    _end(training, out)


def _end(training: Training, out: Path) -> None:
    """Let the trackers write what they hold, and leave the other processes."""
    let_go()
    with write_errors(out):
        training.accelerator.end_training()


def write_weights(backbone: Backbone, settings: TrainSettings, out: Path) -> None:
    """Write ``out/pipeline``, and ``out/lora`` where adapters were trained; they are merged."""
    if settings.lora_rank is not None:
        with tensor_errors(out / "lora"):
            save_adapters(backbone.unet, out / "lora")
        merge_adapters(backbone.unet)
    save_pipeline(backbone, out / "pipeline")
