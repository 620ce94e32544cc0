"""The reward model: image and group to a score, learned from preferred and rejected images.

It reads latents as the U-Net sees them (the autoencoder's means, scaled), so that a clean latent
predicted during diffusion training can be scored, and the score differentiated, without a decoder.
With a pretrained image model as ``backbone`` it reads pixels instead.
"""

import copy
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torch.optim.lr_scheduler import LambdaLR

from fairgen.cohort.schema import SEPARATOR, Group
from fairgen.cohort.seed import derive
from fairgen.cohort.split import Fractions, deal
from fairgen.engine.backbone import Backbone, load_backbone
from fairgen.engine.extractor import best_device
from fairgen.engine.latents import Images, encode, pixels
from fairgen.engine.pixels import batches, evaluation_steps, warm_cosine
from fairgen.engine.progress import progress_bar
from fairgen.engine.reward_network import (
    EYE,
    Eye,
    RewardNetwork,
    latent_network,
    load_eye,
    pixel_network,
    vae_digest,
)
from fairgen.errors import CheckpointError, PreferenceError, StudyError
from fairgen.files.atomic import fresh_folder, refuse_content, write_json
from fairgen.files.digest import file_digest, value_digest
from fairgen.files.folder import CohortFolder
from fairgen.files.image import read_image
from fairgen.files.preferences import Preference
from fairgen.metrics.bootstrap import bootstrap
from fairgen.metrics.calibration import (
    Bin,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from fairgen.objectives.reward import pair_probability, reward_loss

logger = logging.getLogger(__name__)
WEIGHTS, CARD = "reward.safetensors", "reward.json"
PARTS = ("train", "valid", "held_out")
LEAST = 20  # pairs
PER_BIN = 20  # held-out pairs, so that the calibration error is not all noise
MOST_BINS = 10
CHUNK = 256  # scores computed together
READ = 32  # images read together


class RewardSettings(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Sets the training of the reward model.

    Attributes:
        backbone: A transformers image model by local folder or hub id, frozen under a small head
            that reads pixels; unset, the small network on latents.
        size: Side of the images in pixels; unset, as the base or the backbone was made for.
        widths: Channels of the network's stages, each at half the resolution of the one before;
            over a backbone only the last counts, as the width of the head.
        steps: Most optimisation steps.
        batch_size: Pairs a step.
        learning_rate: Peak learning rate of AdamW; warm-up over a tenth, then a half cosine.
        weight_decay: Weight decay of AdamW.
        dropout: Share of the last features left out at random.
        noise: Largest standard deviation of the Gaussian noise added to latents, so that scores
            bear latents that are predicted; a backbone gets none.
        blur: Largest share in which a latent is replaced by its mean over 3 x 3, to the same end.
        flip: Mirror half of the pairs; unset, as the modality allows.
        evaluations: Number of looks at the validation pairs; the best one is kept.
        patience: Looks without a better one after which the training stops.
        valid: Share of the pairs that decide when to stop, and the temperature.
        held_out: Share of the pairs that the accuracy is measured on.
        max_dropped: Largest share of pairs that may be dropped, because their two images would lie
            in different parts.
    """

    backbone: str | None = None
    size: int | None = Field(default=None, ge=8)
    widths: tuple[int, ...] = Field(default=(32, 64, 96), min_length=1, max_length=5)
    steps: int = Field(default=400, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.3, ge=0)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    noise: float = Field(default=0.1, ge=0)
    blur: float = Field(default=0.0, ge=0, le=1)
    flip: bool | None = None
    evaluations: int = Field(default=20, ge=1)
    patience: int = Field(default=8, ge=1)
    valid: float = Field(default=0.15, gt=0, lt=1)
    held_out: float = Field(default=0.2, gt=0, lt=1)
    max_dropped: float = Field(default=0.3, ge=0, lt=1)

    @model_validator(mode="after")
    def _some_are_left(self) -> "RewardSettings":
        if self.valid + self.held_out >= 1:
            raise ValueError(
                f"valid {self.valid} and held_out {self.held_out}; expected a sum below 1"
            )
        return self

    @property
    def fractions(self) -> Fractions:
        """Return the shares of training, validation and held-out pairs."""
        return (1 - self.valid - self.held_out, self.valid, self.held_out)


class PairAccuracy(BaseModel, extra="forbid", frozen=True):
    """Says how often the preferred image scores higher, ties one half.

    Attributes:
        value: Share of pairs.
        low: Lower end of the 95 % interval over sets of pairs that share images.
        high: Upper end.
        n: Number of pairs.
    """

    value: float
    low: float
    high: float
    n: int


class Calibration(BaseModel, extra="forbid", frozen=True):
    """Says how far probabilities of held-out pairs are from what raters said.

    Attributes:
        ece: Expected calibration error of the more likely image, bins of equal mass.
        brier: Mean squared distance of the preferred image's probability from 1.
    """

    ece: float
    brier: float


class RewardRecipe(BaseModel, extra="forbid", frozen=True):
    """Says what a reward model is made from; known before the training.

    Attributes:
        key: Digest of the settings, the seed, the pairs, and what images are read through.
        space: What is scored: latents, or pixels in [-1, 1].
        groups: Keys of the groups in the schema's order, whose positions ``score`` takes.
        shape: Channels, height and width of an input.
        scaling: Number that the autoencoder's means are multiplied by; 1 for pixels.
        vae: Digest of the encoder's weights (``vae_digest``); empty for pixels.
        backbone: Digest of the frozen image model; empty for latents.
        pairs: Pairs of each group in each of ``PARTS``.
        dropped: Pairs left out, because their two images lie in different parts.
        seed: Seed of the training.
        settings: How it was trained.
    """

    key: str
    space: Literal["latent", "pixel"]
    groups: tuple[str, ...]
    shape: tuple[int, int, int]
    scaling: float = 1.0
    vae: str = ""
    backbone: str = ""
    pairs: dict[str, dict[str, int]]
    dropped: int
    seed: int
    settings: RewardSettings


class RewardCard(RewardRecipe, extra="forbid", frozen=True):
    """Describes a trained reward model on disk.

    Attributes:
        format: Version of this file.
        mean: Mean raw score of each group's training images; scores are less that. A group without
            any has the mean of the others.
        spread: Standard deviation of the training images' raw scores about these means.
        accuracy: On held-out pairs.
        by_subgroup: The same by subgroup, for those that have held-out pairs.
        temperature: What differences of raw scores are divided by to give probabilities.
        before: Calibration on held-out pairs at temperature 1.
        after: Calibration at the temperature, which validation pairs decided.
        reliability: Table behind the latter's ``ece``.
        best_step: Step of the weights that were kept.
        valid_loss: Their mean loss on validation pairs (paper, Eq. 6); ln 2 knows nothing.
    """

    format: Literal[1] = 1
    mean: dict[str, float]
    spread: float
    accuracy: PairAccuracy
    by_subgroup: dict[str, PairAccuracy]
    temperature: float
    before: Calibration
    after: Calibration
    reliability: tuple[Bin, ...]
    best_step: int
    valid_loss: float


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
    pairs, files = _pairs(preferences, folder)
    source = _source(str(base), settings)
    facts = {**source.facts, "groups": tuple(g.key for g in folder.cohort.schema.groups())}
    key = value_digest([settings.model_dump(), seed, facts, [p.as_row() for p in pairs]])
    if (out / CARD).exists():
        return _found(out, key)
    refuse_content(out)
    parts, dropped = divide_pairs(pairs, settings, seed)
    pairs_of = _counts(parts, folder)
    recipe = RewardRecipe(
        key=key, pairs=pairs_of, dropped=dropped, seed=seed, settings=settings, **facts
    )
    _tell(recipe)
    flip = folder.modality.flip if settings.flip is None else settings.flip
    inputs = _inputs(source, recipe, files, flip=flip)
    trained = _trained(source, recipe, parts, inputs)
    save_reward(trained, out)
    return trained


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
    network = _network(card, eye)
    try:
        state = load_file(folder / WEIGHTS)
        frozen = {k: v for k, v in network.state_dict().items() if k.startswith(EYE)}
        network.load_state_dict({**frozen, **state})
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{folder / WEIGHTS}: cannot be loaded ({reason})") from error
    return _frozen(card, network.to(best_device()))


def check_latents(model: RewardModel, backbone: Backbone) -> None:
    """Raise unless a base's latents are those that a reward model scores.

    Raises:
        CheckpointError: If the model scores pixels, or latents of another encoder or scale.
    """
    card, vae = model.card, backbone.vae
    if card.space != "latent":
        raise CheckpointError(f"the reward model scores {card.space}s; expected one of latents")
    if card.vae != vae_digest(vae) or card.scaling != float(vae.config.scaling_factor):
        raise CheckpointError(
            "the reward model was trained on latents of another autoencoder than the base's; "
            "expected one trained with `fairgen reward --base` on the same base"
        )


def _read_card(path: Path) -> RewardCard:
    try:
        return RewardCard.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file; expected a trained reward model") from error
    except (OSError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: describes no reward model ({reason})") from error


def _found(out: Path, key: str) -> RewardModel:
    found = load_reward(out)
    if found.card.key != key:
        raise CheckpointError(
            f"{out}: holds a reward model of other settings or pairs; expected a new folder"
        )
    return found


def _network(recipe: RewardRecipe, eye: Eye | None) -> RewardNetwork:
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


def _frozen(card: RewardCard, network: RewardNetwork) -> RewardModel:
    return RewardModel(card, network.requires_grad_(requires_grad=False).eval())


@dataclass(frozen=True)
class Pair:
    """Names a preferred and a rejected image by their contents' digests."""

    group: Group
    winner: str
    loser: str

    def as_row(self) -> list[str]:
        """Return what JSON holds of it."""
        return [self.group.key, self.winner, self.loser]


Parts = tuple[tuple[Pair, ...], tuple[Pair, ...], tuple[Pair, ...]]


def _pairs(
    preferences: Sequence[Preference], folder: CohortFolder
) -> tuple[tuple[Pair, ...], dict[str, Path]]:
    """Return the pairs, and where the image of each digest lies.

    Raises:
        PreferenceError: If there are too few, or an image must not be seen.
        CohortError: If a group is none of the cohort's.
    """
    if len(preferences) < LEAST:
        raise PreferenceError(f"{len(preferences)} preferences; expected at least {LEAST}")
    paths = dict.fromkeys(path for p in preferences for path in (p.winner, p.loser))
    digests = {path: file_digest(path) for path in paths}
    files: dict[str, Path] = {}
    for path, digest in digests.items():
        files.setdefault(digest, path)
    _check_unseen(folder, files)
    check = folder.cohort.schema.check
    pairs = tuple(Pair(check(p.group), digests[p.winner], digests[p.loser]) for p in preferences)
    return pairs, files


def _check_unseen(folder: CohortFolder, files: Mapping[str, Path]) -> None:
    """Raise if an image is one of the cohort's validation or test images.

    Raises:
        PreferenceError: If so.
    """
    sizes = {path.stat().st_size for path in files.values()}
    for record in folder.cohort.records:
        path = folder.path(record)
        if record.split not in ("valid", "test") or not path.is_file():
            continue
        if path.stat().st_size in sizes and (digest := file_digest(path)) in files:
            raise PreferenceError(
                f"{files[digest]}: is {record.image} of split '{record.split}'; expected images "
                "that a model has drawn, or training images"
            )


def units(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return for each pair the name of the set of pairs that hang together by their images."""
    above: dict[str, str] = {}

    def top(image: str) -> str:
        while (next_ := above.setdefault(image, image)) != image:
            above[image] = above[next_]
            image = above[image]
        return image

    for pair in pairs:
        low, high = sorted((top(pair.winner), top(pair.loser)))
        above[high] = low
    return tuple(top(pair.winner) for pair in pairs)


def divide_pairs(pairs: Sequence[Pair], settings: RewardSettings, seed: int) -> tuple[Parts, int]:
    """Return training, validation and held-out pairs that share no image, and how many are dropped.

    Sets that hang together are dealt out whole, each group alike. Where a group has less than half
    of its share in a part, its largest set is cut in two first; pairs across the cut are dropped.
    Where groups are too small to be divided alike, only the whole is.

    Raises:
        PreferenceError: If more than ``max_dropped`` would be dropped, or a part stays empty.
    """
    piece: dict[str, int] = defaultdict(int)
    while True:
        kept = [p for p in pairs if piece[p.winner] == piece[p.loser]]
        _check_dropped(len(pairs) - len(kept), len(pairs), settings)
        sets = dict(zip(kept, units(kept), strict=True))
        chosen = _dealt(kept, sets, settings.fractions, seed, alike=True)
        cut = _cut(kept, sets, chosen, settings.fractions)
        if cut is None:
            break
        number = max(piece.values()) + 1
        piece.update(dict.fromkeys(cut, number))
    have = Counter(chosen[sets[p]] for p in kept)
    if any(have[j] < f * len(kept) / 2 for j, f in enumerate(settings.fractions)):
        chosen = _dealt(kept, sets, settings.fractions, seed, alike=False)
    parts = [tuple(p for p in kept if chosen[sets[p]] == j) for j in range(len(PARTS))]
    if not all(parts):
        raise PreferenceError(
            f"{len(pairs)} preferences in {len(set(sets.values()))} sets that share images; too "
            "few to learn, choose and measure on; expected more pairs, each image in one or two"
        )
    return (parts[0], parts[1], parts[2]), len(pairs) - len(kept)


def _check_dropped(dropped: int, total: int, settings: RewardSettings) -> None:
    if dropped > settings.max_dropped * total:
        raise PreferenceError(
            f"{total} preferences: more than {settings.max_dropped:.0%} would have to be dropped, "
            "so that no image is both learned from and measured on; expected pairs in which an "
            "image occurs once or twice (draw more images, fewer pairs of each), or a larger "
            "max_dropped by --set max_dropped=0.6"
        )


def _dealt(
    kept: Sequence[Pair], sets: Mapping[Pair, str], fractions: Fractions, seed: int, *, alike: bool
) -> dict[str, int]:
    """Return the part of every set: with each group alike, or all pairs taken as one group."""
    counts: dict[str, Counter[Group]] = defaultdict(Counter)
    for pair in kept:
        counts[sets[pair]][pair.group if alike else Group((), "")] += 1
    return deal(counts, fractions, derive(seed, "reward", "parts"))


def _cut(
    kept: Sequence[Pair],
    sets: Mapping[Pair, str],
    chosen: Mapping[str, int],
    fractions: Fractions,
) -> set[str] | None:
    """Return images to be parted from the rest of their set, or nothing if no cut would help."""
    groups: dict[Group, list[Pair]] = defaultdict(list)
    for pair in kept:
        groups[pair.group].append(pair)
    for _, own in sorted(groups.items(), key=lambda item: item[0].key):
        have, sizes = Counter(chosen[sets[p]] for p in own), Counter(sets[p] for p in own)
        largest, size = max(sizes.items(), key=lambda item: (item[1], item[0]))
        lacks = [
            (round(f * len(own)) - have[j])
            for j, f in enumerate(fractions)
            if have[j] < math.floor(f * len(own) / 2)
        ]
        if lacks and size > max(lacks):
            return _carved([p for p in kept if sets[p] == largest], max(lacks))
    return None


def _carved(pairs: Sequence[Pair], wanted: int) -> set[str]:
    """Return images that hold about so many of the pairs; few pairs lead out of them.

    It grows from an image with few pairs, always by the image that brings most and loses fewest.
    """
    links: dict[str, Counter[str]] = defaultdict(Counter)
    for pair in pairs:
        links[pair.winner][pair.loser] += 1
        links[pair.loser][pair.winner] += 1
    start = min(links, key=lambda image: (links[image].total(), image))
    inside, edge, held = {start}, Counter(links[start]), 0
    while held < wanted and len(inside) < len(links) - 1:
        best = max(edge, key=lambda image: (2 * edge[image] - links[image].total(), image))
        held += edge.pop(best)
        inside.add(best)
        edge.update({i: n for i, n in links[best].items() if i not in inside})
    return inside


def _counts(parts: Parts, folder: CohortFolder) -> dict[str, dict[str, int]]:
    found = {name: Counter(p.group for p in part) for name, part in zip(PARTS, parts, strict=True)}
    groups = folder.cohort.schema.groups()
    return {name: {g.key: counts[g] for g in groups} for name, counts in found.items()}


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


@dataclass(frozen=True)
class _Source:
    """Holds what images are read through, and what the card says of it."""

    backbone: Backbone | None
    eye: Eye | None
    facts: Mapping[str, Any]


def _source(base: str, settings: RewardSettings) -> _Source:
    if settings.backbone is not None:
        eye = load_eye(settings.backbone, settings.size)
        shape = (3, eye.side, eye.side)
        return _Source(None, eye, {"space": "pixel", "shape": shape, "backbone": eye.digest})
    backbone = load_backbone(base)
    size, vae = settings.size or backbone.image_size, backbone.vae
    if size % backbone.reduction:
        raise StudyError(
            f"size: {size}; the base shrinks images by {backbone.reduction}; expected a multiple "
            "of that"
        )
    side = size // backbone.reduction
    facts = {
        "space": "latent",
        "shape": (int(vae.config.latent_channels), side, side),
        "scaling": float(vae.config.scaling_factor),
        "vae": vae_digest(vae),
    }
    return _Source(replace(backbone, unet=None, text_encoder=None), None, facts)


@dataclass(frozen=True)
class _Inputs:
    """Holds what the trained part sees of each image: latents, or a backbone's features."""

    rows: Mapping[str, int]
    plain: Tensor
    mirrored: Tensor | None


def _inputs(
    source: _Source, recipe: RewardRecipe, files: Mapping[str, Path], *, flip: bool
) -> _Inputs:
    used = sorted(files)
    rows, device = {digest: i for i, digest in enumerate(used)}, best_device()
    paths = [files[digest] for digest in used]
    if source.eye is not None:
        eye = source.eye.to(device)
        plain = _seen(eye, _read(paths, eye.side), mirror=False)
        return _Inputs(
            rows, plain, _seen(eye, _read(paths, eye.side), mirror=True) if flip else None
        )
    if source.backbone is None:
        raise ValueError("a source without autoencoder and backbone; expected one of them")
    size = recipe.shape[1] * source.backbone.reduction
    cache = encode(source.backbone, _read(paths, size), mirror=flip, device=device)
    mirrored = None if cache.mirrored is None else cache.mirrored.mean * cache.scale
    return _Inputs(rows, cache.plain.mean * cache.scale, mirrored)


def _read(paths: Sequence[Path], size: int) -> Iterator[Images]:
    for start in range(0, len(paths), READ):
        chosen = paths[start : start + READ]
        yield np.stack([read_image(path, size=size, channels=3) for path in chosen])


@torch.no_grad()
def _seen(eye: Eye, images: Iterator[Images], *, mirror: bool) -> Float[Tensor, "n d"]:
    found = []
    for batch in images:
        values = pixels(batch).to(eye.mean.device)
        found.append(eye(values.flip(-1) if mirror else values).cpu())
    return torch.cat(found)


@dataclass(frozen=True)
class _Part:
    """Holds a part's pairs as rows of the inputs and positions of groups."""

    winners: Int[Tensor, " n"]
    losers: Int[Tensor, " n"]
    groups: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.groups)


def _part(pairs: Sequence[Pair], inputs: _Inputs, recipe: RewardRecipe) -> _Part:
    position = {key: i for i, key in enumerate(recipe.groups)}
    return _Part(
        torch.tensor([inputs.rows[p.winner] for p in pairs]),
        torch.tensor([inputs.rows[p.loser] for p in pairs]),
        torch.tensor([position[p.group.key] for p in pairs]),
    )


def _trained(source: _Source, recipe: RewardRecipe, parts: Parts, inputs: _Inputs) -> RewardModel:
    device = best_device()
    train, valid, held_out = (_part(pairs, inputs, recipe) for pairs in parts)
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive(recipe.seed, "reward", "weights"))
        network = _network(recipe, source.eye).to(device)
        step, loss = _fit(network, inputs, (train, valid), recipe)
    network.eval()
    mean, spread = _standardise(network, inputs, train, recipe)
    heat = fit_temperature(_differences(network, inputs, valid), np.ones(len(valid)))
    card = RewardCard(
        **dict(recipe),
        mean=mean,
        spread=spread,
        temperature=heat,
        best_step=step,
        valid_loss=loss,
        **_measured(_differences(network, inputs, held_out), heat, parts[2], recipe),
    )
    return _frozen(card, network)


def _fit(
    network: RewardNetwork, inputs: _Inputs, parts: tuple[_Part, _Part], recipe: RewardRecipe
) -> tuple[int, float]:
    """Train a network in place; return the step and the validation loss of its best weights."""
    train, valid = parts
    best, kept, state, since = math.inf, 0, copy.deepcopy(network.state_dict()), 0
    for step in _looks(network, inputs, train, recipe):
        network.eval()
        differences = torch.from_numpy(_differences(network, inputs, valid))
        loss = float(reward_loss(differences, torch.zeros_like(differences)).mean())
        logger.info(
            "reward: step %d of %d, validation loss %.4f", step, recipe.settings.steps, loss
        )
        since += 1
        if loss < best:
            best, kept, since = loss, step, 0
            state = copy.deepcopy(network.state_dict())
        if since >= recipe.settings.patience:
            break
        network.train()
    network.load_state_dict(state)
    return kept, best


def _looks(
    network: RewardNetwork, inputs: _Inputs, train: _Part, recipe: RewardRecipe
) -> Iterator[int]:
    """Train, and yield the step whenever a look at the validation pairs is due."""
    s, random = recipe.settings, np.random.default_rng(derive(recipe.seed, "reward", "order"))
    noise = torch.Generator().manual_seed(derive(recipe.seed, "reward", "noise"))
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=s.learning_rate, weight_decay=s.weight_decay)
    schedule = LambdaLR(optimizer, lambda step: warm_cosine(step, s.steps))
    order, due = batches(len(train), s.batch_size, random), evaluation_steps(s.steps, s.evaluations)
    network.train()
    with progress_bar("reward", s.steps) as advance:
        for step in range(1, s.steps + 1):
            seen, groups = _batch(inputs, train, torch.from_numpy(next(order)), s, noise)
            scores = network.judged(seen.to(network.mean.device), groups.to(network.mean.device))
            loss = reward_loss(*scores.chunk(2)).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            advance(1, "")
            if step in due:
                yield step


def _batch(
    inputs: _Inputs,
    train: _Part,
    rows: Int[Tensor, " b"],
    settings: RewardSettings,
    random: torch.Generator,
) -> tuple[Tensor, Int[Tensor, " b2"]]:
    """Return the preferred images of some pairs, then the rejected ones, and their groups.

    The two images of a pair are mirrored together, blurred alike and get equally strong noise.
    """
    images, n = torch.cat([train.winners[rows], train.losers[rows]]), len(rows)
    flipped, sigma, share = torch.rand(3, n, generator=random).repeat(1, 2)
    x = inputs.plain[images]
    lines = (-1, *(1,) * (x.ndim - 1))
    if inputs.mirrored is not None:
        x = torch.where((flipped < 0.5).view(lines), inputs.mirrored[images], x)
    if x.ndim == 4 and settings.blur:
        soft = avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        x = torch.lerp(x, soft, settings.blur * share.view(lines))
    if x.ndim == 4 and settings.noise:
        x = x + settings.noise * sigma.view(lines) * torch.randn(x.shape, generator=random)
    return x, train.groups[rows].repeat(2)


@torch.no_grad()
def _raw(
    network: RewardNetwork, inputs: _Inputs, rows: Int[Tensor, " n"], groups: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return raw scores of images, in chunks."""
    device, found = network.mean.device, []
    for start in range(0, len(rows), CHUNK):
        chosen = slice(start, start + CHUNK)
        seen = inputs.plain[rows[chosen]].to(device)
        found.append(network.judged(seen, groups[chosen].to(device)).cpu())
    return torch.cat(found)


def _differences(network: RewardNetwork, inputs: _Inputs, part: _Part) -> Float[np.ndarray, " n"]:
    """Return how much higher the preferred image of each pair scores, before standardisation."""
    winner = _raw(network, inputs, part.winners, part.groups)
    loser = _raw(network, inputs, part.losers, part.groups)
    return (winner.double() - loser.double()).numpy()


def _standardise(
    network: RewardNetwork, inputs: _Inputs, train: _Part, recipe: RewardRecipe
) -> tuple[dict[str, float], float]:
    """Set the network's mean and spread from the training images, each counted once a group."""
    images, of = torch.cat([train.winners, train.losers]).tolist(), train.groups.repeat(2).tolist()
    rows, groups = torch.tensor(sorted(set(zip(images, of, strict=True)))).unbind(1)
    scores = _raw(network, inputs, rows, groups).double()
    means = {g: scores[groups == g].mean() for g in set(of)}
    other = torch.stack(list(means.values())).mean()
    mean = torch.stack([means.get(g, other) for g in range(len(recipe.groups))])
    spread = (scores - mean[groups]).square().mean().sqrt().clamp_min(1e-6)
    network.mean.copy_(mean)
    network.spread.copy_(spread)
    return dict(zip(recipe.groups, mean.tolist(), strict=True)), float(spread)


def _measured(
    differences: Float[np.ndarray, " n"], heat: float, pairs: Sequence[Pair], recipe: RewardRecipe
) -> dict[str, Any]:
    """Return the card's figures of held-out pairs."""
    names, own = np.array(units(pairs)), np.array([p.group.subgroup for p in pairs])
    right = np.where(differences == 0, 0.5, differences > 0)
    found = _accuracy(right, names, recipe.seed)
    if found.low <= 0.5:
        logger.warning(
            "reward: accuracy %.2f [%.2f, %.2f] on %d held-out pairs is no better than chance",
            found.value, found.low, found.high, found.n,
        )  # fmt: skip
    bins = max(1, min(MOST_BINS, len(pairs) // PER_BIN))
    sure = _sure(differences / heat)
    return {
        "accuracy": found,
        "by_subgroup": {
            s: _accuracy(right[own == s], names[own == s], recipe.seed)
            for s in dict.fromkeys(key.rpartition(SEPARATOR)[0] for key in recipe.groups)
            if (own == s).any()
        },
        "before": _calibration(differences, right, bins),
        "after": _calibration(differences / heat, right, bins),
        "reliability": reliability(sure, right, bins),
    }


def _accuracy(right: Float[np.ndarray, " n"], names: np.ndarray, seed: int) -> PairAccuracy:
    found = bootstrap(lambda weights: weights @ right / weights.sum(1), names, seed=seed)
    return PairAccuracy(value=found.value, low=found.low, high=found.high, n=len(right))


def _sure(logits: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return the probability of the more likely image of each pair."""
    sure: Float[np.ndarray, " n"] = 1 / (1 + np.exp(-np.abs(logits)))
    return sure


def _calibration(
    logits: Float[np.ndarray, " n"], right: Float[np.ndarray, " n"], bins: int
) -> Calibration:
    ece = expected_calibration_error(_sure(logits), right, bins)
    won = np.where(logits > 0, _sure(logits), 1 - _sure(logits))
    return Calibration(ece=ece, brier=brier_score(won, np.ones(len(won))))
