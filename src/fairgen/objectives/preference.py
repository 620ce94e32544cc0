"""Preference terms: from two errors (and two rewards) of a pair to its loss (Eq. 7 and 8)."""

from typing import Literal

from jaxtyping import Float
from pydantic import BaseModel, Field
from torch import Tensor
from torch.nn.functional import softplus

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
        weight: Weight of the whole preference part in the objective. On the skin phantom's
            validation data 0.03 lets images fit their prompts better at little cost in FID, while
            0.1 and more drive them to extremes.
        winner_weight: Weight of the winner's own denoising error beside the comparison.
        shared_noise: Whether winner and loser get the same noise.
        safeguard: Scale the losers' gradient so that, to first order, the preference term's step
            never lets the winners' errors grow. Costs two more backward passes over the pairs.
        pairs: Pairs a device looks at beside each of its batches.
    """

    variant: Literal["fairgen", "diffusion-dpo"] = "fairgen"
    reward: RewardReading = "none"
    beta: float | None = Field(None, gt=0)
    error_weight: float | None = Field(None, gt=0)
    weight: float = Field(0.03, ge=0)
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
    winner: Float[Tensor, " weights"], loser: Float[Tensor, " weights"]
) -> Float[Tensor, ""]:
    r"""Return how much of the losers' gradient may stay so that the winners' error does not grow.

    A step along $-(g_w - s\,g_l)$ changes the winners' error by
    $-\lVert g_w\rVert^2 + s\,g_w\cdot g_l$ to first order, so

    $$s=\min\left(1,\ \lVert g_w\rVert^2/(g_w\cdot g_l)\right)\ \text{where}\ g_w\cdot g_l>0$$

    and 1 elsewhere.

    Args:
        winner: $g_w$, gradient of the winners' errors, each weighted as the loss weights it.
        loser: $g_l$, that of the losers' errors likewise.

    Reference:
        "Diffusion-SDPO", arXiv 2511.03317, which takes both gradients with respect to the output;
        here they are with respect to all trained weights.
    """
    common = winner.double() @ loser.double()
    bound = winner.double().square().sum() / common.clamp(min=1e-300)
    return bound.clamp(max=1.0).where(common > 0, 1.0).float()


def scaled_gradient(values: PerPair, scale: Tensor | float) -> PerPair:
    """Return the values unchanged, with their gradient multiplied by the scale."""
    return scale * values + ((1 - scale) * values).detach()
