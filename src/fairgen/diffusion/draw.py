"""Everything random about one training step, drawn from its seed alone.

Each purpose has a generator of its own, so that two methods with one seed see the same noise, and
a resumed training draws what the uninterrupted one would.
"""

from dataclasses import dataclass
from functools import partial

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
class PairDraw:
    """Holds the draws of one global batch of preference pairs.

    Attributes:
        rows: Which pairs.
        t: Noise steps, shared by winner and loser.
        noise: Noise of the winners, then of the losers.
        posterior: Noise that samples the autoencoder's posterior, winners first.
        flipped: Whether both images of a pair are mirrored.
    """

    rows: Int[Tensor, " pairs"]
    t: Int[Tensor, " pairs"]
    noise: Float[Tensor, "2 pairs c h w"]
    posterior: Float[Tensor, "2 pairs c h w"]
    flipped: Bool[Tensor, " pairs"]

    def part(self, start: int, stop: int) -> "PairDraw":
        """Return the draws of pairs ``start`` to ``stop``."""
        return PairDraw(
            self.rows[start:stop],
            self.t[start:stop],
            self.noise[:, start:stop],
            self.posterior[:, start:stop],
            self.flipped[start:stop],
        )

    def to(self, device: torch.device) -> "PairDraw":
        """Return the draws on a device."""
        return PairDraw(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class DrawPlan:
    """Says what a step draws.

    Attributes:
        seed: Seed of the training.
        shape: Channels, height and width of one latent.
        horizon: Number of noise steps.
        dropout: Share of captions dropped, in [0, 1].
        flip: Whether half of the images are mirrored.
        offset: Strength of the noise that is constant over each channel (noise offset).
    """

    seed: int
    shape: tuple[int, int, int]
    horizon: int
    dropout: float
    flip: bool
    offset: float = 0.0

    def draw(self, step: int, batch: int, weights: Float[Tensor, " images"]) -> Draw:
        """Return the draws of one step.

        Args:
            step: Number of the optimisation step, from zero.
            batch: Images in the global batch, over all processes and accumulation steps.
            weights: Weight of each training image, not negative, up to normalisation.
        """
        uniform = partial(self._uniform, step, batch)
        noise = self.normal("noise", step, batch, *self.shape)
        if self.offset:
            noise = noise + self.offset * self.normal("offset", step, batch, self.shape[0], 1, 1)
        return Draw(
            rows=choose(weights, uniform("rows")),
            t=self._steps(uniform("t")),
            noise=noise,
            posterior=self.normal("posterior", step, batch, *self.shape),
            kept=uniform("caption") >= self.dropout,
            flipped=(uniform("flip") < 0.5) & torch.tensor(self.flip),
            quantile=uniform("other"),
        )

    def draw_pairs(self, step: int, batch: int, pairs: int, *, shared_noise: bool) -> PairDraw:
        """Return the draws of one step's preference pairs.

        Args:
            step: Number of the optimisation step, from zero.
            batch: Pairs in the global batch.
            pairs: Pairs to choose from, all alike.
            shared_noise: Whether a pair's two images get the same noise.
        """
        uniform = partial(self._uniform, step, batch)
        noise = self.normal("pair noise", step, 2, batch, *self.shape)
        if shared_noise:
            noise = noise[:1].expand(2, -1, -1, -1, -1)
        return PairDraw(
            rows=(uniform("pairs") * pairs).long().clamp(max=pairs - 1),
            t=self._steps(uniform("pair t")),
            noise=noise,
            posterior=self.normal("pair posterior", step, 2, batch, *self.shape),
            flipped=(uniform("pair flip") < 0.5) & torch.tensor(self.flip),
        )

    def normal(self, purpose: str, step: int, *shape: int) -> Float[Tensor, "*shape"]:
        """Return standard normal numbers for a purpose of one step."""
        return torch.randn(*shape, generator=_generator(self.seed, purpose, step))

    def _uniform(self, step: int, batch: int, purpose: str) -> Float[Tensor, " batch"]:
        return torch.rand(batch, generator=_generator(self.seed, purpose, step))

    def _steps(self, quantile: Float[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        return (quantile * self.horizon).long().clamp(max=self.horizon - 1)


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
