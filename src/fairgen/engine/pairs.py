"""Preference pairs in a training: their latents, their rewards, and the network's errors on them.

``reference`` predictions come from a frozen copy of the U-Net, or from the U-Net itself with its
adapters off.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairgen.diffusion.draw import PairDraw
from fairgen.diffusion.schedule import Latents, Schedule
from fairgen.engine.backbone import Backbone
from fairgen.engine.device import moved
from fairgen.engine.latents import Encoding, LatentSource, encode, encode_once, pixels
from fairgen.engine.reward import RewardModel, load_reward
from fairgen.engine.weights import vae_digest
from fairgen.errors import StudyError
from fairgen.files.digest import file_digest, folder_digest, value_digest
from fairgen.files.folder import CohortFolder
from fairgen.files.image import read_image
from fairgen.files.preferences import check_unseen, read_preferences
from fairgen.files.progress import progress_bar
from fairgen.methods.method import Method
from fairgen.objectives.denoising import denoising_error
from fairgen.objectives.objective import Pairs
from fairgen.objectives.preference import Alignment, PerPair

BATCH = 32
Predict = Callable[[Latents, Int[Tensor, " batch"], Int[Tensor, " batch"]], Latents]


@dataclass(frozen=True)
class Feedback:
    """Names what raters said.

    Attributes:
        preferences: Preference file.
        reward: Folder of the reward model; not needed where the method takes no reward.
        source: Where the preferences come from, for the manifest: ``file``, ``oracle``, ``proxy``.
    """

    preferences: Path
    reward: Path | None = None
    source: str = "file"


@dataclass(frozen=True)
class PairBank:
    """Holds all preference pairs of a training.

    Attributes:
        settings: What preferences do.
        cache: Latents of every image that occurs.
        images: Row of the winner and of the loser in the cache.
        groups: Group of each pair.
        rewards: Reward of winner and loser as given; zero without a reward model.
        model: The reward model, if the clean latents predicted in training are rewarded.
        reference: The frozen network, ``None`` where the adapters are switched off for it.
        error_weight: Lambda of Eq. 7.
        start: Errors of winners and losers of fixed pairs before the first step.
    """

    settings: Alignment
    cache: LatentSource
    images: Int[Tensor, "2 pairs"]
    groups: Int[Tensor, " pairs"]
    rewards: Float[Tensor, "2 pairs"]
    model: RewardModel | None = None
    reference: Any = None
    error_weight: float = 1.0
    start: tuple[float, float] = (0.0, 0.0)

    def __len__(self) -> int:
        return len(self.groups)


def check_feedback(method: Method, feedback: Feedback | None) -> Method:
    """Return the method as it will be: without its preference terms where there are none.

    Raises:
        StudyError: If preferences are given to a method that uses none, or a reward model is
            missing.
    """
    if feedback is None:
        return method.without_preferences
    if method.alignment is None:
        raise StudyError(
            f"method {method.name}: uses no preferences, yet a preference file is given; expected "
            "a method with `alignment`, such as by --set method.alignment.variant=fairgen"
        )
    if method.alignment.variant == "diffusion-dpo" and method.alignment.reward != "none":
        raise StudyError(
            f"method {method.name}: alignment.reward: {method.alignment.reward}; diffusion-dpo "
            "takes none"
        )
    if method.alignment.reward != "none" and feedback.reward is None:
        raise StudyError(
            f"method {method.name}: alignment.reward is {method.alignment.reward}, yet no reward "
            "model is given; expected --reward FOLDER, or method.alignment.reward=none"
        )
    return method


def describe_feedback(
    folder: CohortFolder, method: Method, feedback: Feedback | None
) -> dict[str, Any]:
    """Return what the preferences of a training are, in JSON's types.

    Raises:
        PreferenceError: If the preference file is wrong, or names an image of the validation or
            the test split.
        CheckpointError: If the reward model cannot be read.
    """
    if feedback is None or method.alignment is None:
        return {"preferences": "none"}
    said = read_preferences(feedback.preferences, folder.prompts)
    check_unseen(folder, {path for p in said for path in (p.winner, p.loser)})
    rewarded = method.alignment.reward != "none" and feedback.reward is not None
    images = [[file_digest(p.winner), file_digest(p.loser), p.group.key] for p in said]
    return {
        "preferences": feedback.source,
        "pairs": len(said),
        "pairs_digest": value_digest(images),
        "reward_digest": folder_digest(Path(str(feedback.reward))) if rewarded else None,
    }


def load_pairs(
    folder: CohortFolder, settings: Alignment, feedback: Feedback, backbone: Backbone, how: Encoding
) -> PairBank:
    """Return the pairs of a preference file, encoded; the autoencoder stays where it is.

    Raises:
        PreferenceError: If the preference file is wrong.
        CheckpointError: If the reward model cannot be read, or reads other latents than the base's.
    """
    said = read_preferences(feedback.preferences, folder.prompts)
    groups = folder.cohort.schema.groups()
    paths = sorted({p for s in said for p in (s.winner, s.loser)})
    place = {path: i for i, path in enumerate(paths)}
    cache = encode(backbone.vae, paths, how)
    images = torch.tensor([[place[s.winner] for s in said], [place[s.loser] for s in said]])
    index = torch.tensor([groups.index(s.group) for s in said])
    rewards, model = torch.zeros(images.shape), None
    if settings.reward != "none" and feedback.reward is not None:
        model = load_reward(feedback.reward)
        _check_reward(model, settings, backbone, folder)
        rewards = _rewards(model, backbone, paths, images, index, how)
    return PairBank(settings, cache, images, index, rewards, model)


def _check_reward(
    model: RewardModel, settings: Alignment, backbone: Backbone, folder: CohortFolder
) -> None:
    if settings.reward == "x0" and model.card.space != "latent":
        raise StudyError(
            "alignment.reward: x0 needs a reward model on latents; expected one trained without "
            "`backbone`, or margin or offset"
        )
    keys = [g.key for g in folder.cohort.schema.groups()]
    if list(model.card.groups) != keys:
        raise StudyError("the reward model knows other groups than the cohort; expected the same")
    if model.card.space == "latent" and model.card.vae != vae_digest(backbone.vae):
        raise StudyError(
            "the reward model reads the latents of another autoencoder than the base's; expected "
            "one trained with the same --base"
        )


@torch.no_grad()
def _rewards(
    model: RewardModel,
    backbone: Backbone,
    paths: Sequence[Path],
    images: Int[Tensor, "2 pairs"],
    groups: Int[Tensor, " pairs"],
    how: Encoding,
) -> Float[Tensor, "2 pairs"]:
    """Return the reward of every pair's two images as they are."""
    model.network.to(how.device)
    found = torch.zeros(images.shape)
    means = encode_once(backbone.vae, paths, how).means() if model.card.space == "latent" else None
    with progress_bar("rewards", 2 * len(groups)) as advance:
        for side, start in product(range(2), range(0, len(groups), BATCH)):
            part = slice(start, start + BATCH)
            rows = images[side, part]
            if means is not None:
                shown = means[rows]
            else:
                own = [read_image(paths[i], size=how.size, channels=3) for i in rows]
                shown = pixels(np.stack(own))
            scores = model.score(shown.to(how.device), groups[part].to(how.device))
            found[side, part] = scores.cpu()
            advance(len(rows), "")
    return found


def forward_pairs(
    bank: PairBank,
    draw: PairDraw,
    device: torch.device,
    predict: Predict,
    reference: Predict | None,
    scene: Schedule,
) -> Pairs:
    """Return what the network says of a batch of pairs, and what it should say.

    Args:
        bank: The pairs.
        draw: Which pairs, noise steps and noise; on the host.
        device: Where to compute.
        predict: The network: (noised latents, noise steps, captions) to predictions.
        reference: The reference network likewise, without gradient, if the variant has one.
        scene: The noise schedule.
    """
    rows, on = draw.rows, partial(moved, device=device)
    clean = on(
        bank.cache.sample(
            bank.images[:, rows].flatten(), draw.posterior.flatten(0, 1), draw.flipped.repeat(2)
        )
    )
    noise, t = on(draw.noise.flatten(0, 1)), on(draw.t.repeat(2))
    groups = on(bank.groups[rows].repeat(2))
    noised, target = scene.add_noise(clean, noise, t), scene.target(clean, noise, t)
    behind = None
    if reference is not None:
        with torch.no_grad():
            behind = denoising_error(reference(noised, t, groups), target)
    said = predict(noised, t, groups)
    winner, loser = said.chunk(2)
    return Pairs(
        winner,
        target.chunk(2)[0],
        loser,
        target.chunk(2)[1],
        error_weight=bank.error_weight,
        margin=_margin(bank, rows, scene.clean(said.float(), noised, t), groups),
        reference=None if behind is None else (behind.chunk(2)[0], behind.chunk(2)[1]),
    )


def _margin(
    bank: PairBank, rows: Int[Tensor, " pairs"], clean: Latents, groups: Int[Tensor, " both"]
) -> PerPair | float:
    """Return what the reward adds to the logit, before beta."""
    reading = bank.settings.reward
    if reading == "none":
        return 0.0
    if reading == "x0" and bank.model is not None:
        winner, loser = bank.model.score(clean, groups).chunk(2)
        return winner - loser
    margin = moved((bank.rewards[0] - bank.rewards[1])[rows], clean.device)
    return margin if reading == "margin" else -margin


@contextmanager
def adapters_off(unet: Any) -> Iterator[None]:  # noqa: ANN401 - a model of diffusers
    """Switch a U-Net's adapters off for as long as the block lasts.

    They must be on again before the pass whose gradient is wanted: a backward pass with adapters
    off leaves them without any.
    """
    unet.disable_adapters()
    try:
        yield
    finally:
        unet.enable_adapters()
