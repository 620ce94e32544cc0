"""Images from prompts and seeds: the same image whatever the batch it is drawn in."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)
from jaxtyping import Float, UInt8
from pydantic import BaseModel, Field
from torch import Tensor

from fairgen.engine.backbone import Backbone, embed
from fairgen.errors import StudyError

Captions = Mapping[str, Float[Tensor, "tokens features"]]
SAMPLERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "ddim": DDIMScheduler.from_config,
        "dpm-solver++": DPMSolverMultistepScheduler.from_config,
        "pndm": partial(PNDMScheduler.from_config, skip_prk_steps=True),  # as Stable Diffusion
        "unipc": UniPCMultistepScheduler.from_config,
    }
)


class SampleSettings(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Sets how images are drawn from a model.

    Attributes:
        sampler: A key of ``SAMPLERS``; all are deterministic once the first noise is given.
        steps: Sampling steps.
        guidance: Scale of classifier-free guidance; 1 uses the conditional prediction alone.
        batch_size: Images drawn together.
        decode_batch: Images decoded together, since the decoder needs the most memory; unset, as
            many as have a million pixels: 4 of 512 pixels a side, 256 of 64.
        precision: Type of the U-Net's and the autoencoder's weights; latents and the scheduler's
            arithmetic are always fp32.
    """

    sampler: str = "ddim"
    steps: int = Field(50, ge=1, le=1000)
    guidance: float = Field(7.5, ge=1)
    batch_size: int = Field(16, ge=1)
    decode_batch: int | None = Field(None, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"


DECODED = 2**20  # pixels that are decoded together


def find_sampler(name: str) -> Callable[..., Any]:
    """Return what makes the scheduler of that name from a model's noise schedule.

    Raises:
        StudyError: If there is none; the message lists those that exist.
    """
    if name not in SAMPLERS:
        raise StudyError(f"unknown sampler '{name}'; expected one of {', '.join(SAMPLERS)}")
    return SAMPLERS[name]


def check_steps(settings: SampleSettings, horizon: int) -> None:
    """Raise if more steps are asked for than the model's noise schedule has.

    Raises:
        StudyError: If so.
    """
    if settings.steps > horizon:
        raise StudyError(
            f"sampling steps: {settings.steps}; the model was trained with {horizon}; "
            f"expected 1 to {horizon}"
        )


def first_noise(
    seeds: Sequence[int], shape: tuple[int, int, int]
) -> Float[Tensor, "batch channels height width"]:
    """Return the noise that each image starts from, drawn from its own seed on the host."""
    return torch.stack(
        [torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )


def ready(
    backbone: Backbone, prompts: Iterable[str], settings: SampleSettings, device: torch.device
) -> Captions:
    """Put U-Net and VAE on a device as the settings say, and return what they see of prompts."""
    for part in (backbone.unet, backbone.vae):
        part.to(device).eval()
        if settings.precision == "bf16":
            part.bfloat16()
    return caption_table(backbone, prompts, device)


def caption_table(backbone: Backbone, prompts: Iterable[str], device: torch.device) -> Captions:
    """Return each prompt's embedding and the empty one's, on a device in the U-Net's precision.

    The text encoder lies on the device only meanwhile.

    Raises:
        CheckpointError: If a prompt is too long.
    """
    distinct, home = sorted({*prompts, ""}), backbone.text_encoder.device
    backbone.text_encoder.to(device)
    table = embed(backbone, distinct).to(backbone.unet.dtype)
    backbone.text_encoder.to(home)
    return dict(zip(distinct, table, strict=True))


@torch.no_grad()
def sample(
    backbone: Backbone,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: SampleSettings,
    *,
    device: torch.device,
    captions: Captions | None = None,
) -> UInt8[np.ndarray, "batch height width 3"]:
    """Return one image for each prompt and seed.

    Args:
        backbone: The model; U-Net and VAE must already lie on ``device``, in their precision.
        prompts: One prompt an image.
        seeds: One seed an image.
        settings: Sampler, steps, guidance and how much is decoded together.
        device: Where to compute.
        captions: What ``caption_table`` gave for these prompts among others; unset, they are
            embedded anew.

    Reference:
        Ho & Salimans, "Classifier-Free Diffusion Guidance", 2022.
    """
    unet, side = backbone.unet, backbone.unet.config.sample_size
    shape = (unet.config.in_channels, side, side)
    check_steps(settings, int(backbone.scheduler.config.num_train_timesteps))
    scheduler = find_sampler(settings.sampler)(backbone.scheduler.config)
    scheduler.set_timesteps(settings.steps)
    table = caption_table(backbone, prompts, device) if captions is None else captions
    told = torch.stack([table[p] for p in prompts])
    seen = torch.cat([table[""].expand_as(told), told]) if settings.guidance > 1 else told
    latents = first_noise(seeds, shape).to(device) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        inputs = scheduler.scale_model_input(latents, t).to(unet.dtype)
        if settings.guidance > 1:
            free, bound = unet(torch.cat([inputs, inputs]), t, seen).sample.float().chunk(2)
            prediction = free + settings.guidance * (bound - free)
        else:
            prediction = unet(inputs, t, seen).sample.float()
        latents = scheduler.step(prediction, t, latents).prev_sample
    return decode(backbone, latents, settings.decode_batch)


@torch.no_grad()
def decode(
    backbone: Backbone, latents: Float[Tensor, "batch c h w"], together: int | None = None
) -> UInt8[np.ndarray, "batch height width 3"]:
    """Return the images of scaled latents.

    Args:
        backbone: Whose VAE decodes.
        latents: Any number of them.
        together: Images decoded together; unset, as many as have a million pixels.
    """
    pixels = latents.shape[2] * latents.shape[3] * backbone.reduction**2
    parts = torch.split(latents, together or max(1, DECODED // pixels))
    return np.concatenate([_decode(backbone.vae, part) for part in parts])


def _decode(vae: Any, latents: Tensor) -> UInt8[np.ndarray, "batch height width 3"]:  # noqa: ANN401 - a model of diffusers
    values = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor).sample.float()
    grey = ((values.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    images: UInt8[np.ndarray, "batch height width 3"] = grey.permute(0, 2, 3, 1).cpu().numpy()
    return images
