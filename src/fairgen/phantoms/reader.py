"""What oracles learn: to tell signs in pixels, and to turn readings into true values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

Table = Float[np.ndarray, "rows _"]


@dataclass(frozen=True)
class PixelReader:
    """Turns readings into shares of signs: a softmax of a linear map.

    Attributes:
        mean: Mean of each reading.
        spread: Standard deviation of each reading.
        weights: One column a sign; the last row is the offset.
    """

    mean: Float[np.ndarray, " k"]
    spread: Float[np.ndarray, " k"]
    weights: Table

    def shares(self, read: Float[np.ndarray, "k n n"]) -> Float[np.ndarray, "signs n n"]:
        """Return the share of each sign in each pixel."""
        flat = (read.reshape(len(read), -1).T - self.mean) / self.spread
        score = np.clip(flat, -6, 6) @ self.weights[:-1] + self.weights[-1]
        return np.asarray(softmax(score, axis=1).T.reshape(-1, *read.shape[1:]).astype(np.float32))


def fit_reader(
    rows: Table, shares: Table, weight: np.ndarray, decay: float = 1e-4, steps: int = 60
) -> PixelReader:
    """Return the reader that best tells the shares of known pixels (multinomial regression).

    Args:
        rows: Readings, one row a pixel.
        shares: True shares of the signs, one row a pixel.
        weight: How much each pixel counts.
        decay: Strength of the penalty on squared weights.
        steps: Most steps of the optimiser.
    """
    weight = (weight / weight.sum()).astype(np.float32)[:, None]
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    x = np.column_stack([np.clip((rows - mean) / spread, -6, 6), np.ones(len(rows))]).astype(
        np.float32
    )
    shape = (x.shape[1], shares.shape[1])

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape).astype(np.float32)
        score = x @ weights
        log_share = score - logsumexp(score, axis=1, keepdims=True)
        slope = x.T @ (weight * (np.exp(log_share) - shares)) + 2 * decay * weights
        value = -np.sum(weight * shares * log_share) + decay * np.sum(weights**2)
        return float(value), slope.ravel().astype(np.float64)

    best = minimize(
        loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": steps}
    )
    return PixelReader(mean, spread, best.x.reshape(shape))


def fit_lines(
    found: Sequence[tuple[Mapping[str, float], Mapping[str, float]]],
) -> dict[str, tuple[float, float]]:
    """Return, for each quantity, offset and slope of the line from readings to true values.

    Args:
        found: Reading and truth of each example, under the same names.
    """
    lines = {}
    for key in found[0][0]:
        reading, truth = np.array([(seen[key], known[key]) for seen, known in found]).T
        slope, offset = np.polyfit(reading, truth, 1)
        lines[key] = (float(offset), float(slope))
    return lines
