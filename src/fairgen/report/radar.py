"""Radar charts: several figures of one method, each turned so that outer is better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fairgen.report.chart import FAINT, Chart, colour
from fairgen.report.scores import Scores
from fairgen.report.spider import Polygon, Web, spider
from fairgen.report.words import method_text, subgroup_text

AXES: Mapping[str, str] = MappingProxyType(
    {
        "essp": "ESSP",
        "demographic_parity_mean": "1 − DP",
        "equal_opportunity_mean": "1 − EO",
        "nar": "1 − NAR",
        "worst_subgroup_accuracy": "Worst subgroup",
        "accuracy": "Accuracy",
    }
)
INVERTED = ("demographic_parity_mean", "equal_opportunity_mean", "nar")
CHANCE = 0.5
"""AUC of a classifier that guesses: the centre of the AUC radar."""


@dataclass(frozen=True)
class Arm:
    """Names one classifier's rows for one method, with and without reweighting."""

    method: str
    index: int
    plain: Scores
    weighted: Scores


def arm_of(scores: Scores, method: str, index: int) -> Arm:
    """Return the rows of one method."""
    own = scores.where(method=method)
    plain = Scores(tuple(r for r in own.rows if r.reweight is not True))
    return Arm(method, index, plain, own.where(reweight=True))


def axis_values(scores: Scores) -> tuple[float | None, ...]:
    """Return the radar's figures in the order of its axes, each in [0, 1], outer is better."""
    found = [scores.estimate(metric) for metric in AXES]
    values = [None if e is None else e.value for e in found]
    turned = [
        1 - v if v is not None and metric in INVERTED else v
        for metric, v in zip(AXES, values, strict=True)
    ]
    return tuple(None if v is None else min(max(v, 0.0), 1.0) for v in turned)


def auc_values(scores: Scores, subgroups: Sequence[str]) -> tuple[float | None, ...]:
    """Return the AUC of each subgroup."""
    found = [scores.estimate("auc", s) for s in subgroups]
    return tuple(None if e is None else e.value for e in found)


def radar(arm: Arm, base: Arm, name: str) -> Chart:
    """Return the radar of one method: without and with reweighting, over real images only."""
    web = Web(tuple(AXES.values()))
    values = (axis_values(s) for s in (base.plain, arm.plain, arm.weighted))
    return spider(name, method_text(arm.method), web, _polygons(arm, base, *values))


def auc_radar(arm: Arm, base: Arm, subgroups: Sequence[str], name: str) -> Chart:
    """Return the AUC of one method, an axis a subgroup, from chance at the centre to 1."""
    web = Web(tuple(map(subgroup_text, subgroups)), CHANCE)
    values = (auc_values(s, subgroups) for s in (base.plain, arm.plain, arm.weighted))
    return spider(name, method_text(arm.method), web, _polygons(arm, base, *values))


def _polygons(
    arm: Arm,
    base: Arm,
    real: tuple[float | None, ...],
    plain: tuple[float | None, ...],
    weighted: tuple[float | None, ...],
) -> list[Polygon]:
    tint = colour(arm.index)
    own = [Polygon("as it is", plain, tint), Polygon("reweighted", weighted, tint, dashed=True)]
    return own if arm is base else [Polygon("real only", real, FAINT), *own]
