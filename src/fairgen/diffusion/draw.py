"""Everything random about one training step, drawn from its seed alone.

Each purpose has a generator of its own, so that two methods with one seed see the same noise, and
a resumed training draws what the uninterrupted one would.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fairgen.cohort.seed import derive
from fairgen.diffusion.schedule import Latents


@dataclass(frozen=True)
class Draw:
    """Holds the draws of one global batch.

    Attributes:
        rows: Which training images.
        t: Noise steps, counted from zero.
        noise: Noise to be added and predicted.
        posterior: Noise that samples the autoencoder's posterior.
        kept: Whether the caption is kept.
        flipped: Whether the image is mirrored.
        quantile: Uniform numbers that choose the other group of the diversity term.
    """

    rows: Int[Tensor, " batch"]
    t: Int[Tensor, " batch"]
    noise: Latents
    posterior: Latents
    kept: Bool[Tensor, " batch"]
    flipped: Bool[Tensor, " batch"]
    quantile: Float[Tensor, " batch"]

    def part(self, start: int, stop: int) -> "Draw":
        """Return the draws of rows ``start`` to ``stop`` of the batch."""
        return Draw(**{name: value[start:stop] for name, value in vars(self).items()})


@dataclass(frozen=True)
class DrawPlan:
    """Says what a step draws.

    Attributes:
        seed: Seed of the training.
        shape: Channels, height and width of one latent.
        horizon: Number of noise steps.
        dropout: Share of captions dropped, in [0, 1].
        flip: Whether half of the images are mirrored.
    """

    seed: int
    shape: tuple[int, int, int]
    horizon: int
    dropout: float
    flip: bool

    def draw(self, step: int, batch: int, weights: Float[Tensor, " images"]) -> Draw:
        """Return the draws of one step.

        Args:
            step: Number of the optimisation step, from zero.
            batch: Images in the global batch, over all processes and accumulation steps.
            weights: Weight of each training image, not negative, up to normalisation.
        """

        def uniform(purpose: str) -> Float[Tensor, " batch"]:
            return torch.rand(batch, generator=_generator(self.seed, purpose, step))

        def normal(purpose: str) -> Latents:
            return torch.randn(batch, *self.shape, generator=_generator(self.seed, purpose, step))

        return Draw(
            rows=choose(weights, uniform("rows")),
            t=(uniform("t") * self.horizon).long().clamp(max=self.horizon - 1),
            noise=normal("noise"),
            posterior=normal("posterior"),
            kept=uniform("caption") >= self.dropout,
            flipped=(uniform("flip") < 0.5) & torch.tensor(self.flip),
            quantile=uniform("other"),
        )


def choose(
    weights: Float[Tensor, " n"], quantile: Float[Tensor, " batch"]
) -> Int[Tensor, " batch"]:
    """Return indices drawn with replacement, by inversion of the cumulative weights.

    An index of weight zero is never drawn. Equal quantiles under two laws give coupled draws.

    Args:
        weights: Not negative, at least one positive.
        quantile: Uniform numbers in [0, 1).
    """
    cumulative = weights.double().cumsum(0)
    return torch.searchsorted(cumulative, quantile.double() * cumulative[-1], right=True)


def _generator(seed: int, purpose: str, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive(seed, f"train/{purpose}", step))
