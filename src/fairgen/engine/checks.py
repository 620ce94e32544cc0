"""What is refused before a training begins."""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from accelerate.tracking import get_available_trackers
from accelerate.utils import parse_flag_from_env

from fairgen.engine.settings import TrainSettings
from fairgen.engine.store import HIDDEN
from fairgen.engine.tracker import PROJECT, RUN
from fairgen.errors import CheckpointError, CohortError, MissingExtra, StudyError
from fairgen.files.folder import CohortFolder
from fairgen.methods.method import Method

FSDP = {
    "FSDP_VERSION": ("fsdp_version", "2"),
    "FSDP_CPU_RAM_EFFICIENT_LOADING": ("fsdp_cpu_ram_efficient_loading", "false"),
}
DEEPSPEED = {
    "ACCELERATE_DEEPSPEED_CONFIG_FILE": ("deepspeed_config_file", "none"),
    "ACCELERATE_DEEPSPEED_ZERO_STAGE": ("zero_stage", "1 or 2"),
}
"""What must stand in a launcher's file: by the variable that hands it on, its name and value."""
WRITTEN = frozenset(
    {"pipeline", "lora", "log.jsonl", "checkpoints", "grids", RUN, PROJECT, "wandb", "mlruns"}
)
"""What a training leaves in its folder before it has finished; the last are the trackers'."""


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
    if settings.tracker not in {"none", *map(str, get_available_trackers())}:
        raise MissingExtra(
            f"tracker: {settings.tracker} is not installed; expected `pip install "
            f"'fairgen[{settings.tracker}]'`, or tracker=tensorboard or none"
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


def check_sharding(settings: TrainSettings, method: Method) -> None:
    """Raise unless a training can have its state in shards, where the launcher asks for that.

    Raises:
        StudyError: If it cannot, or the launcher's file asks for what would go wrong unseen.
    """
    fsdp, deepspeed = (parse_flag_from_env(f"ACCELERATE_USE_{n}") for n in ("FSDP", "DEEPSPEED"))
    if not fsdp and not deepspeed:
        return
    by = "FSDP" if fsdp else "DeepSpeed"
    wrong = _misset(FSDP if fsdp else DEEPSPEED)
    if wrong:
        raise StudyError(f"{by}: {wrong} in the file given to accelerate launch")
    safeguard = method.alignment is not None and method.alignment.safeguard
    refused = {
        "lora_rank": (
            settings.lora_rank is not None,
            "unset; adapters are small, see ddp_gpu.yaml",
        ),
        "train_text_encoder": (settings.train_text_encoder, "false, since one network is sharded"),
        "optimizer": (settings.optimizer == "adamw-8bit", "adamw"),
        "channels_last": (settings.channels_last, "false"),
        "compile": (settings.compile, "false"),
        "method.alignment.safeguard": (safeguard, "false, since it needs whole gradients"),
        "mixed_precision": (deepspeed and settings.mixed_precision != "no", "no, or FSDP"),
        "checkpoint_every": (deepspeed and settings.checkpoint_every > 0, "0, or FSDP"),
    }
    for name, (found, expected) in refused.items():
        if found:
            raise StudyError(f"{name}: does not go with {by}; expected {expected}")


def _misset(expected: Mapping[str, tuple[str, str]]) -> str:
    """Return what the launcher handed on that differs from what is expected; empty if nothing."""
    for variable, (setting, value) in expected.items():
        found = os.environ.get(variable, "none").lower()
        if found not in value.split(" or "):
            return f"{setting} is {found}; expected {value}"
    return ""


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
