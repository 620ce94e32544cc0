"""Which scales make the training fairest: a Gaussian process and its upper confidence bound."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

Bound = Callable[[np.ndarray], np.ndarray]

RAW = 20
"""Random points among which the search looks for places to start from."""

STARTS = 5
"""Best of those points, from each of which the bound is climbed."""


def fairest_scales(
    inputs: Float[np.ndarray, "seen levels"],
    values: Float[np.ndarray, " seen"],
    *,
    confidence: float,
    seed: int,
) -> Float[np.ndarray, " levels"] | None:
    r"""Return the scales whose fairness may be highest, or nothing if there is nothing to learn.

    $$\arg\max_{\sigma\in[0,1]^D}\ \mu(\sigma)+\sqrt{\beta}\,s(\sigma)$$

    $\mu$ and $s$ are mean and standard deviation of the fairness value without its noise, after
    the values were brought to mean zero and spread one.

    Args:
        inputs: Scales that were tried.
        values: Fairness seen under each; what is not finite is left out.
        confidence: $\beta$; zero trusts the mean alone.
        seed: Seed of the points that the search starts from.

    Returns:
        Scales in [0, 1]; ``None`` if fewer than two different scales or values are left.

    Reference:
        Srinivas et al., "Gaussian Process Optimization in the Bandit Setting", ICML 2010. The
        square root is that of BoTorch, which FairDiffusion uses.
    """
    finite = np.isfinite(values)
    x, y = inputs[finite], values[finite]
    # The mean of equal values may be off by their last bit, so their spread need not be zero.
    if len(np.unique(x, axis=0)) < 2 or y.std() <= 1e-12 * np.abs(y).max():
        return None
    process = _fit(x, (y - y.mean()) / y.std())
    noise = process.kernel_.k2.noise_level

    def bound(points: Float[np.ndarray, "points levels"]) -> Float[np.ndarray, " points"]:
        mean, spread = process.predict(points, return_std=True)
        # The process counts the noise of one more look; the place itself is what is uncertain.
        variance = np.maximum(spread**2 - noise, 1e-12)
        return np.asarray(mean + np.sqrt(confidence * variance))

    raw = np.random.default_rng(seed).random((RAW, x.shape[1]))
    starts = raw[np.argsort(-bound(raw), kind="stable")[:STARTS]]
    tops = [_climb(bound, start) for start in starts]
    return tops[int(np.argmax(bound(np.stack(tops))))]


def _climb(bound: Bound, start: Float[np.ndarray, " levels"]) -> Float[np.ndarray, " levels"]:
    """Return the nearest top of a bound within [0, 1]."""

    def depth(point: Float[np.ndarray, " levels"]) -> float:
        return -float(bound(point[None])[0])

    limits = [(0.0, 1.0)] * len(start)
    found = minimize(depth, [float(v) for v in start], method="L-BFGS-B", bounds=limits)
    return np.clip(np.asarray(found.x), 0.0, 1.0)


def _fit(inputs: Float[np.ndarray, "seen levels"], values: Float[np.ndarray, " seen"]) -> Any:  # noqa: ANN401 - a regressor of scikit-learn
    """Return the process of highest marginal likelihood.

    All levels share one length: a window holds few points, nearly on a line, and one length for
    each level would be fitted to noise.
    """
    # Imported here: it takes a second, and one method of many needs it.
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
    from sklearn.gaussian_process import GaussianProcessRegressor  # noqa: PLC0415
    from sklearn.gaussian_process.kernels import (  # noqa: PLC0415
        ConstantKernel,
        Matern,
        WhiteKernel,
    )

    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(0.5, (0.05, 10.0), nu=2.5)
    process = GaussianProcessRegressor(kernel + WhiteKernel(0.1, (1e-4, 10.0)), alpha=1e-8)
    with warnings.catch_warnings():
        # A length or a noise at its limit is an answer here: values without any trend end there.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return process.fit(inputs, values)
