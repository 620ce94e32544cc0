"""How often images of each group are drawn: natural, class-balanced, square-root."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from types import MappingProxyType

from fairgen.cohort.schema import Group
from fairgen.errors import CohortError

Weights = dict[Group, float]


@dataclass(frozen=True)
class Resampler:
    """Names a rule from group counts to the draw weight of ONE image of each group.

    Attributes:
        name: Key in ``RESAMPLERS``.
        weights: The rule; an empty group has weight zero.
    """

    name: str
    weights: Callable[[Mapping[Group, int]], Weights]


def natural(counts: Mapping[Group, int]) -> Weights:
    """Return weight 1 for every image: groups are drawn as often as they occur."""
    return {g: 1.0 if n else 0.0 for g, n in counts.items()}


def cbrs(counts: Mapping[Group, int]) -> Weights:
    """Return $1 / n_g$: every group that has images is drawn equally often.

    Reference:
        FairGen, Eq. 1 at alpha = 0; Kang et al., "Decoupling Representation and Classifier for
        Long-Tailed Recognition", ICLR 2020.
    """
    return {g: 1.0 / n if n else 0.0 for g, n in counts.items()}


def sqrs(counts: Mapping[Group, int]) -> Weights:
    r"""Return $1 / \sqrt{n_g}$: a group is drawn in proportion to the root of its count.

    Reference:
        FairGen, Eq. 2 at alpha = 0; Kang et al., ICLR 2020.
    """
    return {g: 1.0 / sqrt(n) if n else 0.0 for g, n in counts.items()}


RESAMPLERS: Mapping[str, Resampler] = MappingProxyType(
    {
        r.name: r
        for r in (Resampler("natural", natural), Resampler("cbrs", cbrs), Resampler("sqrs", sqrs))
    }
)


def find_resampler(name: str) -> Resampler:
    """Return the resampler of that name.

    Raises:
        CohortError: If there is none; the message lists those that exist.
    """
    if name not in RESAMPLERS:
        raise CohortError(f"unknown resampler '{name}'; expected one of {', '.join(RESAMPLERS)}")
    return RESAMPLERS[name]


def shares(counts: Mapping[Group, int], weights: Mapping[Group, float]) -> dict[Group, float]:
    r"""Return the probability that a draw falls on each group, $n_g w_g / \sum_h n_h w_h$.

    Args:
        counts: Images of each group.
        weights: Draw weight of one image of each group, up to a common factor.

    Raises:
        CohortError: If every group is empty or has weight zero.
    """
    total = sum(n * weights[g] for g, n in counts.items())
    if total <= 0:
        raise CohortError("no image can be drawn: every group is empty or has weight zero")
    return {g: n * weights[g] / total for g, n in counts.items()}


def repeats(counts: Mapping[Group, int], weights: Mapping[Group, float]) -> dict[Group, float]:
    r"""Return how often one image is drawn in an epoch of $N = \sum_g n_g$ draws.

    $$N w_g / \sum_h n_h w_h$$

    Many repeats of few images invite a model to memorise them.

    Args:
        counts: Images of each group.
        weights: Draw weight of one image of each group, up to a common factor.

    Returns:
        Expected draws of one image, zero for an empty group.

    Raises:
        CohortError: If every group is empty or has weight zero.
    """
    total = sum(counts.values())
    drawn = shares(counts, weights)
    return {g: total * drawn[g] / n if n else 0.0 for g, n in counts.items()}
