"""The reward model's networks: a small one on latents, and a head on a pretrained image model."""

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, silu
from transformers import AutoConfig, AutoModel, BaseImageProcessor

from fairgen.engine.hub import UNREADABLE, fetched, quiet
from fairgen.engine.weights import weights_digest
from fairgen.errors import CheckpointError, MissingExtra

NORM_GROUPS = 8
Levels = Sequence[Sequence[int]]
"""For each group, the position of each of its levels, of its label, and of itself."""
EYE = "eye."
"""Start of the names of frozen weights, which are not saved."""


class Film(nn.Module):
    """Scales and shifts channels by group; at the start it changes nothing.

    A group's change is the sum of those of its levels and its label, which groups share, and of one
    of its own. A group with few pairs so learns from its neighbours.
    """

    levels: Tensor
    tables: nn.ModuleList

    def __init__(self, levels: Levels, channels: int) -> None:
        super().__init__()
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        sizes = [max(column) + 1 for column in zip(*levels, strict=True)]
        tables = [nn.Embedding(n, 2 * channels) for n in sizes]
        for table in tables:
            nn.init.zeros_(table.weight)
        self.tables = nn.ModuleList(tables)

    def forward(self, x: Float[Tensor, "b c ..."], groups: Int[Tensor, " b"]) -> Tensor:
        """Return the changed channels."""
        own = self.levels[groups]
        both = sum(table(own[:, k]) for k, table in enumerate(self.tables))
        gain, shift = both.view(*both.shape, *(1,) * (x.ndim - 2)).chunk(2, 1)
        changed: Tensor = x * (1 + gain) + shift
        return changed


class FilmBlock(nn.Module):
    """Two convolutions beside a shortcut, the group between them.

    Norms stand inside the block only: what flows along the shortcuts keeps its scale, without which
    brightness and contrast of a latent would be lost.
    """

    def __init__(self, inner: int, outer: int, levels: Levels) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(math.gcd(NORM_GROUPS, inner), inner)
        self.first = nn.Conv2d(inner, outer, 3, 1, 1)
        self.second_norm = nn.GroupNorm(math.gcd(NORM_GROUPS, outer), outer)
        self.film = Film(levels, outer)
        self.second = nn.Conv2d(outer, outer, 3, 1, 1)
        self.shortcut = nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1)

    def forward(
        self, x: Float[Tensor, "b c h w"], groups: Int[Tensor, " b"]
    ) -> Float[Tensor, "b d h w"]:
        """Return the block's output at the same resolution."""
        y = self.first(silu(self.first_norm(x)))
        y = self.second(silu(self.film(self.second_norm(y), groups)))
        out: Tensor = self.shortcut(x) + y
        return out


class LatentBody(nn.Module):
    """Turns latents of any side into features; each stage halves the side.

    No norm looks beyond one latent, so an image's features do not depend on its company.
    """

    def __init__(self, channels: int, widths: Sequence[int], levels: Levels) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 3, 1, 1)
        inner = (widths[0], *widths[:-1])
        self.stages = nn.ModuleList(
            FilmBlock(i, o, levels) for i, o in zip(inner, widths, strict=True)
        )

    def forward(
        self, x: Float[Tensor, "b c h w"], groups: Int[Tensor, " b"]
    ) -> Float[Tensor, "b d"]:
        """Return the features."""
        y = self.stem(x)
        for number, stage in enumerate(self.stages):
            if number:
                y = avg_pool2d(y, 2, ceil_mode=True)
            y = stage(y, groups)
        features: Tensor = silu(y).mean((2, 3))
        return features


class FeatureBody(nn.Module):
    """Turns the features of a frozen network into fewer, all alike in scale."""

    def __init__(self, inner: int, outer: int, levels: Levels) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(inner)
        self.layer = nn.Linear(inner, outer)
        self.film = Film(levels, outer)

    def forward(self, x: Float[Tensor, "b c"], groups: Int[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """Return the features."""
        return silu(self.film(self.layer(self.norm(x)), groups))


class RewardNetwork(nn.Module):
    """Scores images of groups.

    Scores are standardised by buffers: less the mean of the image's group, over one spread. Pairs
    never compare two groups, so that a group's own mean says nothing.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self, body: nn.Module, width: int, levels: Levels, *, dropout: float, eye: nn.Module | None
    ) -> None:
        super().__init__()
        self.eye = eye or nn.Identity()
        self.body = body
        self.film = Film(levels, width)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, 1, bias=False)
        self.register_buffer("mean", torch.zeros(len(levels)))
        self.register_buffer("spread", torch.ones(()))

    def judged(self, seen: Tensor, groups: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Return raw scores of what the frozen part saw, or of latents where there is none."""
        features = self.drop(self.film(self.body(seen, groups), groups))
        scores: Tensor = self.head(features).squeeze(1)
        return scores

    def forward(
        self, x: Float[Tensor, "b c h w"], groups: Int[Tensor, " b"]
    ) -> Float[Tensor, " b"]:
        """Return standardised scores."""
        return (self.judged(self.eye(x), groups) - self.mean[groups]) / self.spread


def latent_network(
    channels: int, widths: Sequence[int], levels: Levels, *, dropout: float
) -> RewardNetwork:
    """Return a network on latents, with fresh weights."""
    body = LatentBody(channels, widths, levels)
    return RewardNetwork(body, widths[-1], levels, dropout=dropout, eye=None)


def pixel_network(eye: "Eye", width: int, levels: Levels, *, dropout: float) -> RewardNetwork:
    """Return a network on pixels: a fresh head on a frozen image model."""
    body = FeatureBody(eye.dimension, width, levels)
    return RewardNetwork(body, width, levels, dropout=dropout, eye=eye)


class Eye(nn.Module):
    """Wraps a pretrained image model: images in [-1, 1] become features; nothing is trained.

    Attributes:
        side: Side in pixels of the model's input; other images are resized with antialiasing.
        digest: SHA-256 of the model's weights, and of how images are made ready for it.
        dimension: Number of features.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self, network: nn.Module, side: int, norm: tuple[list[float], list[float]]
    ) -> None:
        super().__init__()
        self.network, self.side = network.requires_grad_(requires_grad=False).eval(), side
        self.register_buffer("mean", torch.tensor(norm[0]).view(1, 3, 1, 1))
        self.register_buffer("spread", torch.tensor(norm[1]).view(1, 3, 1, 1))
        self.digest = weights_digest({k: v for k, v in self.state_dict().items() if _read(k)})
        with torch.no_grad():
            self.dimension = self(torch.zeros(1, 3, side, side)).shape[1]

    def train(self, mode: bool = True) -> "Eye":  # noqa: ARG002
        """Stay in evaluation mode, whatever is trained on top."""
        return super().train(mode=False)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Return the features: the mean over places or tokens of the last layer."""
        if images.shape[2:] != (self.side, self.side):
            images = interpolate(images, (self.side, self.side), mode="bicubic", antialias=True)
        output = self.network(pixel_values=((images + 1) / 2 - self.mean) / self.spread)
        if _is_timm(self.network):  # which places stand where, it alone knows
            pooled: Tensor = output.pooler_output.flatten(1)
            return pooled
        last: Tensor = output.last_hidden_state
        return last.mean(1) if last.ndim == 3 else last.mean((2, 3))


def _read(name: str) -> bool:
    """Return whether a weight decides features; a pooler's may be missing from a checkpoint."""
    return "pooler" not in name


def _is_timm(network: nn.Module) -> bool:
    return getattr(getattr(network, "config", None), "model_type", "") == "timm_wrapper"


def load_eye(model: str, side: int | None = None) -> Eye:
    """Return any image model that transformers' ``AutoModel`` loads, frozen.

    Weights are read as safetensors only. Models of timm come through transformers' wrapper, and
    need timm.

    Args:
        model: Local folder or hub id.
        side: Side of its input in pixels; unset, as its files say.

    Raises:
        CheckpointError: If it cannot be loaded, is no image model, or lacks weights.
        MissingExtra: If it needs a library that is not installed.
    """
    try:
        if Path(model).is_dir():
            with quiet():
                return _eye(model, side)
        return fetched(
            model, "config.json", lambda local: _eye(model, side, local_files_only=local)
        )
    except ImportError as error:
        missing = "timm" if find_spec("timm") is None else " ".join(str(error).split())[:120]
        raise MissingExtra(
            f"backbone: '{model}' needs a library that is not installed; expected "
            f"`pip install {missing}`"
        ) from error
    except (*UNREADABLE, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(
            f"backbone: '{model}' cannot be loaded as an image model ({reason}); expected a "
            "transformers folder or a hub id"
        ) from error


def _eye(model: str, side: int | None, **how: bool) -> Eye:
    config = AutoConfig.from_pretrained(model, **how)
    with torch.random.fork_rng(devices=[]):
        network, found = AutoModel.from_pretrained(
            model, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **how
        )
    lacking = sorted(k for k in found["missing_keys"] if _read(k))
    if lacking:
        raise ValueError(f"its weights lack {lacking[0]}")
    known = _known(config)
    norm = _normalisation(model, known, **how)
    return Eye(getattr(network, "vision_model", network), side or _side(known), norm)


def _known(config: Any) -> dict[str, Any]:  # noqa: ANN401 - transformers is untyped
    """Return what a configuration says of images; timm and text-image models nest it."""
    inner = getattr(config, "vision_config", config)
    known: dict[str, Any] = dict(inner.to_dict())
    return {**known, **known.get("pretrained_cfg", {})}


def _side(known: Mapping[str, Any]) -> int:
    side = known.get("image_size") or (known.get("input_size") or [None])[-1]
    if not isinstance(side, int):
        raise ValueError("it names no image size; give one by --set size=224")
    return side


def _normalisation(
    model: str, known: Mapping[str, Any], **how: bool
) -> tuple[list[float], list[float]]:
    """Return mean and spread of the colours that the model was trained with; else one half."""
    if "mean" in known and "std" in known:
        return list(known["mean"]), list(known["std"])
    try:
        said, _ = BaseImageProcessor.get_image_processor_dict(model, **how)
    except OSError:  # no such file
        said = {}
    half = [0.5] * 3
    return list(said.get("image_mean") or half), list(said.get("image_std") or half)
