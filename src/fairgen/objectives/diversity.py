"""The class-diversity term (paper, Eq. 4) and the laws of its other group."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, Field
from torch import Tensor

from fairgen.cohort.schema import Group
from fairgen.diffusion.schedule import Latents
from fairgen.objectives.denoising import denoising_error

Counts = Mapping[Group, int]
Ramp = Literal["none", "up", "down"]


class Diversity(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Sets the class-diversity term; the last three are remedies, off in the paper's form.

    Attributes:
        tau: Strength; zero switches the term off.
        gamma: Share of the commitment part, in [0, 1]; zero makes the second pass gradient-free.
        law: How the other group is drawn: ``uniform``, ``other``, ``empirical``, ``sqrt``,
            ``inverse`` or ``subgroup``.
        ramp: ``up`` lets tau rise from zero along the training, so that the condition is learnt
            first; ``down`` lets it fall to zero, so that groups come apart in the end.
        rare: Whether rare groups alone borrow: a group's weight is 1 less its share of the largest
            group's images.
        relative: Whether tau is multiplied by the condition's own strength: the squared difference
            of the two predictions over the denoising error, at most 1. A weak condition is then
            hardly pulled at all.
    """

    tau: float = Field(1.0, ge=0)
    gamma: float = Field(0.0, ge=0, le=1)
    law: Literal["uniform", "other", "empirical", "sqrt", "inverse", "subgroup"] = "other"
    ramp: Ramp = "none"
    rare: bool = False
    relative: bool = False


def diversity_penalty(
    prediction: Latents,
    other: Latents,
    t: Int[Tensor, " batch"],
    *,
    horizon: int,
    tau: float = 1.0,
    gamma: float = 0.25,
) -> Float[Tensor, " batch"]:
    r"""Return how far apart the predictions under two groups' prompts lie.

    $$\tau\tfrac{t}{T}\left(\overline{|f-\mathrm{sg}(f')|^2}
      +\gamma\,\overline{|\mathrm{sg}(f)-f'|^2}\right)$$

    Minimising it pulls the two predictions together, most of all at high noise.

    Args:
        prediction: $f$, under each image's own prompt.
        other: $f'$, the same noisy latents under another group's prompt.
        t: Noise step of each image, counted from zero.
        horizon: Number of steps $T$.
        tau: Strength; zero switches the penalty off.
        gamma: Share of the commitment part, in [0, 1]; zero needs no gradient through $f'$.

    Returns:
        One value an image; zero where the predictions agree.

    Raises:
        ValueError: If ``tau`` is negative or ``gamma`` is outside [0, 1].

    Reference:
        FairGen, Eq. 4; Qin et al., "Class-Balancing Diffusion Models", CVPR 2023.
    """
    if tau < 0 or not 0 <= gamma <= 1:
        raise ValueError(f"tau {tau} must not be negative and gamma {gamma} must lie in [0, 1]")
    weight = tau * t.float() / horizon
    pulled = denoising_error(prediction, other.detach())
    if gamma == 0:
        return weight * pulled
    return weight * (pulled + gamma * denoising_error(prediction.detach(), other))


def ramped(ramp: Ramp, progress: float) -> float:
    """Return the factor of tau at a point of the training.

    Args:
        ramp: ``none``, ``up`` or ``down``.
        progress: Share of the training that is done, in [0, 1].
    """
    return {"none": 1.0, "up": progress, "down": 1 - progress}[ramp]


def borrowing(groups: Sequence[Group], counts: Counts) -> Float[Tensor, " groups"]:
    r"""Return $1 - n_g / \max_h n_h$: how much each group borrows where rare groups alone do."""
    most = max(counts.values())
    return torch.tensor([1 - counts[g] / most for g in groups])


def relative_strength(
    gap: Float[Tensor, " batch"], error: Float[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """Return each image's condition strength over its denoising error, at most 1, no gradient."""
    return (gap.detach() / error.detach().clamp(min=1e-12)).clamp(max=1.0)


def other_law(law: str, groups: Sequence[Group], counts: Counts) -> Float[Tensor, "groups groups"]:
    """Return the chance of each other group $g'$ (column) for an image of group $g$ (row).

    Groups without a training image are never drawn: the model has not seen their prompt.

    Args:
        law: A key of ``LAWS``.
        groups: The groups, in the schema's order.
        counts: Training images of each group.

    Returns:
        Rows that sum to one, or to zero where no other group exists (the term is then off).

    Raises:
        ValueError: If the law is unknown.
    """
    if law not in LAWS:
        raise ValueError(f"unknown law '{law}'; expected one of {', '.join(LAWS)}")
    rows = [[LAWS[law](g, h, counts) if counts[h] else 0.0 for h in groups] for g in groups]
    matrix = torch.tensor(rows, dtype=torch.float64)
    total = matrix.sum(dim=1, keepdim=True)
    return torch.where(total > 0, matrix / total.clamp(min=1e-300), 0.0).float()


LAWS: Mapping[str, Callable[[Group, Group, Counts], float]] = {
    "uniform": lambda _g, _h, _n: 1.0,
    "other": lambda g, h, _n: float(g != h),
    "empirical": lambda _g, h, n: float(n[h]),
    "sqrt": lambda _g, h, n: n[h] ** 0.5,
    "inverse": lambda _g, h, n: 1.0 / n[h],
    "subgroup": lambda g, h, _n: float(g != h and g.label == h.label),
}
