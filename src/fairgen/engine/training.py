"""What a training consists of, and what its network says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from jaxtyping import Float, Int
from torch import Tensor

from fairgen.diffusion.draw import DrawPlan, PairDraw
from fairgen.diffusion.schedule import Latents, Schedule
from fairgen.engine.adaptive import Adaptive, Tap
from fairgen.engine.average import Average, NoAverage
from fairgen.engine.backbone import Backbone
from fairgen.engine.device import moved
from fairgen.engine.latents import LatentSource
from fairgen.engine.pairs import PairBank, adapters_off, forward_pairs
from fairgen.engine.settings import TrainSettings
from fairgen.methods.method import Method
from fairgen.objectives.objective import Pairs, pair_logit
from fairgen.objectives.preference import safe_scale


@dataclass(frozen=True)
class Captions:
    """Holds every group's caption, and the empty one in the last row.

    Attributes:
        prompts: The groups' captions, in the schema's order.
        tokens: Token ids, on the device.
        table: Their embeddings, on the device; ``None`` where they are computed anew at every step,
            as must be where the text encoder is trained.
    """

    prompts: tuple[str, ...]
    tokens: Int[Tensor, "rows length"]
    table: Float[Tensor, "rows length width"] | None

    @property
    def empty(self) -> int:
        """Return the row of the empty caption."""
        return len(self.tokens) - 1


@dataclass(frozen=True)
class Rows:
    """Says how training images are drawn.

    Attributes:
        groups: Index of each image's group.
        weights: Weight of each image under the plain scheme.
        law: Chance of each other group (column) for an image of each group (row).
        borrows: How much each group borrows where rare groups alone do.
        members: Level of each attribute of each group, numbered over all attributes.
        cardinalities: Number of levels of each attribute.
    """

    groups: Int[Tensor, " images"]
    weights: Float[Tensor, " images"]
    law: Float[Tensor, "groups groups"]
    borrows: Float[Tensor, " groups"]
    members: Int[Tensor, "groups attributes"]
    cardinalities: tuple[int, ...]

    def shares(self, weights: Float[Tensor, " images"]) -> Float[Tensor, " groups"]:
        """Return the chance that a draw by image weights falls on each group."""
        found = torch.zeros(len(self.law), dtype=torch.float64)
        found.index_add_(0, self.groups, weights.double())
        return found / found.sum()


@dataclass(frozen=True)
class Training:
    """Holds all that a training step reads and changes."""

    method: Method
    settings: TrainSettings
    accelerator: Accelerator
    backbone: Backbone
    models: Mapping[str, Any]
    optimizer: Any
    ema: Average | NoAverage
    schedule: Schedule
    draws: DrawPlan
    rows: Rows
    cache: LatentSource
    captions: Captions
    adaptive: Adaptive
    tap: Tap | None = None
    bank: PairBank | None = None

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the trained parameters, in a fixed order."""
        return [p for m in self.models.values() for p in m.parameters() if p.requires_grad]

    @property
    def unet(self) -> Any:  # noqa: ANN401 - a model of diffusers
        """Return the U-Net itself, without what accelerate wraps around it."""
        return self.accelerator.unwrap_model(self.models["unet"])

    @property
    def global_batch(self) -> int:
        """Return the images of one optimisation step over all processes."""
        processes: int = self.accelerator.num_processes
        return self.settings.batch_size * self.settings.accumulation * processes


def predict(
    training: Training, noised: Latents, t: Int[Tensor, " batch"], caption: Int[Tensor, " batch"]
) -> Latents:
    """Return the U-Net's prediction under the captions of the given rows."""
    rows = moved(caption, training.accelerator.device)
    if training.captions.table is not None:
        embedded = training.captions.table[rows]
    else:
        encoder = training.models.get("text_encoder", training.backbone.text_encoder)
        embedded = encoder(training.captions.tokens[rows])[0]
    if training.settings.channels_last:
        noised = noised.contiguous(memory_format=torch.channels_last)
    prediction: Latents = training.models["unet"](noised, t, embedded).sample
    return prediction


def pair_batch(training: Training, draw: PairDraw, *, compared: bool = True) -> Pairs:
    """Return what the network says of the given pairs.

    Args:
        training: The training.
        draw: Which pairs, noise steps and noise.
        compared: Whether to ask the reference too, if the variant has one.
    """
    bank = training.bank
    if bank is None:
        raise RuntimeError("the training holds no preference pairs")
    return forward_pairs(
        bank,
        draw,
        training.accelerator.device,
        partial(predict, training),
        _reference(training, bank) if compared else None,
        training.schedule,
    )


def _reference(training: Training, bank: PairBank) -> Callable[..., Latents] | None:
    """Return the reference network's prediction, if the variant compares with one."""
    if bank.settings.variant != "diffusion-dpo":
        return None
    if bank.reference is not None:
        return partial(predict, replace(training, models={"unet": bank.reference}))

    def off(noised: Latents, t: Tensor, captions: Tensor) -> Latents:
        with adapters_off(training.unet):
            return predict(training, noised, t, captions)

    return off


def safeguarded(training: Training, pairs: Pairs) -> Pairs:
    """Return the pairs with the factor of the losers' gradient, if the method asks for one."""
    alignment = training.method.alignment
    if alignment is None or not alignment.safeguard:
        return pairs
    share = torch.sigmoid(-pair_logit(alignment, pairs)).detach()

    def gradient(errors: Float[Tensor, " pairs"]) -> Float[Tensor, " weights"]:
        found = torch.autograd.grad(
            (share * errors).sum(), training.parameters, retain_graph=True, allow_unused=True
        )
        return torch.cat([g.flatten() for g in found if g is not None])

    winner, loser = pairs.errors
    return replace(pairs, loser_scale=safe_scale(gradient(winner), gradient(loser)))
