"""The reward model: image and group to a score, learned from preferred and rejected images.

It reads latents as the U-Net sees them (the autoencoder's means, scaled), so that a clean latent
predicted during diffusion training can be scored, and the score differentiated, without a decoder.
With a pretrained image model as ``backbone`` it reads pixels instead.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from fairgen.engine.reward_card import RewardRecipe, RewardSettings
from fairgen.engine.reward_fit import fitted, open_source, read_inputs
from fairgen.engine.reward_model import CARD, RewardModel, load_reward, save_reward
from fairgen.engine.reward_pairs import LEAST, as_pairs, divide_pairs, part_counts
from fairgen.engine.store import store_folder
from fairgen.errors import CheckpointError
from fairgen.files.atomic import refuse_content
from fairgen.files.digest import value_digest
from fairgen.files.folder import CohortFolder
from fairgen.files.preferences import Preference

logger = logging.getLogger(__name__)
__all__ = ["LEAST", "RewardModel", "RewardSettings", "load_reward", "save_reward", "train_reward"]


def train_reward(
    preferences: Sequence[Preference],
    *,
    folder: CohortFolder,
    base: str | Path,
    settings: RewardSettings,
    out: str | Path,
    seed: int = 0,
) -> RewardModel:
    """Train a reward model and save it; repeating the call loads it.

    The pairs are divided into training, validation and held-out ones such that no image is in two
    parts: pairs that share images, directly or by way of others, stay together, and each group is
    divided alike. Where too many of a group's pairs hang together, they are cut where few of them
    are lost, up to ``max_dropped``.

    Args:
        preferences: Preferred and rejected images of groups. Nothing else is looked at.
        folder: The cohort whose schema and modality they have; its images are not learned from.
        base: ``tiny``, a local pipeline folder, or a hub id, whose latents are scored; with a
            backbone it is not loaded.
        settings: How to train.
        out: Folder to make.
        seed: Decides parts, initial weights, order and augmentation.

    Raises:
        PreferenceError: If there are too few pairs, they cannot be divided, or an image is one of
            the cohort's validation or test images.
        CohortError: If a group is none of the cohort's, or an image cannot be read.
        CheckpointError: If the base or the backbone cannot be loaded, or ``out`` holds a reward
            model of other settings or pairs.
        StudyError: If a setting does not suit the base, or ``out`` cannot be written.
        MissingExtra: If the backbone needs a library that is not installed.
    """
    out = Path(out)
    pairs, files = as_pairs(preferences, folder)
    source = open_source(str(base), settings)
    facts = {**source.facts, "groups": tuple(g.key for g in folder.cohort.schema.groups())}
    key = value_digest([settings.model_dump(), seed, facts, [p.as_row() for p in pairs]])
    if (out / CARD).exists():
        return _found(out, key)
    refuse_content(out)
    parts, dropped = divide_pairs(pairs, settings, seed)
    pairs_of = part_counts(parts, folder)
    recipe = RewardRecipe(
        key=key, pairs=pairs_of, dropped=dropped, seed=seed, settings=settings, **facts
    )
    _tell(recipe)
    flip = folder.modality.flip if settings.flip is None else settings.flip
    store = store_folder(folder.root)
    inputs = read_inputs(source, recipe, files, flip=flip, store=store)
    trained = fitted(source, recipe, parts, inputs)
    save_reward(trained, out)
    return trained


def _found(out: Path, key: str) -> RewardModel:
    found = load_reward(out)
    if found.card.key != key:
        raise CheckpointError(
            f"{out}: holds a reward model of other settings or pairs; expected a new folder"
        )
    return found


def _tell(recipe: RewardRecipe) -> None:
    """Log what the user should know of the pairs before the training."""
    for key in recipe.groups:
        if not any(counts[key] for counts in recipe.pairs.values()):
            logger.warning(
                "reward: group '%s' has no pair; its scores are guesses from other groups", key
            )
    if recipe.dropped:
        logger.warning(
            "reward: %d pairs dropped, so that no image is both learned from and measured on",
            recipe.dropped,
        )
