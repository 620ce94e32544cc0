"""What is refused before a training begins."""

from importlib.util import find_spec
from pathlib import Path

import torch

from fairgen.engine.settings import TrainSettings
from fairgen.engine.store import HIDDEN
from fairgen.errors import CheckpointError, CohortError, MissingExtra, StudyError
from fairgen.files.folder import CohortFolder

WRITTEN = frozenset(
    {"pipeline", "lora", "log.jsonl", "checkpoints", "grids", "fairgen", "wandb", "mlruns"}
)
"""What a training leaves in its folder before it has finished; three are the trackers'."""


def check_groups(folder: CohortFolder, settings: TrainSettings) -> None:
    """Raise if a group has no training image, unless the settings allow it.

    Raises:
        CohortError: If so, or the cohort is not split.
    """
    counts = folder.cohort.part("train").counts()
    empty = [g.key for g, n in counts.items() if n == 0]
    if empty and settings.empty_groups == "error":
        raise CohortError(
            f"{folder.root}: group '{empty[0]}' has no training image ({len(empty)} such groups); "
            "leave its level out, or train without it by --set empty_groups=allow"
        )


def check_machine(settings: TrainSettings) -> None:
    """Raise unless this machine can do what the settings ask for.

    Raises:
        StudyError: If it lacks the device for the arithmetic, or settings contradict each other.
        MissingExtra: If the tracker is not installed.
    """
    if settings.tracker != "none" and find_spec(settings.tracker) is None:
        raise MissingExtra(
            f"tracker: {settings.tracker} is not installed; expected `pip install "
            f"{settings.tracker}`, or tracker=none"
        )
    if settings.optimizer == "adamw-8bit" and find_spec("bitsandbytes") is None:
        raise MissingExtra(
            "optimizer: adamw-8bit needs bitsandbytes; expected `pip install bitsandbytes`, or "
            "optimizer=adamw"
        )
    if settings.compile and settings.channels_last:
        raise StudyError(
            "compile: gradients are lost where convolutions have their channels last; expected "
            "channels_last=false beside it"
        )
    if settings.lora_rank is not None and settings.train_text_encoder:
        raise StudyError("lora_rank: adapters are the U-Net's; expected train_text_encoder=false")
    if settings.mixed_precision == "fp16" and not torch.cuda.is_available():
        raise StudyError(
            "mixed_precision: fp16 needs a GPU and there is none; expected no, or bf16"
        )


def check_resumable(out: Path) -> None:
    """Raise if a folder holds anything that a training did not write.

    Raises:
        CheckpointError: If so; the message names one such thing.
    """
    if not out.is_dir() or any(out.glob("checkpoints/step-*/state.json")):
        return
    strange = sorted(p.name for p in out.iterdir() if p.name not in WRITTEN)
    strange = [n for n in strange if n != HIDDEN and not n.endswith(".partial")]
    if strange:
        raise CheckpointError(
            f"{out}: exists and is no training (it holds '{strange[0]}'); give another --out"
        )
