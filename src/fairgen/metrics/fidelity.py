"""How far generated images are from real ones, in feature space: FID and KID.

FID grows as samples shrink, so values are comparable only at one sample size and one extractor;
KID does not depend on the sample size on average.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from scipy.linalg import eigh, svdvals

from fairgen.cohort.seed import derive
from fairgen.metrics.arrays import Matrix, feature_matrix


def frechet_distance(real_features: Matrix, synthetic_features: Matrix) -> float:
    r"""Return the squared Fréchet distance of two Gaussians fitted to features (FID).

    $$\lVert\mu-\mu'\rVert^2+\mathrm{tr}(\Sigma+\Sigma'-2(\Sigma\Sigma')^{1/2})$$ The last trace is
    the sum of the singular values of $\Sigma^{1/2}\Sigma'^{1/2}$, whose roots come from symmetric
    eigenvalue problems: no root of a non-symmetric matrix, no imaginary part.

    Args:
        real_features: One row an image, at least two; more rows than columns for a sound figure.
        synthetic_features: The same number of columns.

    Returns:
        A value of at least 0, 0 for the same set.

    Raises:
        ValueError: If a shape is wrong, the columns differ, or a value is not finite.

    Reference:
        Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017.
    """
    real, synthetic = _pair(real_features, synthetic_features)
    ones = np.ones((1, len(real))), np.ones((1, len(synthetic)))
    return float(weighted_frechet(real, synthetic, *ones)[0])


def weighted_frechet(
    real: Float[np.ndarray, "n d"],
    synthetic: Float[np.ndarray, "m d"],
    real_weights: Shaped[np.ndarray, "r n"],
    synthetic_weights: Shaped[np.ndarray, "r m"],
) -> Float[np.ndarray, " r"]:
    """Return FID under each row of sample weights (how often each image counts)."""
    values = [
        _frechet(_moments(real, w), _moments(synthetic, v))
        for w, v in zip(real_weights, synthetic_weights, strict=True)
    ]
    return np.array(values)


@dataclass(frozen=True)
class _Moments:
    mean: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]


def _moments(features: Float[np.ndarray, "n d"], weights: Shaped[np.ndarray, " n"]) -> _Moments:
    total = weights.sum()
    mean = weights @ features / total
    centred = features - mean
    return _Moments(mean, (centred * weights[:, None]).T @ centred / (total - 1))


def _frechet(real: _Moments, synthetic: _Moments) -> float:
    step = real.mean - synthetic.mean
    cross = svdvals(_root(real.covariance) @ _root(synthetic.covariance)).sum()
    total = np.trace(real.covariance) + np.trace(synthetic.covariance)
    return max(0.0, float(step @ step + total - 2 * cross))


def _root(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    values, vectors = eigh(covariance)
    root: np.ndarray = (vectors * np.sqrt(values.clip(0.0))) @ vectors.T
    return root


def kernel_distance(
    real_features: Matrix,
    synthetic_features: Matrix,
    *,
    degree: int = 3,
    blocks: int | None = None,
    seed: int = 0,
) -> float:
    r"""Return the squared maximum mean discrepancy under a polynomial kernel (KID).

    The U-statistic with $k(x,y)=(x\cdot y/d+1)^{degree}$ over all pairs of different images. It is
    right on average at every sample size, and so may fall a little below 0.

    Args:
        real_features: One row an image, at least two.
        synthetic_features: The same number of columns.
        degree: Degree of the kernel, at least 1.
        blocks: If given, the mean over that many disjoint blocks, which needs less memory.
        seed: Seed of the blocks; unused without them.

    Raises:
        ValueError: If a shape is wrong, the columns differ, a value is not finite, or the degree is
            below 1.

    Reference:
        Bińkowski et al., "Demystifying MMD GANs", ICLR 2018.
    """
    real, synthetic = _pair(real_features, synthetic_features)
    if blocks is not None:
        found = kernel_distance_blocks(real, synthetic, blocks=blocks, degree=degree, seed=seed)
        return found.value
    ones = np.ones((1, len(real))), np.ones((1, len(synthetic)))
    return float(weighted_kernel(real, synthetic, *ones, degree=degree)[0])


def weighted_kernel(
    real: Float[np.ndarray, "n d"],
    synthetic: Float[np.ndarray, "m d"],
    real_weights: Shaped[np.ndarray, "r n"],
    synthetic_weights: Shaped[np.ndarray, "r m"],
    *,
    degree: int = 3,
) -> Float[np.ndarray, " r"]:
    """Return KID under each row of sample weights.

    Pairs of an image with its own copy never count, whatever the weights, so that a bootstrap stays
    centred on the value.

    Raises:
        ValueError: If the degree is below 1.
    """
    if degree < 1:
        raise ValueError(f"degree: {degree}; expected at least 1")
    w, v = real_weights.astype(np.float64), synthetic_weights.astype(np.float64)
    across: np.ndarray = np.einsum(
        "rn,nm,rm->r", w, _kernel(real, synthetic, degree), v, optimize=True
    )
    across /= w.sum(1) * v.sum(1)
    within = _within(real, w, degree) + _within(synthetic, v, degree)
    distance: np.ndarray = within - 2 * across
    return distance


def _kernel(
    left: Float[np.ndarray, "n d"], right: Float[np.ndarray, "m d"], degree: int
) -> Float[np.ndarray, "n m"]:
    kernel: np.ndarray = (left @ right.T / left.shape[1] + 1.0) ** degree
    return kernel


def _within(
    features: Float[np.ndarray, "n d"], weights: Float[np.ndarray, "r n"], degree: int
) -> Float[np.ndarray, " r"]:
    kernel = _kernel(features, features, degree)
    np.fill_diagonal(kernel, 0.0)
    pairs = weights.sum(1) ** 2 - (weights**2).sum(1)
    total: np.ndarray = np.einsum("rn,rn->r", weights @ kernel, weights) / pairs
    return total


@dataclass(frozen=True)
class KernelEstimate:
    """Holds the mean KID of disjoint blocks and the standard error of that mean."""

    value: float
    error: float
    blocks: int
    size: int


def kernel_distance_blocks(
    real_features: Matrix,
    synthetic_features: Matrix,
    *,
    blocks: int = 10,
    degree: int = 3,
    seed: int = 0,
) -> KernelEstimate:
    """Return KID as the mean over disjoint blocks of images, with its standard error.

    Disjoint blocks are independent, which overlapping subsets are not: the spread of those says
    nothing about the error.

    Args:
        real_features: One row an image.
        synthetic_features: The same number of columns.
        blocks: Number of blocks, at least 2; each must hold at least two images of both sets.
        degree: Degree of the kernel.
        seed: Seed of the shuffle.

    Raises:
        ValueError: If a shape is wrong or there are too few images for the blocks.
    """
    real, synthetic = _pair(real_features, synthetic_features)
    size = min(len(real), len(synthetic)) // max(blocks, 1)
    if blocks < 2 or size < 2:
        raise ValueError(
            f"blocks: {blocks} of {size} images; expected two or more blocks of two or more images"
        )
    random = np.random.default_rng(derive(seed, "blocks"))
    left, right = random.permutation(len(real)), random.permutation(len(synthetic))
    parts = [slice(b * size, (b + 1) * size) for b in range(blocks)]
    values = [kernel_distance(real[left[p]], synthetic[right[p]], degree=degree) for p in parts]
    error = float(np.std(values, ddof=1) / np.sqrt(blocks))
    return KernelEstimate(float(np.mean(values)), error, blocks, size)


def _pair(real_features: Matrix, synthetic_features: Matrix) -> tuple[np.ndarray, np.ndarray]:
    real = feature_matrix(real_features, "real_features")
    synthetic = feature_matrix(synthetic_features, "synthetic_features")
    if real.shape[1] != synthetic.shape[1]:
        raise ValueError(
            f"features: {real.shape[1]} columns real, {synthetic.shape[1]} synthetic; not equal"
        )
    return real, synthetic
