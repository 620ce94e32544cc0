"""A weighted sum of named terms over one step of training (paper, Eq. 3 and 4)."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from fairgen.diffusion.schedule import Latents
from fairgen.objectives.denoising import denoising_error
from fairgen.objectives.diversity import diversity_penalty


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
    """

    prediction: Latents
    target: Latents
    t: Int[Tensor, " batch"]
    horizon: int
    kept: Bool[Tensor, " batch"]
    other: Latents | None = None


@dataclass(frozen=True)
class Term:
    """Names one part of an objective: a loss for each image, and its weight."""

    name: str
    loss: Callable[[Step], Float[Tensor, " batch"]]
    weight: float = 1.0


@dataclass(frozen=True)
class Diversity:
    """Sets the class-diversity term.

    Attributes:
        tau: Strength; zero switches the term off.
        gamma: Share of the commitment part, in [0, 1]; zero makes the second pass gradient-free.
        law: How the other group is drawn, a key of ``LAWS``.
    """

    tau: float = 1.0
    gamma: float = 0.0
    law: str = "other"

    def __call__(self, step: Step) -> Float[Tensor, " batch"]:
        """Return the penalty of each image; zero where the caption was dropped."""
        if step.other is None:
            raise ValueError("the diversity term needs the prediction under another prompt")
        penalty = diversity_penalty(
            step.prediction,
            step.other,
            step.t,
            horizon=step.horizon,
            tau=self.tau,
            gamma=self.gamma,
        )
        return penalty * step.kept


@dataclass(frozen=True)
class Objective:
    """Sums weighted terms and reduces them, once, to the batch mean."""

    terms: tuple[Term, ...]

    def __call__(self, step: Step) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Return the total and each term's mean (weighted, without gradient)."""
        means = {term.name: term.weight * term.loss(step).mean() for term in self.terms}
        return sum(means.values(), start=step.prediction.new_zeros(())), {
            name: mean.detach() for name, mean in means.items()
        }


def build_objective(diversity: Diversity | None = None) -> Objective:
    """Return the denoising objective, with the class-diversity term if one is given."""
    terms = [Term("denoising", lambda step: denoising_error(step.prediction, step.target))]
    if diversity is not None:
        terms.append(Term("diversity", diversity))
    return Objective(tuple(terms))
