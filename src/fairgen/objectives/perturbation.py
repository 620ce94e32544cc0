"""FairDiffusion's noisy loss weights, whose scales a search moves towards equal losses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, Field
from torch import Tensor

from fairgen.cohort.seed import derive
from fairgen.errors import CheckpointError
from fairgen.objectives.perturbation_search import fairest_scales

Mode = Literal["faithful", "repaired"]


class Perturbation(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    r"""Sets the perturbation; the defaults are those of FairDiffusion's authors.

    Attributes:
        mode: ``faithful`` does what the released code does: weights may be negative, and an
            attribute with a level absent from the batch counts as fair. ``repaired`` keeps weights
            from ``smallest`` up, averages the losses of each level over steps, and skips levels
            that were never seen. Its weights have a mean above one, the more so the larger the
            scales (1.33 with three attributes at scale one): clamping cuts one side only.
        window: Batches between two searches.
        exploitation: Share $\rho$ of the scales that each batch keeps; the rest is random. One
            keeps them fixed between searches, and those then have nothing to learn from.
        confidence: $\beta$ of the upper confidence bound; zero trusts the fitted mean alone.
        smallest: Least weight, in ``repaired`` only.
        decay: Share of the averaged losses that each batch keeps, in ``repaired`` only; zero looks
            at the last batch that had the level.
    """

    mode: Mode = "faithful"
    window: int = Field(default=30, ge=2)
    exploitation: float = Field(default=0.95, ge=0, le=1)
    confidence: float = Field(default=0.1, ge=0)
    smallest: float = Field(default=0.1, ge=0, le=1)
    decay: float = Field(default=0.9, ge=0, lt=1)


@dataclass(frozen=True)
class PerturbationState:
    """Holds all that one batch hands to the next, in float64 on the CPU.

    Attributes:
        sigma: Scale of each level of each attribute, in the schema's order, in [0, 1].
        inputs: Scales of the batches since the last search.
        values: Fairness of those batches.
        averages: Averaged loss of each level; NaN where none was seen. In ``repaired`` only.
    """

    sigma: Float[Tensor, " levels"]
    inputs: Float[Tensor, "seen levels"]
    values: Float[Tensor, " seen"]
    averages: Float[Tensor, " levels"]


def start_perturbation(cardinalities: Sequence[int]) -> PerturbationState:
    """Return the state before the first batch: every scale is one.

    Args:
        cardinalities: Number of levels of each attribute.
    """
    levels = sum(cardinalities)
    return PerturbationState(
        sigma=torch.ones(levels, dtype=torch.float64),
        inputs=torch.empty(0, levels, dtype=torch.float64),
        values=torch.empty(0, dtype=torch.float64),
        averages=torch.full((levels,), torch.nan, dtype=torch.float64),
    )


def perturbation_weights(
    settings: Perturbation,
    state: PerturbationState,
    members: Int[Tensor, "batch attributes"],
    noise: Float[Tensor, "batch attributes"],
) -> Float[Tensor, " batch"]:
    r"""Return the weight of each image's loss.

    $$w_i=1+\sum_a\sigma_{a,g_a(i)}\,\epsilon_{a,i}$$

    In ``faithful`` its mean is one whatever the scales: the perturbation adds noise to gradients,
    more of it for levels with large scales, and favours no level in expectation.

    Args:
        settings: What was set.
        state: Where the scales stand.
        members: Position in ``sigma`` of each image's level of each attribute; a negative one
            stands for an unknown level, which adds nothing.
        noise: $\epsilon$, standard normal and independent.

    Returns:
        Weights of the noise's type and device.

    Reference:
        Luo et al., "FairDiffusion", Science Advances 2025.
    """
    sigma = state.sigma.to(noise)
    scales = torch.where(members < 0, 0.0, sigma[members.clamp(min=0)])
    weights = 1 + (scales * noise).sum(dim=1)
    return weights.clamp(min=settings.smallest) if settings.mode == "repaired" else weights


def fairness_value(
    losses: Float[Tensor, " n"],
    members: Int[Tensor, "n attributes"],
    cardinalities: Sequence[int],
    *,
    mode: Mode = "faithful",
) -> float:
    r"""Return how alike the mean losses of a batch's levels are; zero is best.

    $$-\sum_a\left(\max_g\hat\ell_{a,g}-\min_g\hat\ell_{a,g}\right)$$

    Args:
        losses: Loss of each image, not weighted, of the batches of all processes.
        members: Position of each image's level of each attribute, as for the weights.
        cardinalities: Number of levels of each attribute.
        mode: With a level absent, ``faithful`` counts its attribute as fair, ``repaired`` compares
            the others, and leaves out losses that are not finite.

    Raises:
        ValueError: If a level lies outside its attribute, or attributes do not agree.

    Reference:
        Luo et al., "FairDiffusion", Science Advances 2025.
    """
    return _evenness(_level_means(losses, members, cardinalities, mode), cardinalities, mode)


def advance_perturbation(
    settings: Perturbation,
    state: PerturbationState,
    losses: Float[Tensor, " n"],
    members: Int[Tensor, "n attributes"],
    cardinalities: Sequence[int],
    seed: int,
) -> PerturbationState:
    r"""Return the state after one more batch.

    The fairness of the batch is noted. After every ``window`` batches, a Gaussian process is fitted
    to the notes, the scales move to where its upper confidence bound is highest (they stay if the
    notes teach nothing), and the notes are cleared. Then, after each batch,

    $$\sigma\leftarrow\rho\,\sigma+(1-\rho)\,u,\qquad u\sim U(0,1)^D$$

    so that $\rho^n$ of a search's answer is left after $n$ batches.

    Args:
        settings: What was set.
        state: State before the batch.
        losses: Loss of each image, not weighted, of the batches of all processes.
        members: Position of each image's level of each attribute, as for the weights.
        cardinalities: Number of levels of each attribute.
        seed: Seed of this batch, 0 or more. Processes that pass the same arguments get the same
            state.

    Raises:
        ValueError: If a level lies outside its attribute, or attributes do not agree.

    Reference:
        Luo et al., "FairDiffusion", Science Advances 2025.
    """
    means = _level_means(losses, members, cardinalities, settings.mode)
    averages = state.averages
    if settings.mode == "repaired":
        means = averages = _averaged(averages, means, settings.decay)
    value = _evenness(means, cardinalities, settings.mode)
    inputs = torch.cat([state.inputs, state.sigma[None]])
    values = torch.cat([state.values, state.values.new_tensor([value])])
    sigma = state.sigma
    if len(values) >= settings.window:
        found = fairest_scales(
            inputs.numpy(),
            values.numpy(),
            confidence=settings.confidence,
            seed=derive(seed, "perturbation search"),
        )
        sigma = sigma if found is None else torch.from_numpy(found)
        inputs, values = inputs.new_empty(0, len(sigma)), values.new_empty(0)
    u = torch.rand(len(sigma), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rho = settings.exploitation
    return PerturbationState(rho * sigma + (1 - rho) * u, inputs, values, averages)


def state_tensors(state: PerturbationState) -> dict[str, Tensor]:
    """Return the state by name, as a checkpoint stores it."""
    return {field.name: getattr(state, field.name) for field in fields(state)}


def state_from(tensors: Mapping[str, Tensor]) -> PerturbationState:
    """Return the state that ``state_tensors`` took apart, to the last bit.

    Raises:
        CheckpointError: If a tensor is missing, unknown or not of double precision.
    """
    expected = [field.name for field in fields(PerturbationState)]
    if sorted(tensors) != sorted(expected):
        raise CheckpointError(
            f"perturbation state: found {', '.join(sorted(tensors)) or 'nothing'}; "
            f"expected {', '.join(sorted(expected))}"
        )
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float64:
            raise CheckpointError(f"perturbation state: {name}: {tensor.dtype}; expected float64")
    return PerturbationState(**{name: tensors[name].cpu() for name in expected})


def _level_means(
    losses: Float[Tensor, " n"],
    members: Int[Tensor, "n attributes"],
    cardinalities: Sequence[int],
    mode: Mode,
) -> Float[Tensor, " levels"]:
    """Return the mean loss of each level, NaN where it is absent.

    Sums are taken on the CPU, where their order, and so their last bit, is fixed.
    """
    losses, members = losses.detach().cpu().double(), members.cpu()
    sizes = torch.tensor(cardinalities)
    if members.shape[1] != len(sizes):
        raise ValueError(f"members: {members.shape[1]} attributes; expected {len(sizes)}")
    ends = sizes.cumsum(dim=0)
    if ((members >= ends) | ((members >= 0) & (members < ends - sizes))).any():
        raise ValueError(f"members: a level outside its attribute; expected {list(cardinalities)}")
    known = members >= 0
    if mode == "repaired":
        known &= losses.isfinite()[:, None]
    index = members[known]
    total = torch.zeros(sum(cardinalities), dtype=torch.float64)
    total.index_add_(0, index, losses[:, None].expand_as(members)[known])
    return total / torch.bincount(index, minlength=len(total))


def _averaged(
    old: Float[Tensor, " levels"], new: Float[Tensor, " levels"], decay: float
) -> Float[Tensor, " levels"]:
    """Return moving averages; a level's first mean enters whole, an absent level keeps its own."""
    mixed = torch.where(old.isnan(), new, decay * old + (1 - decay) * new)
    return torch.where(new.isnan(), old, mixed)


def _evenness(means: Float[Tensor, " levels"], cardinalities: Sequence[int], mode: Mode) -> float:
    """Return minus the sum of the attributes' gaps between the largest and the smallest mean."""
    value = 0.0
    for levels in torch.split(means, list(cardinalities)):
        seen = levels[~levels.isnan()] if mode == "repaired" else levels
        gap = float(seen.max() - seen.min()) if len(seen) else 0.0
        value -= 0.0 if math.isnan(gap) else gap
    return value
