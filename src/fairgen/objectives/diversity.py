"""The class-diversity term (paper, Eq. 4) and the laws of its other group."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairgen.cohort.schema import Group
from fairgen.diffusion.schedule import Latents
from fairgen.objectives.denoising import denoising_error

Counts = Mapping[Group, int]


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
