"""Low-rank adapters of the U-Net, through PEFT: added, saved, merged."""

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from fairgen.engine.settings import TrainSettings
from fairgen.errors import StudyError

Unet = Any  # of diffusers


def add_adapters(unet: Unet, settings: TrainSettings, seed: int) -> None:
    """Freeze a U-Net and add adapters, which change nothing until they are trained.

    Args:
        unet: The network.
        settings: Rank, scale and the layers that get adapters.
        seed: Seed of their first weights.

    Raises:
        StudyError: If no layer has one of the names.
    """
    unet.requires_grad_(False)
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha or settings.lora_rank,
        init_lora_weights="gaussian",
        target_modules=list(settings.lora_targets),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            unet.add_adapter(config)
        except ValueError as error:
            named = ", ".join(settings.lora_targets)
            raise StudyError(
                f"lora_targets: {named}; expected names of the U-Net's layers, such as to_q"
            ) from error


def save_adapters(unet: Unet, out: Path) -> None:
    """Write adapters in the layout that ``load_lora_weights`` of diffusers reads."""
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
    StableDiffusionPipeline.save_lora_weights(str(out), unet_lora_layers=layers)


def merge_adapters(unet: Unet) -> None:
    """Add the adapters to the weights that they adapt, and take them away."""
    unet.fuse_lora()
    unet.unload_lora()
