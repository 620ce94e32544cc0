"""Training and judging the tiny base's autoencoder."""

import logging
import math
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from pydantic import BaseModel, Field
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fairgen.cohort.seed import derive
from fairgen.engine.backbone import Backbone
from fairgen.engine.latents import pixels
from fairgen.engine.sampling import decode
from fairgen.files.progress import progress_bar
from fairgen.phantoms.skin_colour import lab_from_pixels

logger = logging.getLogger(__name__)
Images = UInt8[np.ndarray, "batch height width channels"]
Pixels = Float[Tensor, "batch 3 height width"]


class AutoencoderSettings(BaseModel, extra="forbid", frozen=True):
    """Sets the training of an autoencoder.

    Attributes:
        steps: Optimisation steps; zero leaves it as it is.
        batch_size: Images a step.
        learning_rate: Peak rate of AdamW, decayed to zero along a half cosine.
        warmup: Steps of linear warm-up.
        kl_weight: Weight of the mean divergence of a latent element from a normal law.
        edge_weight: Weight of the error of brightness differences between neighbours.
        colour_weight: Weight of the error of coarse colours (means over 4 and 16 pixels).
        anchor_weight: Weight, falling to zero at half time, of the error of the first three latent
            channels as coarse red, green and blue. From random weights, an encoder may otherwise
            settle with one axis of colour lost.
        mixed_precision: Arithmetic of the forward pass; weights stay in fp32.
        log_every: Steps between lines of the log.
    """

    steps: int = Field(default=300, ge=0)
    batch_size: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup: int = Field(default=20, ge=0)
    kl_weight: float = Field(default=1e-5, ge=0)
    edge_weight: float = Field(default=0.5, ge=0)
    colour_weight: float = Field(default=0.5, ge=0)
    anchor_weight: float = Field(default=0.0, ge=0)
    mixed_precision: Literal["no", "bf16"] = "no"
    log_every: int = Field(default=100, ge=1)


@dataclass(frozen=True)
class ReconstructionError:
    """Says how far images are from their round trip through the autoencoder.

    Attributes:
        psnr: Mean peak signal-to-noise ratio in dB; higher is better.
        absolute: Mean absolute error in grey levels of 255.
        colour: Mean CIELAB distance (CIE76) of colours averaged over 8 x 8 pixels: hue and
            brightness without texture.
        bias: Mean signed error of red, green and blue in grey levels.
        n: Number of images.
    """

    psnr: float
    absolute: float
    colour: float
    bias: tuple[float, float, float]
    n: int


def reconstruction_loss(
    output: Pixels, target: Pixels, *, edge_weight: float, colour_weight: float
) -> Float[Tensor, " batch"]:
    """Return the mean absolute error of pixels, of edges and of coarse colours, one an image.

    Args:
        output: Decoded images in [-1, 1].
        target: True images.
        edge_weight: Weight of the differences between neighbours; zero leaves them out.
        colour_weight: Weight of the means over 4 and 16 pixels; zero leaves them out.
    """
    error = output - target
    edges = _per_image(error.diff(dim=-1)) + _per_image(error.diff(dim=-2))
    coarse = sum((_per_image(avg_pool2d(error, k)) for k in (4, 16)), torch.zeros(len(error)))
    return _per_image(error) + edge_weight * edges + colour_weight * coarse


def _per_image(error: Float[Tensor, "batch c h w"]) -> Float[Tensor, " batch"]:
    return error.abs().mean(dim=(1, 2, 3))


def train_autoencoder(
    vae: Any,  # noqa: ANN401 - diffusers is untyped
    images: Images,
    settings: AutoencoderSettings,
    *,
    seed: int,
    mirror: bool = False,
    encoder: bool = True,
) -> None:
    """Train an autoencoder in place.

    Args:
        vae: An ``AutoencoderKL`` on the host.
        images: Training images.
        settings: The recipe.
        seed: Seed of the order, the mirroring and the latent noise.
        mirror: Show half of the images mirrored.
        encoder: Train the encoder too; otherwise the latent space stays as it is.
    """
    parameters = _trained(vae, encoder=encoder)
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(derive(seed, "autoencoder"))
    began, seen = time.monotonic(), torch.zeros(2)
    with progress_bar("autoencoder", settings.steps) as advance:
        for step in range(settings.steps):
            optimizer.param_groups[0]["lr"] = _rate(settings, step)
            batch = _batch(images, settings.batch_size, generator, mirror=mirror)
            loss, parts = _loss(vae, batch, settings, generator, step=step, encoder=encoder)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            seen += parts
            advance(1, "")
            if (step + 1) % settings.log_every == 0 or step + 1 == settings.steps:
                _report(step + 1, settings, seen, time.monotonic() - began)
                seen = torch.zeros(2)
    vae.requires_grad_(requires_grad=False).eval()


def _trained(vae: Any, *, encoder: bool) -> list[torch.nn.Parameter]:  # noqa: ANN401
    vae.requires_grad_(encoder).train()
    for part in (vae.decoder, vae.post_quant_conv):
        part.requires_grad_(requires_grad=True)
    return [p for p in vae.parameters() if p.requires_grad]


def _rate(settings: AutoencoderSettings, step: int) -> float:
    warm = min(1.0, (step + 1) / max(1, settings.warmup))
    return warm * settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def _batch(
    images: Images, size: int, generator: torch.Generator, *, mirror: bool
) -> Float[Tensor, "size 3 height width"]:
    rows = torch.randint(len(images), (size,), generator=generator)
    batch = pixels(images[rows.numpy()])
    if not mirror:
        return batch
    flipped = torch.rand(size, generator=generator) < 0.5
    return torch.where(flipped[:, None, None, None], batch.flip(-1), batch)


def _loss(
    vae: Any,  # noqa: ANN401
    batch: Pixels,
    settings: AutoencoderSettings,
    generator: torch.Generator,
    *,
    step: int,
    encoder: bool,
) -> tuple[Float[Tensor, ""], Float[Tensor, "2"]]:
    half = settings.mixed_precision == "bf16"
    with torch.autocast(batch.device.type, torch.bfloat16, enabled=half):
        with torch.set_grad_enabled(encoder):
            law = vae.encode(batch).latent_dist
        latents = law.mean + law.std * torch.randn(law.mean.shape, generator=generator)
        output = vae.decode(latents).sample
    error = reconstruction_loss(
        output.float(),
        batch,
        edge_weight=settings.edge_weight,
        colour_weight=settings.colour_weight,
    ).mean()
    divergence = law.kl().float().mean() / law.mean[0].numel()
    total = error
    if encoder:
        anchor = settings.anchor_weight * max(0.0, 1 - 2 * step / settings.steps)
        total = error + settings.kl_weight * divergence + anchor * _colour_gap(law.mean, batch)
    return total, torch.stack([error.detach(), divergence.detach()])


def _colour_gap(latents: Float[Tensor, "batch c h w"], batch: Pixels) -> Float[Tensor, ""]:
    """Return how far the first three latent channels are from the picture made small."""
    small = avg_pool2d(batch, batch.shape[-1] // latents.shape[-1])
    return (latents[:, :3].float() - small).abs().mean()


def _report(
    step: int, settings: AutoencoderSettings, seen: Float[Tensor, "2"], seconds: float
) -> None:
    error, divergence = (seen / (((step - 1) % settings.log_every) + 1)).tolist()
    logger.info(
        "autoencoder: step %d of %d, error %.4f, divergence %.2f, %.1f images/s",
        step, settings.steps, error, divergence, step * settings.batch_size / seconds,
    )  # fmt: skip


@torch.no_grad()
def latent_law(
    vae: Any,  # noqa: ANN401
    images: Images,
) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Return mean and standard deviation of each latent channel over images, before scaling."""
    sums: list[Tensor] = []
    count = 0
    for start in range(0, len(images), 64):
        mean = vae.encode(pixels(images[start : start + 64])).latent_dist.mean.double()
        sums.append(torch.stack([mean.sum((0, 2, 3)), mean.square().sum((0, 2, 3))]))
        count += mean.numel() // mean.shape[1]
    centre, square = torch.stack(sums).sum(dim=0) / count
    return centre.float(), (square - centre.square()).clamp(min=1e-12).sqrt().float()


@torch.no_grad()
def standardise_latents(vae: Any, images: Images) -> None:  # noqa: ANN401
    """Shift and scale the latent channels to zero mean and unit spread over images, in place.

    The change is folded into the two 1 x 1 convolutions around the latents, so reconstructions
    stay the same and ``scaling_factor`` is 1. Zero mean matters: the noisiest step of Stable
    Diffusion's schedule still shows 7 % of the signal, which sampling starts without.

    Args:
        vae: An ``AutoencoderKL`` with its quantisation convolutions.
        images: Training images.
    """
    mean, spread = latent_law(vae, images)
    channels = len(mean)
    into, back = vae.quant_conv, vae.post_quant_conv
    into.weight[:channels] /= spread[:, None, None, None]
    into.bias[:channels] = (into.bias[:channels] - mean) / spread
    into.bias[channels:] -= 2 * spread.log()
    back.bias += back.weight[:, :, 0, 0] @ mean
    back.weight *= spread[None, :, None, None]
    vae.register_to_config(scaling_factor=1.0)


@torch.no_grad()
def round_trip(backbone: Backbone, images: Images) -> UInt8[np.ndarray, "batch height width 3"]:
    """Return images after encoding (to the posterior's mean) and decoding: the floor of any model.

    Args:
        backbone: Whose autoencoder to use, on any device.
        images: One or three channels; the side a multiple of the autoencoder's reduction.
    """
    vae = backbone.vae
    device, scale = next(vae.parameters()).device, vae.config.scaling_factor
    batches = (images[start : start + 64] for start in range(0, len(images), 64))
    return np.concatenate(
        [
            decode(backbone, vae.encode(pixels(b).to(device, vae.dtype)).latent_dist.mean * scale)
            for b in batches
        ]
    )


def reconstruction_error(
    images: UInt8[np.ndarray, "batch height width 3"],
    others: UInt8[np.ndarray, "batch height width 3"],
) -> ReconstructionError:
    """Return how far two sets of images are apart, image by image.

    Args:
        images: The originals; sides a multiple of 8.
        others: Their round trip.
    """
    error = others.astype(np.float64) - images
    pairs = zip(images, others, strict=True)
    square = np.maximum((error**2).mean(axis=(1, 2, 3)), 1e-3)
    red, green, blue = error.mean(axis=(0, 1, 2))
    return ReconstructionError(
        psnr=float((10 * np.log10(255.0**2 / square)).mean()),
        absolute=float(np.abs(error).mean()),
        colour=float(np.mean([_colour_distance(a, b) for a, b in pairs])),
        bias=(float(red), float(green), float(blue)),
        n=len(images),
    )


def _colour_distance(image: UInt8[np.ndarray, "h w 3"], other: UInt8[np.ndarray, "h w 3"]) -> float:
    coarse = [lab_from_pixels(_coarse(x)) for x in (image, other)]
    return float(np.linalg.norm(coarse[0] - coarse[1], axis=0).mean())


def _coarse(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h8 w8 3"]:
    height, width, channels = image.shape
    blocks = image.reshape(height // 8, 8, width // 8, 8, channels).mean(axis=(1, 3))
    return np.asarray(blocks.round(), dtype=np.uint8)
