"""Images from prompts and seeds: the same image whatever the batch it is drawn in."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

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
    """

    sampler: str = "ddim"
    steps: int = Field(50, ge=1, le=1000)
    guidance: float = Field(7.5, ge=1)
    batch_size: int = Field(16, ge=1)


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


@torch.no_grad()
def sample(
    backbone: Backbone,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: SampleSettings,
    *,
    device: torch.device,
) -> UInt8[np.ndarray, "batch height width 3"]:
    """Return one image for each prompt and seed.

    Args:
        backbone: The model; its parts must already lie on ``device``.
        prompts: One prompt an image.
        seeds: One seed an image.
        settings: Sampler, steps and guidance.
        device: Where to compute.

    Reference:
        Ho & Salimans, "Classifier-Free Diffusion Guidance", 2022.
    """
    unet, side = backbone.unet, backbone.unet.config.sample_size
    shape = (unet.config.in_channels, side, side)
    check_steps(settings, int(backbone.scheduler.config.num_train_timesteps))
    scheduler = find_sampler(settings.sampler)(backbone.scheduler.config)
    scheduler.set_timesteps(settings.steps)
    captions = _captions(backbone, prompts, guided=settings.guidance > 1)
    captions = captions.to(device, unet.dtype)
    latents = first_noise(seeds, shape).to(device) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        inputs = scheduler.scale_model_input(latents, t).to(unet.dtype)
        if settings.guidance > 1:
            free, told = unet(torch.cat([inputs, inputs]), t, captions).sample.float().chunk(2)
            prediction = free + settings.guidance * (told - free)
        else:
            prediction = unet(inputs, t, captions).sample.float()
        latents = scheduler.step(prediction, t, latents).prev_sample
    return decode(backbone, latents)


@torch.no_grad()
def decode(
    backbone: Backbone, latents: Float[Tensor, "batch c h w"]
) -> UInt8[np.ndarray, "batch height width 3"]:
    """Return the images of scaled latents."""
    vae = backbone.vae
    values = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor).sample.float()
    grey = ((values.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    images: UInt8[np.ndarray, "batch height width 3"] = grey.permute(0, 2, 3, 1).cpu().numpy()
    return images


def _captions(
    backbone: Backbone, prompts: Sequence[str], *, guided: bool
) -> Float[Tensor, "rows tokens width"]:
    distinct = sorted({*prompts, ""})
    table = embed(backbone, distinct)
    told = table[[distinct.index(p) for p in prompts]]
    if not guided:
        return told
    return torch.cat([table[[distinct.index("")] * len(prompts)], told])
