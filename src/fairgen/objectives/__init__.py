"""What is minimised: one small function an equation, one thin term. Pure."""

from fairgen.objectives.denoising import denoising_error
from fairgen.objectives.diversity import LAWS, diversity_penalty, other_law
from fairgen.objectives.objective import Diversity, Objective, Step, Term, build_objective

__all__ = [
    "LAWS",
    "Diversity",
    "Objective",
    "Step",
    "Term",
    "build_objective",
    "denoising_error",
    "diversity_penalty",
    "other_law",
]
