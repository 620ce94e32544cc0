"""What is minimised: one small function an equation, one thin term. Pure."""

from fairgen.objectives.denoising import denoising_error, min_snr_weight
from fairgen.objectives.diversity import LAWS, Diversity, diversity_penalty, other_law
from fairgen.objectives.gradient_norm import Awareness, NormWindow, hardness, last_layer_norm
from fairgen.objectives.objective import Objective, Pairs, Step, Term, build_objective
from fairgen.objectives.perturbation import Perturbation
from fairgen.objectives.preference import (
    Alignment,
    implicit_accuracy,
    preference_logit,
    preference_loss,
    reference_logit,
)

__all__ = [
    "LAWS",
    "Alignment",
    "Awareness",
    "Diversity",
    "NormWindow",
    "Objective",
    "Pairs",
    "Perturbation",
    "Step",
    "Term",
    "build_objective",
    "denoising_error",
    "diversity_penalty",
    "hardness",
    "implicit_accuracy",
    "last_layer_norm",
    "min_snr_weight",
    "other_law",
    "preference_logit",
    "preference_loss",
    "reference_logit",
]
