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
    optimizer_state,
    optimizer_tensors,
    save_checkpoint,
    shape_misfit,
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
        "optimizer": optimizer_tensors(training.optimizer.state_dict()["state"]),  # takes longest
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
        "optimizer": moments,
        "adaptive": {k: adaptive.get(k, v) for k, v in training.adaptive.tensors().items()},
    }
    if any(name.endswith(".exp_avg") for name in moments):  # AdamW's; it has none before it steps
        wanted["optimizer"] = {
            f"{i}.{name}": torch.zeros(()) if name == "step" else p
            for i, p in enumerate(own.values())
            for name in ("exp_avg", "exp_avg_sq", "step")
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
    state, parameters = training.optimizer.state_dict(), training.parameters
    state["state"] = {
        index: {name: _laid_out(value, parameters[index]) for name, value in own.items()}
        for index, own in optimizer_state(found["optimizer"]).items()
    }
    training.optimizer.load_state_dict(state)
    for i, shadow in enumerate(training.ema.shadow_params):
        fill(shadow, found["ema"][str(i)])
    training.ema.optimization_step = checkpoint.values["ema_steps"]
    scaler, scales = training.accelerator.scaler, checkpoint.values.get("scaler")
    if scaler is not None and scales:
        scaler.load_state_dict(scales)


def _laid_out(value: torch.Tensor, parameter: torch.nn.Parameter) -> torch.Tensor:
    """Return a copy of a moment, laid out in memory as its weight: the fused step relies on it."""
    if value.shape != parameter.shape:
        return value.clone()
    moment = torch.empty_like(parameter, dtype=value.dtype)
    fill(moment, value)
    return moment
