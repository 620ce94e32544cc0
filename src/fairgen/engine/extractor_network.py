"""A small residual network with one head for the label and one for each attribute."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outer)
        self.second = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outer)
        same = inner == outer and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inner, outer, 1, stride, bias=False)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Return the block's output at its stride."""
        y = relu(self.first_norm(self.first(x)))
        return relu(self.second_norm(self.second(y)) + self.shortcut(x))


class ExtractorNetwork(nn.Module):
    """Embeds images and scores their label and attributes.

    Features are standardised by the mean and spread of the training split, which are kept as
    buffers, so that distances do not depend on the scale that a training happened to end at.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self, channels: int, widths: Sequence[int], dimension: int, heads: Mapping[str, int]
    ) -> None:
        super().__init__()
        inner = (widths[0], *widths[:-1])
        self.stem = nn.Conv2d(channels, widths[0], 3, 2, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        self.stages = nn.Sequential(
            *(
                Block(i, o, 1 if k == 0 else 2)
                for k, (i, o) in enumerate(zip(inner, widths, strict=True))
            )
        )
        self.project = nn.Linear(widths[-1], dimension)
        self.names = tuple(heads)
        self.heads = nn.ModuleList(nn.Linear(dimension, levels) for levels in heads.values())
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("spread", torch.ones(dimension))

    def raw(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the features before standardisation."""
        y = self.stages(relu(self.stem_norm(self.stem(x))))
        projected: Tensor = self.project(y.mean((2, 3)))
        return projected

    def embed(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the standardised features."""
        return (self.raw(x) - self.mean) / self.spread

    def forward(self, x: Float[Tensor, "n c h w"]) -> dict[str, Tensor]:
        """Return the scores of each head's levels."""
        features = self.raw(x)
        return {name: head(features) for name, head in zip(self.names, self.heads, strict=True)}
