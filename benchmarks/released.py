"""A step of the paper's released script as plain passes: everything encoded anew at every step.

What the script computes is told in our own words with diffusers' classes; its reading of images and
its transfers of losses are left out.
"""

from collections.abc import Callable

import torch
from diffusers.training_utils import EMAModel
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid, mse_loss

from fairgen.engine.backbone import Backbone, load_backbone, tokenize
from fairgen.files.folder import CohortFolder

Pixels = Float[Tensor, "batch 3 height width"]
GAMMA, BETA = 0.25, 0.5


def released_step(
    folder: CohortFolder, base: str, batch: int, device: torch.device
) -> Callable[[], None]:
    """Return what makes one step with a batch of random images and as many preference pairs."""
    backbone = load_backbone(base)
    for part in (backbone.vae, backbone.text_encoder, backbone.unet):
        part.to(device).requires_grad_(part is backbone.unet)
    parameters = list(backbone.unet.train().parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    averaged = EMAModel(parameters)
    tokens = tokenize(backbone, [folder.prompts.render(g) for g in folder.cohort.schema.groups()])
    tokens = tokens.to(device)
    images = torch.rand(batch, 3, *[backbone.image_size] * 2, device=device) * 2 - 1
    rated = images.repeat(2, 1, 1, 1)

    def step() -> None:
        loss = _main_loss(backbone, images, tokens) + _preference_loss(backbone, rated, tokens)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        averaged.step(parameters)

    return step


def _main_loss(
    backbone: Backbone, images: Pixels, tokens: Int[Tensor, "groups length"]
) -> Float[Tensor, ""]:
    """Return CBDM's loss: both passes send a gradient."""
    latents, noise, t = _noised(backbone, images)
    own = _predict(backbone, latents, t, _some(tokens, len(images)))
    other = _predict(backbone, latents, t, _some(tokens, len(images)))
    weight = (t / 1000)[:, None, None, None]
    pull = weight * (own - other.detach()) ** 2
    commitment = weight * (own.detach() - other) ** 2
    return mse_loss(own, noise) + pull.mean() + GAMMA * commitment.mean()


def _preference_loss(
    backbone: Backbone, images: Pixels, tokens: Int[Tensor, "groups length"]
) -> Float[Tensor, ""]:
    """Return the loss of winners, then losers, which share prompt and noise step."""
    latents, noise, t = _noised(backbone, images, shared=2)
    context = _embed(backbone, _some(tokens, len(images) // 2)).repeat(2, 1, 1)
    said = backbone.unet(latents, t, context).sample
    winner, loser = ((said - noise) ** 2).mean(dim=(1, 2, 3)).chunk(2)
    return (winner - logsigmoid(BETA * (loser - winner))).mean()


def _noised(backbone: Backbone, images: Pixels, shared: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Return noised latents, their noise and their noise steps, ``shared`` images to a step."""
    clean = backbone.vae.encode(images).latent_dist.sample() * backbone.vae.config.scaling_factor
    noise = torch.randn_like(clean)
    t = torch.randint(0, 1000, (len(images) // shared,), device=images.device).repeat(shared)
    noised: Tensor = backbone.scheduler.add_noise(clean, noise, t)
    return noised, noise, t


def _some(tokens: Int[Tensor, "groups length"], count: int) -> Int[Tensor, "count length"]:
    return tokens[torch.randint(0, len(tokens), (count,), device=tokens.device)]


def _embed(backbone: Backbone, tokens: Int[Tensor, "b length"]) -> Float[Tensor, "b length width"]:
    embedded: Tensor = backbone.text_encoder(tokens)[0]
    return embedded


def _predict(
    backbone: Backbone, latents: Tensor, t: Tensor, tokens: Int[Tensor, "b length"]
) -> Tensor:
    prediction: Tensor = backbone.unet(latents, t, _embed(backbone, tokens)).sample
    return prediction
