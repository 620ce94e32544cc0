"""From measured values to eight bits: windows, lookup tables and percentiles."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Integer, Num, UInt8

LOW, HIGH = 0.5, 99.5

Shape = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


def stretch(values: Num[np.ndarray, "*shape"], low: float, high: float) -> UInt8[np.ndarray, "..."]:
    r"""Return values as grey levels, $255 (v - a) / (b - a)$, rounded and kept within 0 to 255.

    Args:
        values: Finite numbers.
        low: $a$, which becomes black.
        high: $b$, which becomes white. Where it is not above ``low``, whatever exceeds ``low``
            is white and the rest black; so values that are all alike become black.
    """
    if high <= low:
        return np.where(values > low, 255, 0).astype(np.uint8)
    share = (np.asarray(values, np.float64) - low) / (high - low)
    return np.floor(np.clip(share, 0, 1) * 255 + 0.5).astype(np.uint8)


def windowed(
    values: Num[np.ndarray, "*shape"], centre: float, width: float, shape: Shape = "LINEAR"
) -> UInt8[np.ndarray, "..."]:
    r"""Return values as grey levels under a DICOM window.

    Args:
        values: Finite numbers, after rescaling.
        centre: $c$, the middle of the window.
        width: $w$, at least 1 for ``LINEAR``, above 0 for the others.
        shape: ``LINEAR`` runs from $c - w/2$ to $c + w/2 - 1$, ``LINEAR_EXACT`` from
            $c - w/2$ to $c + w/2$, ``SIGMOID`` is $255 / (1 + e^{-4 (v - c) / w})$.

    Raises:
        ValueError: If the width is too small.

    Reference:
        DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3.
    """
    if not width >= (1 if shape == "LINEAR" else np.finfo(float).tiny):
        raise ValueError(f"window width {width}; expected 1 or more, for some shapes above 0")
    if shape == "SIGMOID":
        power = np.clip(-4 * (np.asarray(values, np.float64) - centre) / width, -500, 500)
        return stretch(1 / (1 + np.exp(power)), 0, 1)
    off = 1 if shape == "LINEAR" else 0
    return stretch(values, centre - width / 2, centre + width / 2 - off)


def looked_up(
    values: Integer[np.ndarray, "*shape"], table: Integer[np.ndarray, " entries"], first: int
) -> Integer[np.ndarray, "..."]:
    """Return each value's entry in a table whose first entry stands for ``first``.

    Values below the table have its first entry, those above it its last.
    """
    return table[np.clip(values.astype(np.int64) - first, 0, len(table) - 1)]


def percentiles(
    values: Num[np.ndarray, "*shape"],
    low: float = LOW,
    high: float = HIGH,
    *,
    where: Bool[np.ndarray, "*shape"] | None = None,
) -> tuple[float, float]:
    """Return two percentiles of the finite values, or two zeros if there are none.

    Args:
        values: Any numbers.
        low: Per cent of the values that lie below the first.
        high: Per cent of the values that lie below the second.
        where: Values that count; ``None`` for all.
    """
    counted = np.isfinite(values) if where is None else np.isfinite(values) & where
    if not counted.any():
        return 0.0, 0.0
    found = np.percentile(values[counted], (low, high))
    return float(found[0]), float(found[1])


def filled(values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return values in which whatever is not finite has the smallest finite value, or zero."""
    finite = np.isfinite(values)
    if finite.all():
        return values
    lowest = values[finite].min() if finite.any() else values.dtype.type(0)
    return np.where(finite, values, lowest)
