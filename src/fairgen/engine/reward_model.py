"""A trained reward model: scores, and its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fairgen.cohort.schema import SEPARATOR
from fairgen.engine.extractor import best_device
from fairgen.engine.reward_card import RewardCard, RewardRecipe
from fairgen.engine.reward_network import (
    EYE,
    Eye,
    RewardNetwork,
    latent_network,
    load_eye,
    pixel_network,
)
from fairgen.errors import CheckpointError, StudyError
from fairgen.files.atomic import fresh_folder, write_json
from fairgen.objectives.reward import pair_probability

WEIGHTS, CARD = "reward.safetensors", "reward.json"


@dataclass(frozen=True)
class RewardModel:
    """Scores how well images show their groups.

    Attributes:
        card: What it is and how it came about.
        network: The network, in evaluation mode and without gradient of its own.
    """

    card: RewardCard
    network: RewardNetwork

    def score(
        self, latents: Float[Tensor, "b c h w"], groups: Int[Tensor, " b"]
    ) -> Float[Tensor, " b"]:
        """Return scores in fp32, differentiable with respect to the images.

        Over the training images of each group their mean is zero; over all of them their spread is
        one. Only scores of one group are comparable.

        Args:
            latents: Scaled latents, or images in [-1, 1] if ``card.space`` is ``pixel``.
            groups: Position of each image's group in ``card.groups``.

        Raises:
            StudyError: If latents have another shape than those it was trained on.
        """
        if self.card.space == "latent" and tuple(latents.shape[1:]) != self.card.shape:
            raise StudyError(
                f"latents: shape {tuple(latents.shape[1:])}; the reward model was trained on "
                f"{self.card.shape}; expected images of the same size"
            )
        with torch.autocast(latents.device.type, enabled=False):
            scores: Tensor = self.network(latents.float(), groups)
        return scores

    def probability(
        self, winner: Float[Tensor, " b"], loser: Float[Tensor, " b"]
    ) -> Float[Tensor, " b"]:
        """Return the calibrated probability that the first image of each pair is preferred.

        Args:
            winner: Scores of the first images.
            loser: Scores of the second images of the same groups.
        """
        heat = self.card.temperature / self.card.spread
        return pair_probability(winner, loser, temperature=heat)


def save_reward(model: RewardModel, out: Path) -> None:
    """Write a reward model as safetensors and JSON: all of it or nothing.

    A frozen backbone's weights are not written, but its digest is.

    Raises:
        StudyError: If ``out`` is not empty or cannot be written.
    """
    state = {
        k: v.detach().cpu().contiguous()
        for k, v in model.network.state_dict().items()
        if not k.startswith(EYE)
    }
    with fresh_folder(out) as partial:
        save_file(state, partial / WEIGHTS)
        write_json(partial / CARD, model.card.model_dump(mode="json"))


def load_reward(folder: str | Path) -> RewardModel:
    """Return a saved reward model.

    Args:
        folder: Folder that ``train_reward`` made.

    Raises:
        CheckpointError: If it is missing, damaged or of another format, or its backbone is not at
            hand or has other weights.
        MissingExtra: If its backbone needs a library that is not installed.
    """
    folder = Path(folder)
    card = _read_card(folder / CARD)
    eye = load_eye(card.settings.backbone, card.shape[1]) if card.settings.backbone else None
    if eye is not None and eye.digest != card.backbone:
        raise CheckpointError(
            f"{folder}: was trained on other weights of '{card.settings.backbone}' than those here"
        )
    network = build_network(card, eye)
    try:
        state = load_file(folder / WEIGHTS)
        frozen = {k: v for k, v in network.state_dict().items() if k.startswith(EYE)}
        network.load_state_dict({**frozen, **state})
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{folder / WEIGHTS}: cannot be loaded ({reason})") from error
    return as_model(card, network.to(best_device()))


def _read_card(path: Path) -> RewardCard:
    try:
        return RewardCard.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file; expected a trained reward model") from error
    except (OSError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: describes no reward model ({reason})") from error


def build_network(recipe: RewardRecipe, eye: Eye | None) -> RewardNetwork:
    """Return the network that a recipe asks for, with fresh weights above its backbone."""
    s, levels = recipe.settings, group_levels(recipe.groups)
    if eye is not None:
        return pixel_network(eye, s.widths[-1], levels, dropout=s.dropout)
    return latent_network(recipe.shape[0], s.widths, levels, dropout=s.dropout)


def group_levels(groups: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Return for each group's key the position of each of its levels, its label, and itself."""
    parts = list(zip(*(key.split(SEPARATOR) for key in groups), strict=True))
    columns = [[list(dict.fromkeys(p)).index(level) for level in p] for p in parts]
    return tuple(zip(*columns, range(len(groups)), strict=True))


def as_model(card: RewardCard, network: RewardNetwork) -> RewardModel:
    """Return a network as a reward model, without gradient of its own."""
    return RewardModel(card, network.requires_grad_(requires_grad=False).eval())
