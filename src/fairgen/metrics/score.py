"""One figure with its context: group, count, interval, and why it is missing if it is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

DIRECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "accuracy": "higher",
        "auc": "higher",
        "worst_subgroup_accuracy": "higher",
        "demographic_parity_worst": "lower",
        "demographic_parity_mean": "lower",
        "equal_opportunity_worst": "lower",
        "equal_opportunity_mean": "lower",
        "equal_opportunity_permuted": "none",
        "essp": "higher",
        "nar": "lower",
        "fairness_improvement": "higher",
        "essp_term": "higher",
        "demographic_parity_term": "higher",
        "equal_opportunity_term": "higher",
        "nar_term": "higher",
        "accuracy_change": "higher",
        "worst_subgroup_accuracy_change": "higher",
        "levelling_best": "higher",
        "levelling_worst": "higher",
        "fid": "lower",
        "kid": "lower",
        "fid_variance": "lower",
        "attribute_consistency": "higher",
        "label_consistency": "higher",
        "phenotype_fit": "higher",
        "phenotype_label": "higher",
        "phenotype_attribute": "higher",
        "unseen_fit": "higher",
        "unseen_label": "higher",
        "unseen_attribute": "higher",
        "measurable": "higher",
        "within_group": "none",
        "anatomy_distance": "lower",
        "wasserstein": "lower",
    }
)


@dataclass(frozen=True)
class Score:
    """Holds one figure.

    Attributes:
        metric: Name of the figure.
        group: ``overall``, a subgroup, or a group's key.
        value: The figure; NaN where undefined.
        n: Number of images behind it.
        low: Lower end of the 95% interval; NaN where there is none.
        high: Upper end of the 95% interval; NaN where there is none.
        reason: Why the value is undefined; empty where it is defined.
        note: What a reader must know beside a defined value, such as classes left out.
    """

    metric: str
    group: str
    value: float
    n: int
    low: float = math.nan
    high: float = math.nan
    reason: str = ""
    note: str = ""

    def as_dict(self) -> dict[str, str | int | float | None]:
        """Return the JSON-ready row; undefined numbers are None."""
        row: dict[str, str | int | float | None] = {
            "metric": self.metric,
            "group": self.group,
            "value": _number(self.value),
            "low": _number(self.low),
            "high": _number(self.high),
            "n": self.n,
            "direction": direction(self.metric),
        }
        extra = {"reason": self.reason if row["value"] is None else "", "note": self.note}
        return row | {key: text for key, text in extra.items() if text}


def direction(metric: str) -> str:
    """Return whether ``higher`` or ``lower`` is better, or ``none``.

    The extractor's name in ``fid_indomain`` or ``fid_indomain_variance`` does not matter, nor does
    the quantity's in ``wasserstein_redness``.

    Raises:
        ValueError: If the metric is unknown.
    """
    head, *rest = metric.split("_")
    short = f"{head}_variance" if rest[-1:] == ["variance"] else head
    name = short if head in ("fid", "kid", "wasserstein") else metric
    name = "within_group" if metric.startswith("within_group_") else name
    if name not in DIRECTIONS:
        raise ValueError(f"metric: unknown '{metric}'; expected one of {', '.join(DIRECTIONS)}")
    return DIRECTIONS[name]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
