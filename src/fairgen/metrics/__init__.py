"""Numbers from arrays: fidelity, prediction, gaps between subgroups, intervals. Pure."""

from fairgen.metrics.bootstrap import Interval, bootstrap, subject_weights
from fairgen.metrics.fidelity import (
    KernelEstimate,
    frechet_distance,
    kernel_distance,
    kernel_distance_blocks,
)
from fairgen.metrics.groups import (
    GroupValue,
    by_group,
    demographic_parity,
    equal_opportunity,
    equity_scaled,
    essp,
    nar,
    worst_subgroup_accuracy,
)
from fairgen.metrics.improvement import Improvement, Levelling, fairness_improvement, levelling
from fairgen.metrics.prediction import accuracy, auc, macro_accuracy
from fairgen.metrics.reweight import inverse_performance
from fairgen.metrics.score import DIRECTIONS, Score, direction

__all__ = [
    "DIRECTIONS",
    "GroupValue",
    "Improvement",
    "Interval",
    "KernelEstimate",
    "Levelling",
    "Score",
    "accuracy",
    "auc",
    "bootstrap",
    "by_group",
    "demographic_parity",
    "direction",
    "equal_opportunity",
    "equity_scaled",
    "essp",
    "fairness_improvement",
    "frechet_distance",
    "inverse_performance",
    "kernel_distance",
    "kernel_distance_blocks",
    "levelling",
    "macro_accuracy",
    "nar",
    "subject_weights",
    "worst_subgroup_accuracy",
]
