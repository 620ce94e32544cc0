"""Whether probabilities mean what they say: Brier score, calibration error, temperature."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar

from fairgen.metrics.arrays import Labels, check_lengths

COLDEST, HOTTEST = 1e-2, 1e2
"""Between these lies a fitted temperature."""


@dataclass(frozen=True)
class Bin:
    """Holds one row of a reliability table.

    Attributes:
        low: Smallest probability in it.
        high: Largest probability in it.
        said: Mean probability.
        seen: Mean outcome.
        n: Number of samples.
    """

    low: float
    high: float
    said: float
    seen: float
    n: int


def brier_score(probabilities: Labels, outcomes: Labels) -> float:
    r"""Return the mean squared difference of probability and outcome, in [0, 1]; lower is better.

    $$\tfrac1n\sum_i(p_i-y_i)^2$$

    Args:
        probabilities: How likely each event was said to be.
        outcomes: 1 where it happened, 0 where not; shares between them count likewise.

    Raises:
        ValueError: If lengths differ, an input is empty, or a value is not in [0, 1].

    Reference:
        Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950; scikit-learn's
        ``brier_score_loss``.
    """
    said, seen = _checked(probabilities, outcomes)
    return float(np.square(said - seen).mean())


def expected_calibration_error(probabilities: Labels, outcomes: Labels, bins: int = 10) -> float:
    r"""Return how far probabilities are from frequencies, in [0, 1]; lower is better.

    $$\sum_b\tfrac{n_b}{n}\,\big|\overline{p}_b-\overline{y}_b\big|$$

    The bins hold equally many samples (see ``reliability``). The figure of calibrated
    probabilities is not zero: with $m$ samples a bin it is about $0.8\sqrt{p(1-p)/m}$.

    Args:
        probabilities: How likely each event was said to be.
        outcomes: 1 where it happened, 0 where not; shares between them count likewise.
        bins: Number of bins, at least 1.

    Raises:
        ValueError: If lengths differ, an input is empty, a value is not in [0, 1], or there is no
            bin.

    Reference:
        Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015;
        Nixon et al., "Measuring Calibration in Deep Learning", 2019, for bins of equal mass.
    """
    table = reliability(probabilities, outcomes, bins)
    return sum(b.n * abs(b.said - b.seen) for b in table) / sum(b.n for b in table)


def reliability(probabilities: Labels, outcomes: Labels, bins: int = 10) -> tuple[Bin, ...]:
    """Return probabilities beside frequencies, in bins of equal mass from low to high.

    Args:
        probabilities: How likely each event was said to be.
        outcomes: 1 where it happened, 0 where not; shares between them count likewise.
        bins: Number of bins, at least 1. Fewer are returned where there are fewer samples, or
            where equal probabilities, which are never parted, fill a bin's place.

    Raises:
        ValueError: If lengths differ, an input is empty, a value is not in [0, 1], or there is no
            bin.
    """
    if bins < 1:
        raise ValueError(f"bins: {bins}; expected at least 1")
    said, seen = _checked(probabilities, outcomes)
    place = _equal_mass(said, bins)
    members = [place == b for b in np.unique(place)]
    return tuple(_bin(said[rows], seen[rows]) for rows in members)


def fit_temperature(logits: Labels, outcomes: Labels) -> float:
    r"""Return the temperature $T$ under which $\sigma(l/T)$ explains the outcomes best.

    $$\min_T\;-\sum_i\log p(y_i\mid l_i/T)+\tfrac12(\log T)^2$$

    The second term is a weak prior about 1, without which a few samples that are all right would
    make all probabilities certain.

    Args:
        logits: Finite numbers of any scale.
        outcomes: 1 where the event happened, 0 where not; shares between them count likewise.

    Returns:
        A number from ``COLDEST`` to ``HOTTEST``; well above 1 where the logits are too sure.

    Raises:
        ValueError: If lengths differ, an input is empty, a logit is not finite, or an outcome is
            not in [0, 1].

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017; the prior is ours.
    """
    values, seen = _numbers(logits, "logits"), _shares(outcomes, "outcomes")
    check_lengths(logits=values, outcomes=seen)

    def loss(heat: float) -> float:
        scaled = values / np.exp(heat)
        return float((np.logaddexp(0, scaled) - seen * scaled).sum() + heat**2 / 2)

    bounds = (float(np.log(COLDEST)), float(np.log(HOTTEST)))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def _equal_mass(said: Float[np.ndarray, " n"], bins: int) -> Int[np.ndarray, " n"]:
    """Return each sample's bin, by how many samples have a smaller probability."""
    return np.searchsorted(np.sort(said), said, side="left") * bins // len(said)


def _bin(said: Float[np.ndarray, " m"], seen: Float[np.ndarray, " m"]) -> Bin:
    return Bin(
        float(said.min()), float(said.max()), float(said.mean()), float(seen.mean()), len(said)
    )


def _checked(
    probabilities: Labels, outcomes: Labels
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    said, seen = _shares(probabilities, "probabilities"), _shares(outcomes, "outcomes")
    check_lengths(probabilities=said, outcomes=seen)
    return said, seen


def _shares(values: Labels, name: str) -> Float[np.ndarray, " n"]:
    array = _numbers(values, name)
    wrong = array[(array < 0) | (array > 1)]
    if wrong.size:
        raise ValueError(f"{name}: holds {wrong[0]}; expected values in [0, 1]")
    return array


def _numbers(values: Labels, name: str) -> Float[np.ndarray, " n"]:
    array = np.asarray(values if hasattr(values, "__array__") else list(values))
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name}: shape {array.shape}; expected one value a sample, at least one")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name}: type {array.dtype}; expected numbers")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: holds NaN or infinity; expected a value for every sample")
    return array
