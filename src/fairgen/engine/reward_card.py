"""How a reward model is trained, and what its card says."""

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from fairgen.cohort.split import Fractions
from fairgen.metrics.calibration import (
    Bin,
)

PARTS = ("train", "valid", "held_out")


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
        noise: Largest standard deviation of the Gaussian noise added to latents; a backbone gets
            none.
        blur: Largest share in which the latents of half of the pairs are replaced by their means
            over 3 x 3, in [0, 1]. Latents predicted from noise are blurred, and a network that has
            not seen such ones can turn their order round.
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
    blur: float = Field(default=1.0, ge=0, le=1)
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
        low: Lower end of the 95 % bootstrap interval over sets of pairs that share images; a point
            where all pairs are right.
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
        vae: Digest of the encoder and of the scaling (``vae_digest``); empty for pixels.
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
