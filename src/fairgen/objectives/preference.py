"""Preference terms: from two errors (and two rewards) of a pair to its loss (Eq. 7 and 8)."""

from typing import Literal

from jaxtyping import Float
from pydantic import BaseModel, Field
from torch import Tensor
from torch.nn.functional import softplus

from fairgen.diffusion.schedule import Latents

PerPair = Float[Tensor, " pairs"]
RewardReading = Literal["none", "margin", "offset", "x0"]


class Alignment(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Sets what preferences do in a training.

    Attributes:
        variant: ``fairgen`` needs no reference network; ``diffusion-dpo`` takes errors relative to
            the network that the training starts from.
        reward: How the reward model enters (``fairgen`` only): ``none``; ``margin``, the reward of
            the two given images; ``offset``, the margin's negative; ``x0``, the reward of the clean
            latent predicted from the noisy one, which sends a gradient.
        beta: Steepness; unset, 0.5 for ``fairgen`` and 2,500 for ``diffusion-dpo`` (the convention
            that multiplies differences of mean squared errors, without a half).
        error_weight: Lambda of Eq. 7; unset, so that lambda times the difference of the two errors
            has unit spread over the pairs at the start. The released code uses 1.
        weight: Weight of the whole preference part in the objective.
        winner_weight: Weight of the winner's own denoising error beside the comparison.
        shared_noise: Whether winner and loser get the same noise.
        safeguard: Scale the loser's gradient so that, to first order, no winner's error grows.
        pairs: Pairs a device looks at beside each of its batches.
    """

    variant: Literal["fairgen", "diffusion-dpo"] = "fairgen"
    reward: RewardReading = "none"
    beta: float | None = Field(None, gt=0)
    error_weight: float | None = Field(None, gt=0)
    weight: float = Field(1.0, ge=0)
    winner_weight: float = Field(1.0, ge=0)
    shared_noise: bool = True
    safeguard: bool = False
    pairs: int = Field(4, ge=1)

    @property
    def steepness(self) -> float:
        """Return beta, or the variant's usual one."""
        usual = 0.5 if self.variant == "fairgen" else 2500.0
        return usual if self.beta is None else self.beta


def preference_logit(
    winner: PerPair,
    loser: PerPair,
    *,
    beta: float,
    error_weight: float,
    margin: PerPair | float = 0.0,
) -> PerPair:
    r"""Return the logit that the winner is preferred.

    $$\beta\left[m-\lambda(e_w-e_l)\right]$$

    Args:
        winner: $e_w$, the winner's mean squared error.
        loser: $e_l$, the loser's.
        beta: Steepness.
        error_weight: $\lambda$.
        margin: $m$: the winner's reward less the loser's, its negative, or zero.

    Reference:
        FairGen, Eq. 7 and 8.
    """
    return beta * (margin - error_weight * (winner.float() - loser.float()))


def reference_logit(
    winner: PerPair,
    loser: PerPair,
    winner_reference: PerPair,
    loser_reference: PerPair,
    *,
    beta: float,
) -> PerPair:
    r"""Return the logit of Diffusion-DPO, zero where the network equals its reference.

    $$-\beta\left[(e_w-e_w^{ref})-(e_l-e_l^{ref})\right]$$

    Args:
        winner: $e_w$, the winner's mean squared error.
        loser: $e_l$, the loser's.
        winner_reference: The winner's under the reference network.
        loser_reference: The loser's.
        beta: Steepness; 2,500 here is 5,000 in the authors' code, which halves it.

    Reference:
        Wallace et al., "Diffusion Model Alignment Using Direct Preference Optimization", CVPR 2024.
    """
    ahead = winner.float() - winner_reference.float()
    return -beta * (ahead - (loser.float() - loser_reference.float()))


def preference_loss(logit: PerPair) -> PerPair:
    r"""Return $-\log\sigma(\mathrm{logit})$ of each pair; $\ln 2$ at zero (FairGen, Eq. 8)."""
    return softplus(-logit.float())


def implicit_accuracy(logit: PerPair) -> PerPair:
    """Return 1 where the logit favours the winner, 0 where the loser, one half at a tie."""
    return (logit > 0).float() + 0.5 * (logit == 0).float()


def safe_scale(
    winner: Latents, winner_target: Latents, loser: Latents, loser_target: Latents
) -> PerPair:
    r"""Return how much of the loser's gradient may stay so that the winner's error does not grow.

    With $g_w$ and $g_l$ the two errors' gradients with respect to the output, a step along
    $-(g_w - s\,g_l)$ changes the winner's error by $-\lVert g_w\rVert^2 + s\,g_w\cdot g_l$, so

    $$s=\min\left(1,\ \lVert g_w\rVert^2/(g_w\cdot g_l)\right)\ \text{where}\ g_w\cdot g_l>0$$

    and 1 elsewhere. It is exact to first order where both outputs move alike.

    Args:
        winner: Prediction for the winner.
        winner_target: What it should have been.
        loser: Prediction for the loser.
        loser_target: What it should have been.

    Reference:
        "Diffusion-SDPO", arXiv 2511.03317: safeguarded preference optimisation.
    """
    first = (winner - winner_target).detach().float().flatten(1)
    second = (loser - loser_target).detach().float().flatten(1)
    common = (first * second).sum(dim=1)
    bound = first.square().sum(dim=1) / common.clamp(min=1e-30)
    return bound.clamp(max=1.0).where(common > 0, 1.0)


def scaled_gradient(values: PerPair, scale: PerPair) -> PerPair:
    """Return the values unchanged, with their gradient multiplied by the scale."""
    return scale * values + ((1 - scale) * values).detach()
