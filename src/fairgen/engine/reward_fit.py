"""How a reward model learns: what it sees of images, its steps, its measures."""

import copy
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torch.optim.lr_scheduler import LambdaLR

from fairgen.cohort.schema import SEPARATOR
from fairgen.cohort.seed import derive
from fairgen.engine.backbone import Backbone, load_backbone
from fairgen.engine.extractor import best_device
from fairgen.engine.latents import Encoding, encode_once, file_batches, pixels
from fairgen.engine.pixels import batches, evaluation_steps, warm_cosine
from fairgen.engine.reward_card import (
    Calibration,
    PairAccuracy,
    RewardCard,
    RewardRecipe,
    RewardSettings,
)
from fairgen.engine.reward_model import RewardModel, as_model, build_network
from fairgen.engine.reward_network import Eye, RewardNetwork, load_eye
from fairgen.engine.reward_pairs import Pair, Parts, units
from fairgen.engine.weights import vae_digest
from fairgen.files.progress import progress_bar
from fairgen.metrics.bootstrap import bootstrap
from fairgen.metrics.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from fairgen.objectives.reward import reward_loss

logger = logging.getLogger(__name__)
PER_BIN = 20  # held-out pairs, so that the calibration error is not all noise
MOST_BINS = 10
CHUNK = 256  # scores computed together
READ = 32  # images read together


@dataclass(frozen=True)
class Source:
    """Holds what images are read through, and what the card says of it."""

    backbone: Backbone | None
    eye: Eye | None
    facts: Mapping[str, Any]


def open_source(base: str, settings: RewardSettings) -> Source:
    """Return what images are read through: a base's autoencoder, or the settings' backbone.

    Raises:
        CheckpointError: If it cannot be loaded.
        StudyError: If the base cannot serve images of that side.
        MissingExtra: If the backbone needs a library that is not installed.
    """
    if settings.backbone is not None:
        eye = load_eye(settings.backbone, settings.size)
        shape = (3, eye.side, eye.side)
        return Source(None, eye, {"space": "pixel", "shape": shape, "backbone": eye.digest})
    backbone = load_backbone(base)
    side, vae = backbone.side(settings.size) // backbone.reduction, backbone.vae
    facts = {
        "space": "latent",
        "shape": (int(vae.config.latent_channels), side, side),
        "scaling": float(vae.config.scaling_factor),
        "vae": vae_digest(vae),
    }
    return Source(replace(backbone, unet=None, text_encoder=None), None, facts)


@dataclass(frozen=True)
class Inputs:
    """Holds what the trained part sees of each image: latents, or a backbone's features."""

    rows: Mapping[str, int]
    plain: Tensor
    mirrored: Tensor | None


def read_inputs(
    source: Source, recipe: RewardRecipe, files: Mapping[str, Path], *, flip: bool, store: Path
) -> Inputs:
    """Return what the trained part sees of each image, and of its mirror image if it flips.

    Args:
        source: What images are read through.
        recipe: The latents' shape.
        files: Where the image of each digest lies.
        flip: Whether mirror images are seen too.
        store: Folder where latents are kept.

    Raises:
        CohortError: If an image cannot be read.
    """
    used = sorted(files)
    rows, device = {digest: i for i, digest in enumerate(used)}, best_device()
    paths = [files[digest] for digest in used]
    if source.eye is not None:
        eye = source.eye.to(device)
        mirrored = _seen(eye, paths, mirror=True) if flip else None
        return Inputs(rows, _seen(eye, paths, mirror=False), mirrored)
    if source.backbone is None:
        raise ValueError("a source without autoencoder and backbone; expected one of them")
    how = Encoding(recipe.shape[1] * source.backbone.reduction, flip, device, store)
    cache = encode_once(source.backbone.vae, paths, how)
    return Inputs(rows, cache.means(), cache.means(mirrored=True) if flip else None)


@torch.no_grad()
def _seen(eye: Eye, paths: Sequence[Path], *, mirror: bool) -> Float[Tensor, "n d"]:
    found = []
    with progress_bar("features", len(paths)) as advance:
        for batch in file_batches(paths, size=eye.side, batch=READ):
            values = pixels(batch).to(eye.mean.device)
            found.append(eye(values.flip(-1) if mirror else values).cpu())
            advance(len(batch), "")
    return torch.cat(found)


@dataclass(frozen=True)
class _Part:
    """Holds a part's pairs as rows of the inputs and positions of groups."""

    winners: Int[Tensor, " n"]
    losers: Int[Tensor, " n"]
    groups: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.groups)


def _part(pairs: Sequence[Pair], inputs: Inputs, recipe: RewardRecipe) -> _Part:
    position = {key: i for i, key in enumerate(recipe.groups)}
    return _Part(
        torch.tensor([inputs.rows[p.winner] for p in pairs]),
        torch.tensor([inputs.rows[p.loser] for p in pairs]),
        torch.tensor([position[p.group.key] for p in pairs]),
    )


def fitted(source: Source, recipe: RewardRecipe, parts: Parts, inputs: Inputs) -> RewardModel:
    """Return the model that has learned from the first part, chosen on the second.

    Args:
        source: What images are read through.
        recipe: How it is trained.
        parts: Pairs to learn from, to choose by, and held out to measure on.
        inputs: What is seen of their images.
    """
    device = best_device()
    train, valid, held_out = (_part(pairs, inputs, recipe) for pairs in parts)
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive(recipe.seed, "reward", "weights"))
        network = build_network(recipe, source.eye).to(device)
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
    return as_model(card, network)


def _fit(
    network: RewardNetwork, inputs: Inputs, parts: tuple[_Part, _Part], recipe: RewardRecipe
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
    network: RewardNetwork, inputs: Inputs, train: _Part, recipe: RewardRecipe
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
    inputs: Inputs,
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
    share = (2 * share - 1).clamp(min=0)  # half of the pairs stay sharp
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
    network: RewardNetwork, inputs: Inputs, rows: Int[Tensor, " n"], groups: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return raw scores of images, in chunks."""
    device, found = network.mean.device, []
    for start in range(0, len(rows), CHUNK):
        chosen = slice(start, start + CHUNK)
        seen = inputs.plain[rows[chosen]].to(device)
        found.append(network.judged(seen, groups[chosen].to(device)).cpu())
    return torch.cat(found)


def _differences(network: RewardNetwork, inputs: Inputs, part: _Part) -> Float[np.ndarray, " n"]:
    """Return how much higher the preferred image of each pair scores, before standardisation."""
    winner = _raw(network, inputs, part.winners, part.groups)
    loser = _raw(network, inputs, part.losers, part.groups)
    return (winner.double() - loser.double()).numpy()


def _standardise(
    network: RewardNetwork, inputs: Inputs, train: _Part, recipe: RewardRecipe
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
