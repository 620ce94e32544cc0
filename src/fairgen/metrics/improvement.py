"""What synthetic images changed, against the classifier without them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

NEAR_ZERO = 0.02
"""Base gaps below this give no ratio: dividing by them turns noise into hundreds of percent."""

TERMS = ("essp", "demographic_parity", "equal_opportunity", "nar")


@dataclass(frozen=True)
class Improvement:
    """Holds fairness improvement and its four terms; NaN where a base value is near zero.

    Attributes:
        value: Mean of the four terms; 0.5 reads as 50%.
        terms: Relative change of ESSP, and relative reductions of DP, EO and NAR.
        reason: Which base value was too small; empty where ``value`` is defined.
    """

    value: float
    terms: Mapping[str, float]
    reason: str


def fairness_improvement(
    base: Mapping[str, float], new: Mapping[str, float], *, near_zero: float = NEAR_ZERO
) -> Improvement:
    r"""Return the mean of four relative changes, each positive where fairness grew.

    $$\tfrac14\Big[\tfrac{ESSP'}{ESSP}-1+1-\tfrac{DP'}{DP}+1-\tfrac{EO'}{EO}+1-\tfrac{NAR'}{NAR}\Big]$$

    Args:
        base: Values of ``essp``, ``demographic_parity``, ``equal_opportunity`` and ``nar`` of the
            classifier without synthetic images, of at least 0.
        new: The same values with synthetic images.
        near_zero: A term whose base value is below this is missing, and so is the mean.

    Raises:
        ValueError: If a key is missing or a value is negative.

    Reference:
        Paper, "fairness improvement"; the formula reproduces its headline from its Table 1.
    """
    for name, values in (("base", base), ("new", new)):
        for term in TERMS:
            if term not in values:
                raise ValueError(f"{name}: no '{term}'; expected {', '.join(TERMS)}")
            if values[term] < 0:
                raise ValueError(f"{name}: {term} is {values[term]}; expected at least 0")
    columns = [np.array([values[t] for t in TERMS])[None] for values in (base, new)]
    found = improvement_terms(columns[0], columns[1], near_zero)[0]
    terms = dict(zip(TERMS, (float(v) for v in found), strict=True))
    return Improvement(float(found.mean()), terms, _reason(base, new, near_zero))


def improvement_terms(
    base: Float[np.ndarray, "r 4"], new: Float[np.ndarray, "r 4"], near_zero: float = NEAR_ZERO
) -> Float[np.ndarray, "r 4"]:
    """Return the four terms of each replicate; NaN where a base value is below ``near_zero``."""
    usable = ~np.isnan(base) & (base >= near_zero) & (base > 0)
    ratio = np.divide(new, base, out=np.full(base.shape, np.nan), where=usable)
    signs = np.array([1.0, -1.0, -1.0, -1.0])
    change: np.ndarray = signs * (ratio - 1.0)
    return change


def _reason(base: Mapping[str, float], new: Mapping[str, float], near_zero: float) -> str:
    found = []
    for term in TERMS:
        if np.isnan(base[term]) or np.isnan(new[term]):
            found.append(f"{term} is undefined")
        elif base[term] < near_zero or not base[term]:
            found.append(f"base {term} {base[term]:.3f} is below {near_zero}")
    return "; ".join(found)


@dataclass(frozen=True)
class Levelling:
    """Holds the change in accuracy of the base's best and worst subgroup.

    Attributes:
        best: Change of the subgroup that was best; below 0 means that it was pushed down.
        worst: Change of the subgroup that was worst; above 0 means that it was lifted.
        best_subgroup: Its name.
        worst_subgroup: Its name.
    """

    best: float
    worst: float
    best_subgroup: str
    worst_subgroup: str


def levelling(base: Mapping[str, float], new: Mapping[str, float]) -> Levelling:
    """Return how the best and the worst subgroup of the base changed, apart.

    The subgroups are named by the base and then followed, so that one which falls from the top is
    seen to fall. Being picked for its extreme value, each tends back to the mean on its own.

    Args:
        base: Accuracy of every subgroup without synthetic images; NaN where it has no sample.
        new: The same subgroups with synthetic images.

    Raises:
        ValueError: If the subgroups differ or none has a value.
    """
    if set(base) != set(new):
        raise ValueError(f"subgroups: {sorted(base)} and {sorted(new)}; expected the same")
    known = {s: v for s, v in base.items() if not np.isnan(v)}
    if not known:
        raise ValueError("base: no subgroup has an accuracy; expected at least one")
    best, worst = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
    return Levelling(new[best] - base[best], new[worst] - base[worst], best, worst)
