"""Weights that grow where a classifier does badly (Eq. 10)."""

from collections.abc import Mapping

import numpy as np


def inverse_performance(
    accuracies: Mapping[str, float],
    *,
    eps: float = 0.05,
    shares: Mapping[str, float] | None = None,
) -> dict[str, float]:
    r"""Return a loss weight for every subgroup from its validation accuracy.

    $$w_s=|S|\,\frac{1/(acc_s+\epsilon)}{\sum_{s'}1/(acc_{s'}+\epsilon)}$$ so that the mean over
    subgroups is 1.

    Args:
        accuracies: Validation accuracy of every subgroup in [0, 1]; NaN where it has no validation
            image: its weight is then 1 and it stays out of the mean.
        eps: Keeps a subgroup of zero accuracy from silencing all others; above 0.
        shares: Share of the training samples of every subgroup. If given, the mean over *samples*
            is 1 instead, so that the expected loss keeps its scale.

    Raises:
        ValueError: If there is no subgroup, an accuracy is outside [0, 1], or ``eps`` is not
            positive.

    Reference:
        Paper, Eq. 10. With ``eps`` of 1e-6 one subgroup at zero accuracy would take all weight.
    """
    if not accuracies or eps <= 0:
        raise ValueError(f"{len(accuracies)} subgroups, eps {eps}; expected one or more, eps > 0")
    for name, value in accuracies.items():
        if value < 0 or value > 1:
            raise ValueError(f"accuracy of {name}: {value}; expected a share in [0, 1]")
    known = {s: 1 / (value + eps) for s, value in accuracies.items() if not np.isnan(value)}
    mass = {s: 1.0 if shares is None else shares.get(s, 0.0) for s in known}
    total = sum(mass[s] * known[s] for s in known)
    if not total:
        return dict.fromkeys(accuracies, 1.0)
    scale = sum(mass.values()) / total
    return {s: known[s] * scale if s in known else 1.0 for s in accuracies}
