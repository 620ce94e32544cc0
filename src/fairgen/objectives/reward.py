"""The reward model's loss on preferred and rejected images (paper, Eq. 6)."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus


def reward_loss(
    winner: Float[Tensor, " pairs"], loser: Float[Tensor, " pairs"]
) -> Float[Tensor, " pairs"]:
    r"""Return each pair's negative log-likelihood under the Bradley-Terry law, in fp32.

    $$-\log\sigma\big(r_\phi(x_w,g)-r_\phi(x_l,g)\big)$$

    Args:
        winner: $r_\phi(x_w,g)$, the scores of the preferred images.
        loser: $r_\phi(x_l,g)$, the scores of the rejected images of the same groups.

    Returns:
        One value a pair; $\ln 2$ where both scores are equal.

    Reference:
        FairGen, Eq. 6; Bradley & Terry, "Rank Analysis of Incomplete Block Designs", 1952.
    """
    return softplus(loser.float() - winner.float())


def pair_probability(
    winner: Float[Tensor, " pairs"], loser: Float[Tensor, " pairs"], *, temperature: float = 1.0
) -> Float[Tensor, " pairs"]:
    r"""Return how likely the first image of each pair is preferred, in fp32.

    $$\sigma\big((r_\phi(x_w,g)-r_\phi(x_l,g))/T\big)$$

    Args:
        winner: Scores of the first images.
        loser: Scores of the second images of the same groups.
        temperature: $T$, above zero; large values draw the probabilities towards one half.

    Raises:
        ValueError: If the temperature is not above zero.
    """
    if temperature <= 0:
        raise ValueError(f"temperature: {temperature}; expected a number above zero")
    return ((winner.float() - loser.float()) / temperature).sigmoid()
