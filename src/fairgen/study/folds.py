"""Scores of several folds made one: the mean, with an interval from how far the folds differ."""

import math
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from scipy.stats import t

from fairgen.study.scoring import Row

KEY = ("metric", "method", "classifier", "reweight", "split", "seed", "group")
LEVEL = 0.95


def averaged(folds: Sequence[Sequence[Row]]) -> list[Row]:
    """Return one row for every figure that any fold has.

    The interval is Student's over folds. Their training data overlap, so that it is too narrow as
    a statement about another cohort; the note says what it is and lists the folds' values.

    Args:
        folds: The rows of each fold.
    """
    found: dict[tuple[object, ...], list[Row]] = {}
    for row in chain.from_iterable(folds):
        found.setdefault(tuple(row.get(k) for k in KEY), []).append(row)
    return [_mean(rows, len(folds)) for rows in found.values()]


def _mean(rows: Sequence[Row], folds: int) -> Row:
    values = [_number(row["value"]) for row in rows]
    known = [v for v in values if v is not None]
    count = min(int(row["n"] or 0) for row in rows)
    if len(known) < folds:
        reasons = "; ".join(dict.fromkeys(str(r["reason"]) for r in rows if r.get("reason")))
        reason = f"defined in {len(known)} of {folds} folds: {reasons}"
        return _row(rows[0], {"value": None, "low": None, "high": None, "n": count}, reason=reason)
    mean = float(np.mean(known))
    half = float(t.ppf((1 + LEVEL) / 2, folds - 1) * np.std(known, ddof=1) / math.sqrt(folds))
    least, most = bounds(str(rows[0]["metric"]))
    low, high = max(least, mean - half), min(most, mean + half)
    note = f"mean and t interval over {folds} folds: " + ", ".join(f"{v:.3g}" for v in known)
    return _row(rows[0], {"value": mean, "low": low, "high": high, "n": count}, note=note)


def bounds(metric: str) -> tuple[float, float]:
    """Return between which values a figure of images can lie."""
    if metric.startswith("kid_"):  # unbiased, so it may fall below zero
        return -math.inf, math.inf
    distance = metric.startswith(("fid_", "wasserstein_", "anatomy_distance"))
    return 0.0, math.inf if distance else 1.0


def _row(first: Row, figures: Mapping[str, float | int | None], **texts: str) -> Row:
    plain = {k: v for k, v in first.items() if k not in ("reason", "note")}
    return {**plain, **figures, **texts}


def _number(value: str | float | bool | None) -> float | None:
    return None if value is None else float(value)
