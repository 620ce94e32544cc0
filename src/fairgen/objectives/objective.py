"""A weighted sum of named terms over one step of training (paper, Eq. 3, 4 and 8)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fairgen.diffusion.schedule import Latents
from fairgen.objectives.denoising import denoising_error
from fairgen.objectives.diversity import (
    Diversity,
    diversity_penalty,
    ramped,
    relative_strength,
)
from fairgen.objectives.preference import (
    Alignment,
    PerPair,
    implicit_accuracy,
    preference_logit,
    preference_loss,
    reference_logit,
    scaled_gradient,
)

Parts = dict[str, Float[Tensor, ""]]


@dataclass(frozen=True)
class Pairs:
    """Holds what the preference terms look at: winners and losers of one prompt each.

    Attributes:
        winner: What the network said for the winners.
        winner_target: What it should have said.
        loser: What it said for the losers.
        loser_target: What it should have said.
        error_weight: Lambda of Eq. 7.
        margin: What the reward model adds to the logit before beta; zero without one.
        reference: The two errors under the reference network, winners first, if there is one.
        loser_scale: Factor of the losers' gradient, where the winners are safeguarded.
    """

    winner: Latents
    winner_target: Latents
    loser: Latents
    loser_target: Latents
    error_weight: float = 1.0
    margin: PerPair | float = 0.0
    reference: tuple[PerPair, PerPair] | None = None
    loser_scale: Tensor | float = 1.0

    @property
    def errors(self) -> tuple[PerPair, PerPair]:
        """Return the errors of winners and losers, in fp32."""
        return (
            denoising_error(self.winner, self.winner_target),
            denoising_error(self.loser, self.loser_target),
        )


@dataclass(frozen=True)
class Step:
    """Holds all that a term may look at.

    Attributes:
        prediction: What the network said under each image's own prompt.
        target: What it should have said.
        t: Noise steps, counted from zero.
        horizon: Number of noise steps $T$.
        kept: Whether the caption was kept.
        other: What it said under another group's prompt, if a term asks for it.
        progress: Share of the training that is done, in [0, 1].
        weights: Weight of each image's denoising error; unset, 1.
        borrows: How much each image's group borrows from others; unset, 1.
    """

    prediction: Latents
    target: Latents
    t: Int[Tensor, " batch"]
    horizon: int
    kept: Bool[Tensor, " batch"]
    other: Latents | None = None
    progress: float = 0.0
    weights: Float[Tensor, " batch"] | None = None
    borrows: Float[Tensor, " batch"] | None = None


Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Term(Generic[Seen]):
    """Names one part of an objective: a loss for each image or pair, and its weight."""

    name: str
    loss: Callable[[Seen], Float[Tensor, " items"]]
    weight: float = 1.0


@dataclass(frozen=True)
class Objective:
    """Sums weighted terms and reduces them, once, to the batch mean.

    Images and preference pairs are summed apart, so that a training need not hold the graphs of
    both at once: the gradient of the sum is the sum of the gradients.

    Attributes:
        terms: Terms of images.
        pair_terms: Terms of preference pairs.
    """

    terms: tuple[Term[Step], ...]
    pair_terms: tuple[Term[Pairs], ...] = ()

    def __call__(self, step: Step) -> tuple[Float[Tensor, ""], Parts]:
        """Return the total of images and each term's mean (weighted, without gradient)."""
        return _total(self.terms, step)

    def of_pairs(self, pairs: Pairs) -> tuple[Float[Tensor, ""], Parts]:
        """Return the total of preference pairs and each term's mean, likewise."""
        return _total(self.pair_terms, pairs)


def _total(terms: Sequence[Term[Seen]], seen: Seen) -> tuple[Float[Tensor, ""], Parts]:
    means = {term.name: term.weight * term.loss(seen).mean() for term in terms}
    return torch.stack([*means.values()]).sum(), {n: m.detach() for n, m in means.items()}


def build_objective(
    diversity: Diversity | None = None, alignment: Alignment | None = None
) -> Objective:
    """Return the denoising objective, with the terms of class diversity and of preferences."""
    terms = [Term("denoising", _denoising)]
    pair_terms: list[Term[Pairs]] = []
    if diversity is not None:
        terms.append(Term("diversity", lambda step: _diversity(diversity, step)))
    if alignment is not None:
        own = alignment.weight
        pair_terms.append(
            Term("preference", lambda p: preference_loss(pair_logit(alignment, p)), own)
        )
        if alignment.winner_weight:
            pair_terms.append(Term("winner", lambda p: p.errors[0], own * alignment.winner_weight))
    return Objective(tuple(terms), tuple(pair_terms))


def _denoising(step: Step) -> Float[Tensor, " batch"]:
    error = denoising_error(step.prediction, step.target)
    return error if step.weights is None else error * step.weights


def _diversity(settings: Diversity, step: Step) -> Float[Tensor, " batch"]:
    """Return the penalty of each image; zero where the caption was dropped."""
    if step.other is None:
        raise ValueError("the diversity term needs the prediction under another prompt")
    penalty = diversity_penalty(
        step.prediction,
        step.other,
        step.t,
        horizon=step.horizon,
        tau=settings.tau * ramped(settings.ramp, step.progress),
        gamma=settings.gamma,
    )
    if settings.relative:
        gap = denoising_error(step.prediction, step.other)
        penalty = penalty * relative_strength(gap, denoising_error(step.prediction, step.target))
    if settings.rare and step.borrows is not None:
        penalty = penalty * step.borrows
    return penalty * step.kept


def pair_logit(settings: Alignment, pairs: Pairs) -> PerPair:
    """Return the logit of each pair under the settings' variant.

    Raises:
        ValueError: If the variant needs reference errors and there are none.
    """
    winner, loser = pairs.errors
    loser = scaled_gradient(loser, pairs.loser_scale)
    beta = settings.steepness
    if settings.variant == "fairgen":
        return preference_logit(
            winner, loser, beta=beta, error_weight=pairs.error_weight, margin=pairs.margin
        )
    if pairs.reference is None:
        raise ValueError("diffusion-dpo needs the errors under a reference network")
    return reference_logit(winner, loser, *pairs.reference, beta=beta)


def pair_figures(settings: Alignment, pairs: Pairs) -> Parts:
    """Return what is logged of pairs: errors of winners and losers apart, implicit accuracy.

    With a reference network, ``winner_gap`` and ``loser_gap`` are the errors less the reference's.
    """
    winner, loser = (e.detach() for e in pairs.errors)
    logit = pair_logit(settings, pairs).detach()
    found = {
        "implicit_accuracy": implicit_accuracy(logit).mean(),
        "logit": logit.mean(),
        "winner_error": winner.mean(),
        "loser_error": loser.mean(),
    }
    if pairs.reference is not None:
        found["winner_gap"] = (winner - pairs.reference[0]).mean()
        found["loser_gap"] = (loser - pairs.reference[1]).mean()
    return found
