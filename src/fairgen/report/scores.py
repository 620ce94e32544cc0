"""Rows of ``scores.jsonl``, and their summary over seeds."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

OVERALL = "overall"
FLOORS = ("real", "autoencoder")  # methods that generate nothing


@dataclass(frozen=True)
class Row:
    """Holds one line of ``scores.jsonl``; what a line lacks is empty or ``None``."""

    metric: str
    method: str
    classifier: str | None = None
    reweight: bool | None = None
    split: str = ""
    group: str = OVERALL
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    seed: int | None = None
    direction: str = "none"
    reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class Estimate:
    """Summarises one figure over seeds.

    Attributes:
        value: Mean over the seeds where it is defined; ``None`` where it is nowhere.
        low: Smallest lower bound of the seeds' intervals; ``None`` without any.
        high: Largest upper bound.
        n: Smallest sample size.
        by_seed: The figure of each seed where it is defined.
        reason: Why it is undefined, for the seeds where it is.
        note: What must be known beside it, such as labels that were left out.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    by_seed: Mapping[int, float] | None = None
    reason: str = ""
    note: str = ""

    @property
    def seeds(self) -> int:
        """Return for how many seeds the figure is defined."""
        return len(self.by_seed or {})


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _integer(value: object) -> int | None:
    number = _finite(value)
    return None if number is None else int(number)


def row(fields: Mapping[str, Any]) -> Row:
    """Return the row that a decoded line describes; unknown keys are left aside."""
    reweight = fields.get("reweight")
    return Row(
        metric=str(fields.get("metric", "")),
        method=str(fields.get("method", "")),
        classifier=None if fields.get("classifier") is None else str(fields["classifier"]),
        reweight=reweight if isinstance(reweight, bool) else None,
        split=str(fields.get("split") or ""),
        group=str(fields.get("group") or OVERALL),
        value=_finite(fields.get("value")),
        low=_finite(fields.get("low")),
        high=_finite(fields.get("high")),
        n=_integer(fields.get("n")),
        seed=_integer(fields.get("seed")),
        direction=str(fields.get("direction") or "none"),
        reason=str(fields.get("reason") or ""),
        note=str(fields.get("note") or ""),
    )


def parse_rows(text: str) -> tuple[tuple[Row, ...], int]:
    """Return the rows of a JSON-lines text, and how many lines could not be read."""
    rows, bad = [], 0
    for line in filter(str.strip, text.splitlines()):
        try:
            fields = json.loads(line)
        except json.JSONDecodeError:
            fields = None
        if isinstance(fields, dict) and fields.get("metric"):
            rows.append(row(fields))
        else:
            bad += 1
    return tuple(rows), bad


def pooled(rows: Iterable[Row]) -> Estimate:
    """Return mean over seeds, and an interval that spans every seed's own interval."""
    found = list({(r.seed, r.split): r for r in rows}.values())
    known = [r for r in found if r.value is not None]
    reason = next((r.reason for r in found if r.value is None and r.reason), "")
    if not known:
        return Estimate(None, n=_least(r.n for r in found), reason=reason or "no figure written")
    values = {i if r.seed is None else r.seed: r.value for i, r in enumerate(known)}
    numbers = [v for v in values.values() if v is not None]
    lows, highs = [r.low for r in known], [r.high for r in known]
    bounded = all(v is not None for v in (*lows, *highs))
    return Estimate(
        value=sum(numbers) / len(numbers),
        low=min(v for v in lows if v is not None) if bounded else None,
        high=max(v for v in highs if v is not None) if bounded else None,
        n=_least(r.n for r in known),
        by_seed={s: v for s, v in values.items() if v is not None},
        reason=reason,
        note="; ".join(dict.fromkeys(r.note for r in known if r.note)),
    )


def _least(counts: Iterable[int | None]) -> int | None:
    return min((c for c in counts if c is not None), default=None)


@dataclass(frozen=True)
class Scores:
    """Holds all rows of a run and answers questions about them."""

    rows: tuple[Row, ...] = ()

    @cached_property
    def _by_metric(self) -> Mapping[str, tuple[Row, ...]]:
        found: dict[str, list[Row]] = {}
        for r in self.rows:
            found.setdefault(r.metric, []).append(r)
        return {metric: tuple(rows) for metric, rows in found.items()}

    def where(self, **fields: str | bool | None) -> "Scores":
        """Return the rows whose named fields have exactly these values."""
        metric = fields.pop("metric", None)
        rows = self._by_metric.get(metric, ()) if isinstance(metric, str) else self.rows
        return Scores(tuple(r for r in rows if all(getattr(r, k) == v for k, v in fields.items())))

    def names(self, field: str) -> tuple[str, ...]:
        """Return the distinct non-empty texts of a field, in order of first appearance."""
        values = (getattr(r, field) for r in self.rows)
        return tuple(dict.fromkeys(v for v in values if isinstance(v, str) and v))

    def seeds(self) -> tuple[int, ...]:
        """Return the seeds, sorted."""
        return tuple(sorted({r.seed for r in self.rows if r.seed is not None}))

    def estimate(self, metric: str, group: str = OVERALL) -> Estimate | None:
        """Return a metric of one group over seeds; ``None`` where no row speaks of it."""
        rows = self.where(metric=metric, group=group).rows
        return pooled(rows) if rows else None
