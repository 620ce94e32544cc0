"""The one training loop: every method is a resampler's weights and an objective.

``training_steps`` is a generator; logging, checkpoints and stopping belong to its caller.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fairgen.diffusion.draw import Draw, DrawPlan
from fairgen.diffusion.schedule import Latents, Schedule
from fairgen.engine.backbone import Backbone
from fairgen.engine.latents import LatentCache
from fairgen.engine.settings import TrainSettings
from fairgen.methods.method import Method
from fairgen.objectives.objective import Step


@dataclass(frozen=True)
class Captions:
    """Holds every group's caption, and the empty one in the last row.

    Attributes:
        prompts: The groups' captions, in the schema's order.
        tokens: Token ids.
        table: Their embeddings; computed anew each step where the text encoder is trained.
    """

    prompts: tuple[str, ...]
    tokens: Int[Tensor, "rows length"]
    table: Float[Tensor, "rows length width"]

    @property
    def empty(self) -> int:
        """Return the row of the empty caption."""
        return len(self.tokens) - 1


@dataclass(frozen=True)
class Rows:
    """Says how training images are drawn.

    Attributes:
        groups: Index of each image's group.
        weights: Weight of each image.
        law: Chance of each other group (column) for an image of each group (row).
    """

    groups: Int[Tensor, " images"]
    weights: Float[Tensor, " images"]
    law: Float[Tensor, "groups groups"]


@dataclass(frozen=True)
class Training:
    """Holds all that a training step reads and changes."""

    method: Method
    settings: TrainSettings
    accelerator: Accelerator
    backbone: Backbone
    models: Mapping[str, Any]
    optimizer: Any
    ema: EMAModel
    schedule: Schedule
    draws: DrawPlan
    rows: Rows
    cache: LatentCache
    captions: Captions

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the trained parameters, in a fixed order."""
        return [p for model in self.models.values() for p in model.parameters()]

    @property
    def global_batch(self) -> int:
        """Return the images of one optimisation step over all processes."""
        processes: int = self.accelerator.num_processes
        return self.settings.batch_size * self.settings.accumulation * processes


@dataclass(frozen=True)
class StepReport:
    """Tells what one optimisation step did; tensors stay on the device until they are read."""

    step: int
    loss: Float[Tensor, ""]
    parts: Mapping[str, Float[Tensor, ""]]
    grad_norm: Float[Tensor, ""]
    learning_rate: float
    rows: Int[Tensor, " batch"]


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Return the rate of a step: linear warm-up, then half a cosine down to zero."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    share = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def training_steps(training: Training, start: int) -> Iterator[StepReport]:
    """Yield after each optimisation step from ``start`` to the last."""
    for step in range(start, training.settings.steps):
        yield _optimise(training, step)


def _optimise(training: Training, step: int) -> StepReport:
    accelerator, settings = training.accelerator, training.settings
    draw = training.draws.draw(step, training.global_batch, training.rows.weights)
    rate = learning_rate(settings, step)
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    losses: list[dict[str, Tensor]] = []
    norm: Tensor = torch.zeros((), device=accelerator.device)
    for micro in range(settings.accumulation):
        first = micro * accelerator.num_processes + accelerator.process_index
        part = draw.part(first * settings.batch_size, (first + 1) * settings.batch_size)
        with accelerator.accumulate(*training.models.values()):
            total, means = training.method.objective(_forward(training, part))
            accelerator.backward(total)
            if accelerator.sync_gradients:
                norm = accelerator.clip_grad_norm_(training.parameters, settings.max_grad_norm)
            training.optimizer.step()
            training.optimizer.zero_grad()
        losses.append({"total": total.detach(), **means})
    training.ema.step(training.parameters)
    parts = {name: torch.stack([m[name] for m in losses]).mean() for name in losses[0]}
    return StepReport(step, parts.pop("total"), parts, norm.detach(), rate, draw.rows)


def _forward(training: Training, draw: Draw) -> Step:
    """Return the network's predictions for one batch, under one or two prompts."""
    device = training.accelerator.device
    clean = training.cache.sample(draw.rows, draw.posterior, draw.flipped).to(device)
    noise, t = draw.noise.to(device), draw.t.to(device)
    groups = training.rows.groups[draw.rows]
    noised = training.schedule.add_noise(clean, noise, t)
    own = torch.where(draw.kept, groups, training.captions.empty)
    prediction = predict(training, noised, t, own)
    other, compared = _other_prediction(training, draw, noised, t)
    return Step(
        prediction=prediction,
        target=training.schedule.target(clean, noise, t),
        t=t,
        horizon=training.schedule.horizon,
        kept=compared.to(device),
        other=other,
    )


def _other_prediction(
    training: Training, draw: Draw, noised: Latents, t: Int[Tensor, " batch"]
) -> tuple[Latents | None, Bool[Tensor, " batch"]]:
    """Return the prediction under other groups' prompts, and where it counts."""
    diversity = training.method.diversity
    if diversity is None:
        return None, draw.kept
    law = training.rows.law[training.rows.groups[draw.rows]]
    chosen = other_groups(law, draw.quantile)
    with torch.set_grad_enabled(diversity.gamma > 0):
        prediction = predict(training, noised, t, chosen)
    return prediction, draw.kept & (law.sum(dim=1) > 0)


def other_groups(
    law: Float[Tensor, "batch groups"], quantile: Float[Tensor, " batch"]
) -> Int[Tensor, " batch"]:
    """Return one group a row, drawn from the row's law by inversion."""
    cumulative = law.double().cumsum(dim=1)
    mark = quantile.double()[:, None] * cumulative[:, -1:]
    return (cumulative <= mark).sum(dim=1).clamp(max=law.shape[1] - 1)


def predict(
    training: Training, noised: Latents, t: Int[Tensor, " batch"], caption: Int[Tensor, " batch"]
) -> Latents:
    """Return the U-Net's prediction under the captions of the given rows."""
    device = training.accelerator.device
    if "text_encoder" in training.models:
        tokens = training.captions.tokens[caption].to(device)
        embedded = training.models["text_encoder"](tokens)[0]
    else:
        embedded = training.captions.table[caption].to(device)
    prediction: Latents = training.models["unet"](noised, t, embedded).sample
    return prediction


@torch.no_grad()
def condition_strength(
    training: Training, *, images: int = 32, marks: tuple[int, ...] = (100, 300, 500, 700, 900)
) -> dict[str, float]:
    r"""Return how much the prompt matters: mean $|\epsilon(c)-\epsilon(c')|^2$ by noise step.

    $c$ is an image's own prompt, $c'$ that of another group drawn uniformly; the images and the
    noise are the same at every call. A v-prediction is turned into the noise that it implies.

    Args:
        training: The training.
        images: Images looked at.
        marks: Noise steps, in thousandths of the horizon.
    """
    draw = training.draws.draw(-1, images, training.rows.weights)
    draw = Draw(**{**vars(draw), "flipped": torch.zeros_like(draw.flipped)})
    device, groups = training.accelerator.device, training.rows.groups[draw.rows]
    other = (groups + 1 + (draw.quantile * (training.captions.empty - 1)).long()) % (
        training.captions.empty
    )
    clean = training.cache.sample(draw.rows, draw.posterior, draw.flipped).to(device)
    strength = {}
    for mark in marks:
        t = torch.full((images,), mark * training.schedule.horizon // 1000, device=device)
        noised = training.schedule.add_noise(clean, draw.noise.to(device), t)
        own, others = (
            training.schedule.noise(predict(training, noised, t, rows).float(), noised, t)
            for rows in (groups, other)
        )
        gap = own - others
        strength[f"t={int(t[0])}"] = gap.square().mean().item()
    return strength
