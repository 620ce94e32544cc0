"""Fine-tune a base with one method: set up, step, log, save, resume."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel

from fairgen.cohort.resample import RESAMPLERS, repeats
from fairgen.cohort.seed import derive
from fairgen.diffusion.draw import DrawPlan
from fairgen.diffusion.schedule import Schedule
from fairgen.engine.backbone import Backbone, embed, load_backbone, save_pipeline, tokenize
from fairgen.engine.checkpoint import (
    Checkpoint,
    load_checkpoint,
    optimizer_state,
    optimizer_tensors,
    save_checkpoint,
)
from fairgen.engine.checks import check_groups, check_machine, check_resumable
from fairgen.engine.grid import write_grid
from fairgen.engine.latents import encode, image_batches
from fairgen.engine.loop import Captions, Rows, Training, condition_strength, training_steps
from fairgen.engine.progress import progress_bar
from fairgen.engine.settings import TrainSettings
from fairgen.engine.trainlog import TrainLog
from fairgen.errors import CheckpointError, StudyError
from fairgen.files.atomic import write_errors, write_json
from fairgen.files.digest import folder_digest, value_digest
from fairgen.files.folder import CohortFolder, card_of
from fairgen.files.mapping import read_mapping
from fairgen.methods.method import Method
from fairgen.objectives.diversity import other_law

logger = logging.getLogger(__name__)
MANIFEST = "manifest.json"


def train(
    folder: CohortFolder,
    *,
    method: Method,
    base: str | Path,
    out: str | Path,
    settings: TrainSettings,
    seed: int = 0,
) -> Path:
    """Fine-tune a base on the training split and write ``out/pipeline``.

    Repeating the call resumes from the newest checkpoint, or does nothing if it has finished. Runs
    under ``accelerate launch`` on any number of processes.

    Args:
        folder: A split cohort; only its training images are read.
        method: What is drawn and what is minimised.
        base: ``tiny``, a local pipeline folder, or a hub id.
        out: Folder for ``pipeline``, ``log.jsonl``, ``checkpoints``, ``grids``, ``manifest.json``.
        settings: The recipe.
        seed: Seed of every draw.

    Returns:
        ``out``.

    Raises:
        CohortError: If the cohort is not split, a group has no training image, or an image cannot
            be read.
        CheckpointError: If the base cannot be loaded, or ``out`` holds something else.
        StudyError: If a setting does not suit the base or the device, or ``out`` cannot be written.
        MissingExtra: If the tracker is not installed.
    """
    base, out = str(base), Path(out)
    check_machine(settings)
    recipe = describe_training(folder, method=method, base=base, settings=settings, seed=seed)
    if finished(out, str(recipe["key"])):
        logger.info("%s: finished already", out)
        return out
    check_resumable(out)
    began = time.monotonic()
    training = prepare(folder, method=method, base=base, settings=settings, seed=seed, out=out)
    with write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    checkpoint = load_checkpoint(out / "checkpoints", key=str(recipe["key"]))
    log = TrainLog(out / "log.jsonl", training, folder.cohort.schema.groups())
    start = 0
    if checkpoint is not None:
        _restore(training, checkpoint)
        start = checkpoint.step
    log.restore(start)
    _run(training, log, out, str(recipe["key"]), start)
    _finish(training, folder, out, recipe, time.monotonic() - began)
    return out


def describe_training(
    folder: CohortFolder, *, method: Method, base: str, settings: TrainSettings, seed: int
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


def prepare(
    folder: CohortFolder,
    *,
    method: Method,
    base: str,
    settings: TrainSettings,
    seed: int,
    out: Path,
) -> Training:
    """Return everything a training step needs, on its device."""
    train_part = replace(folder, cohort=folder.cohort.part("train"))
    accelerator = Accelerator(
        gradient_accumulation_steps=settings.accumulation,
        mixed_precision=settings.mixed_precision,
        log_with=None if settings.tracker == "none" else settings.tracker,
        project_dir=str(out),
    )
    backbone = load_backbone(base)
    flip = folder.modality.flip if settings.flip is None else settings.flip
    size = _size(settings, backbone)
    tokenize(backbone, [folder.prompts.render(g) for g in folder.cohort.schema.groups()])
    batches = image_batches(train_part, size=size, batch=32)
    cache = encode(backbone, batches, mirror=flip, device=accelerator.device)
    backbone.vae.to("cpu")
    captions = _captions(backbone, folder, accelerator.device)
    models = _trained_models(backbone, settings)
    parameters = [p for m in models.values() for p in m.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    prepared = accelerator.prepare(*models.values(), optimizer)
    ema = EMAModel(parameters, decay=settings.ema_decay)
    ema.to(accelerator.device)
    schedule = Schedule(
        backbone.scheduler.alphas_cumprod, backbone.scheduler.config.prediction_type
    )
    return Training(
        method=method,
        settings=settings,
        accelerator=accelerator,
        backbone=backbone,
        models=dict(zip(models, prepared, strict=False)),
        optimizer=prepared[-1],
        ema=ema,
        schedule=schedule,
        draws=DrawPlan(
            seed=derive(seed, "train"),
            shape=cache.shape,
            horizon=schedule.horizon,
            dropout=settings.caption_dropout,
            flip=flip,
        ),
        rows=_rows(train_part, method),
        cache=cache,
        captions=captions,
    )


def _size(settings: TrainSettings, backbone: Backbone) -> int:
    """Return the side of the training images in pixels.

    Raises:
        StudyError: If latents cannot hold images of that side.
    """
    size = settings.size or backbone.image_size
    if size % backbone.reduction:
        raise StudyError(
            f"size: {size}; the base shrinks images by {backbone.reduction}; expected a multiple "
            "of that"
        )
    return size


def _trained_models(backbone: Backbone, settings: TrainSettings) -> dict[str, Any]:
    models: dict[str, Any] = {"unet": backbone.unet}
    if settings.train_text_encoder:
        models["text_encoder"] = backbone.text_encoder
    for part in (backbone.vae, backbone.text_encoder, backbone.unet):
        part.requires_grad_(any(part is m for m in models.values()))
        part.eval()
    for model in models.values():
        model.train()
    if settings.gradient_checkpointing:
        backbone.unet.enable_gradient_checkpointing()
    return models


def _captions(backbone: Backbone, folder: CohortFolder, device: torch.device) -> Captions:
    groups = folder.cohort.schema.groups()
    prompts = [*(folder.prompts.render(g) for g in groups), ""]
    backbone.text_encoder.to(device)
    table = embed(backbone, prompts).float().cpu()
    return Captions(tuple(prompts[:-1]), tokenize(backbone, prompts), table)


def _rows(folder: CohortFolder, method: Method) -> Rows:
    groups, counts = folder.cohort.schema.groups(), folder.cohort.counts()
    index = {g: i for i, g in enumerate(groups)}
    weights = RESAMPLERS[method.resampler].weights(counts)
    records = folder.cohort.records
    for group, often in repeats(counts, weights).items():
        logger.info(
            "%s: %d images, each drawn %.2f times an epoch", group.key, counts[group], often
        )
    law = "other" if method.diversity is None else method.diversity.law
    return Rows(
        groups=torch.tensor([index[r.group] for r in records]),
        weights=torch.tensor([weights[r.group] for r in records]).float(),
        law=other_law(law, groups, counts),
    )


def _run(training: Training, log: TrainLog, out: Path, key: str, start: int) -> None:
    settings = training.settings
    with progress_bar(f"train {training.method.name}", settings.steps, start) as advance:
        for report in training_steps(training, start):
            done = report.step + 1
            log.add(report)
            last = done == settings.steps
            saves = _due(done, settings.checkpoint_every) and not last
            if last or saves or _due(done, settings.log_every):
                probed = last or _due(done, settings.probe_every)
                strength = condition_strength(training) if probed else None
                log.flush(done, strength)
            if saves and training.accelerator.is_main_process:
                _save(training, out / "checkpoints", key, done)
            if _due(done, settings.grid_every) or last:
                draw_grid(training, out, done)
            advance(1, log.note)


def _due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0


def draw_grid(training: Training, out: Path, step: int) -> None:
    """Write ``out/grids/step-*.png``: a row of images for each group, with averaged weights."""
    settings, accelerator = training.settings, training.accelerator
    if settings.grid_columns == 0 or not accelerator.is_main_process:
        return
    with _averaged(training):
        write_grid(
            out / "grids" / f"step-{step:06d}.png",
            training.backbone,
            training.captions.prompts,
            columns=settings.grid_columns,
            guidance=settings.grid_guidance,
        )


@contextmanager
def _averaged(training: Training) -> Iterator[None]:
    """Put the averaged weights in place for as long as the block lasts."""
    training.ema.store(training.parameters)
    training.ema.copy_to(training.parameters)
    try:
        yield
    finally:
        training.ema.restore(training.parameters)


def _save(training: Training, folder: Path, key: str, step: int) -> None:
    models = {
        f"{name}.{k}": v
        for name, model in training.models.items()
        for k, v in training.accelerator.unwrap_model(model).state_dict().items()
    }
    averaged = {str(i): p for i, p in enumerate(training.ema.shadow_params)}
    scaler = training.accelerator.scaler
    values: Mapping[str, Any] = {
        "ema_steps": training.ema.optimization_step,
        "scaler": scaler.state_dict() if scaler is not None else None,
    }
    tensors = {
        "model": models,
        "ema": averaged,
        "optimizer": optimizer_tensors(training.optimizer.state_dict()["state"]),
    }
    checkpoint = Checkpoint(step, key, tensors, values)
    save_checkpoint(folder, checkpoint, keep=training.settings.checkpoints_limit)


def _restore(training: Training, checkpoint: Checkpoint) -> None:
    logger.info("resuming at step %d", checkpoint.step)
    for name, model in training.models.items():
        own = {
            k.removeprefix(f"{name}."): v
            for k, v in checkpoint.tensors["model"].items()
            if k.startswith(f"{name}.")
        }
        training.accelerator.unwrap_model(model).load_state_dict(own)
    state = training.optimizer.state_dict()
    state["state"] = optimizer_state(checkpoint.tensors["optimizer"])
    training.optimizer.load_state_dict(state)
    averaged = checkpoint.tensors["ema"]
    for i, shadow in enumerate(training.ema.shadow_params):
        shadow.copy_(averaged[str(i)])
    training.ema.optimization_step = checkpoint.values["ema_steps"]
    if training.accelerator.scaler is not None and checkpoint.values["scaler"]:
        training.accelerator.scaler.load_state_dict(checkpoint.values["scaler"])


def _finish(
    training: Training, folder: CohortFolder, out: Path, recipe: Mapping[str, Any], seconds: float
) -> None:
    """Write the pipeline with averaged weights, then the manifest that says it is whole."""
    accelerator = training.accelerator
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        training.ema.copy_to(training.parameters)
        save_pipeline(training.backbone, out / "pipeline")
        manifest = {
            **recipe,
            "preferences": training.method.preferences,
            "global_batch": training.global_batch,
            "draws": training.global_batch * training.settings.steps,
            "source": dict(folder.source),
            "pipeline_digest": folder_digest(out / "pipeline"),
            "seconds_of_last_run": round(seconds, 1),
        }
        write_json(out / MANIFEST, manifest)
    accelerator.end_training()
