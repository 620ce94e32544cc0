"""What a checkpoint keeps of a training, and how the training takes it up again."""

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fairgen.engine.checkpoint import (
    Checkpoint,
    Tensors,
    load_checkpoint,
    save_checkpoint,
    shape_misfit,
)
from fairgen.engine.optimizer import (
    expected_tensors,
    optimizer_tensors,
    restore_optimizer,
)
from fairgen.engine.prepare import trained_parameters
from fairgen.engine.sharding import fill, gathered
from fairgen.engine.training import Training
from fairgen.errors import CheckpointError

logger = logging.getLogger(__name__)


def save(training: Training, folder: Path, key: str, step: int) -> None:
    """Write the checkpoint of a step; every process calls, the main one writes.

    The learning rate and all draws follow from the step, so neither a schedule, nor a place in the
    data, nor the state of a generator is among what is kept.

    Raises:
        StudyError: If it cannot be written; those before it stay.
    """
    averaged = {str(i): p for i, p in enumerate(training.ema.shadow_params)}
    scaler, writes = training.accelerator.scaler, training.accelerator.is_main_process
    values: Mapping[str, Any] = {
        "ema_steps": training.ema.optimization_step,
        "scaler": scaler.state_dict() if scaler is not None else None,
    }
    tensors: dict[str, Tensors] = {
        "optimizer": optimizer_tensors(training.optimizer),  # takes longest
        "model": dict(_named(training)),
        "ema": averaged,
        "adaptive": training.adaptive.tensors(),
    }
    held = {name: gathered(own, keep=writes) for name, own in tensors.items()}
    if writes:
        checkpoint = Checkpoint(step, key, held, values)
        save_checkpoint(folder, checkpoint, keep=training.settings.checkpoints_limit)


def _named(training: Training) -> Iterator[tuple[str, torch.nn.Parameter]]:
    unwrap = training.accelerator.unwrap_model
    return trained_parameters({name: unwrap(m) for name, m in training.models.items()})


def resume(training: Training, folder: Path, key: str) -> int:
    """Take up the newest checkpoint that is whole, and return its step; zero if there is none.

    Raises:
        CheckpointError: If it belongs to other settings, or processes found different ones.
    """
    checkpoint = load_checkpoint(folder, key=key, misfit=partial(_misfit, training))
    step = 0 if checkpoint is None else checkpoint.step
    accelerator = training.accelerator
    steps = set(accelerator.gather(torch.tensor([step], device=accelerator.device)).tolist())
    if len(steps) > 1:
        raise CheckpointError(
            f"{folder}: processes found different checkpoints, from step {min(steps)} to "
            f"{max(steps)}; expected a folder that all of them see"
        )
    if checkpoint is not None:
        _restore(training, checkpoint)
    return step


def _misfit(training: Training, checkpoint: Checkpoint) -> str:
    """Return what of a checkpoint does not fit the training; empty if it can be taken up."""
    if not isinstance(checkpoint.values.get("ema_steps"), int):
        return "state.json: 'ema_steps' is missing or wrong"
    found, own = checkpoint.tensors, dict(_named(training))
    moments, adaptive = found.get("optimizer", {}), found.get("adaptive", {})
    wanted: dict[str, Tensors] = {
        "model": own,
        "ema": {str(i): p for i, p in enumerate(training.ema.shadow_params)},
        "optimizer": expected_tensors([*own.values()], training.settings) if moments else {},
        "adaptive": {k: adaptive.get(k, v) for k, v in training.adaptive.tensors().items()},
    }
    reasons = (shape_misfit(name, found.get(name), tensors) for name, tensors in wanted.items())
    return next(filter(None, reasons), "")


@torch.no_grad()
def _restore(training: Training, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's tensors: what kept them would keep its files from being removed."""
    logger.info("resuming at step %d", checkpoint.step)
    found = checkpoint.tensors
    for name, parameter in _named(training):
        fill(parameter, found["model"][name])
    training.adaptive.restore({k: v.clone() for k, v in found["adaptive"].items()})
    restore_optimizer(training.optimizer, found["optimizer"], training.parameters)
    for i, shadow in enumerate(training.ema.shadow_params):
        fill(shadow, found["ema"][str(i)])
    training.ema.optimization_step = checkpoint.values["ema_steps"]
    scaler, scales = training.accelerator.scaler, checkpoint.values.get("scaler")
    if scaler is not None and scales:
        scaler.load_state_dict(scales)
