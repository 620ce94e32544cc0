"""A finished training's pipeline with weights of one's choice: averaged, or of the last step."""

from pathlib import Path
from typing import Any

import torch

from fairgen.cohort.seed import derive
from fairgen.engine.backbone import load_backbone
from fairgen.engine.checkpoint import Checkpoint, load_checkpoint, shape_misfit
from fairgen.engine.generate import open_generator
from fairgen.engine.prepare import set_prediction, trained_models, trained_parameters
from fairgen.engine.settings import TrainSettings
from fairgen.engine.train import write_weights
from fairgen.errors import CheckpointError, StudyError
from fairgen.files.atomic import fresh_folder, write_json

CHOICES = ("ema", "last")
RECORD = "export.json"


def export_pipeline(model: str | Path, out: str | Path, *, weights: str = "ema") -> Path:
    """Write ``out/pipeline`` (and ``out/lora``) of a finished training.

    Args:
        model: Folder written by ``train``, with the checkpoint of its last step.
        out: Folder to make.
        weights: ``ema``, averaged over the steps, as ``train`` itself writes; or ``last``.

    Returns:
        ``out/pipeline``.

    Raises:
        StudyError: If the choice is unknown, or ``out`` is not empty or cannot be written.
        CheckpointError: If the training has not finished, its last checkpoint is missing or
            damaged, or its base cannot be loaded.
    """
    model, out = Path(model), Path(out)
    if weights not in CHOICES:
        raise StudyError(f"--weights {weights}: unknown; expected one of {', '.join(CHOICES)}")
    manifest = open_generator(model).manifest
    settings = TrainSettings.model_validate(manifest["settings"])
    checkpoint = _last(model, manifest, settings)
    backbone = load_backbone(str(manifest["base"]))
    set_prediction(backbone, settings)
    models = trained_models(backbone, settings, derive(int(manifest["seed"]), "adapters"))
    own, name = dict(trained_parameters(models)), "ema" if weights == "ema" else "model"
    wanted = {str(i): p for i, p in enumerate(own.values())} if weights == "ema" else own
    stored = checkpoint.tensors.get(name, {})
    if reason := shape_misfit(name, stored, wanted):
        raise CheckpointError(f"{model}/checkpoints: the last one does not fit the base: {reason}")
    with torch.no_grad():
        for key, parameter in wanted.items():
            parameter.copy_(stored[key])
    with fresh_folder(out) as partial:
        write_weights(backbone, settings, partial)
        write_json(partial / RECORD, {"weights": weights, "training": manifest["key"]})
    return out / "pipeline"


def _last(model: Path, manifest: dict[str, Any], settings: TrainSettings) -> Checkpoint:
    """Return the checkpoint of the last step.

    Raises:
        CheckpointError: If it is not there.
    """
    found = load_checkpoint(model / "checkpoints", key=str(manifest["key"]))
    if found is None or found.step != settings.steps:
        raise CheckpointError(
            f"{model}/checkpoints: holds no checkpoint of step {settings.steps}, the last; "
            "expected a training with checkpoint_every above zero, its checkpoints kept"
        )
    return found
