import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard, sqrtm

from fairgen.metrics import frechet_distance, kernel_distance, kernel_distance_blocks
from fairgen.metrics.bootstrap import percentiles, subject_weights
from fairgen.metrics.fidelity import weighted_frechet, weighted_kernel


def features(n, d, seed, *, shift=0.0, scale=1.0):
    random = np.random.default_rng(seed)
    mixing = np.eye(d) + 0.3 * np.random.default_rng(99).normal(size=(d, d)) / np.sqrt(d)
    return shift + scale * random.normal(size=(n, d)) @ mixing


def test_one_dimension_gives_the_formula_by_hand():
    real, synthetic = [[0.0], [2.0]], [[3.0], [3.0], [9.0]]
    s, t = np.sqrt(2.0), np.sqrt(12.0)
    assert frechet_distance(real, synthetic) == pytest.approx((5 - 1) ** 2 + (s - t) ** 2)


def test_diagonal_covariances_give_the_sum_over_dimensions():
    square = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=float)
    expected = (np.sqrt(4 / 3) * np.array([2 - 1, 3 - 1])) ** 2
    found = frechet_distance(square, square * [2, 3])
    assert found == pytest.approx(expected.sum(), rel=1e-12)


@given(st.integers(0, 1000), st.integers(2, 16))
def test_the_eigenvalue_form_agrees_with_the_matrix_root(seed, d):
    real, synthetic = features(200, d, seed), features(150, d, seed + 1, shift=0.3, scale=1.2)
    left, right = np.cov(real.T), np.cov(synthetic.T)
    root = np.real(np.trace(np.atleast_2d(sqrtm(left @ right))))
    step = real.mean(0) - synthetic.mean(0)
    expected = step @ step + np.trace(left) + np.trace(right) - 2 * root
    assert frechet_distance(real, synthetic) == pytest.approx(expected, rel=1e-9)


def test_nearly_dependent_features_keep_full_precision():
    """The root of the product loses half of the digits here; the product of the roots does not."""
    columns = hadamard(16)[:, 1:9].astype(float)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    here, there = np.logspace(0, -5, 8), np.logspace(-0.3, -5.3, 8)
    found = frechet_distance(columns * here @ turn, columns * there @ turn)
    assert found == pytest.approx(16 / 15 * ((here - there) ** 2).sum(), rel=1e-10)


def test_fid_agrees_with_torchmetrics_on_the_same_features():
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Flat(torch.nn.Module):
        num_features = 12

        def forward(self, images):
            return images.flatten(1)

    real, synthetic = features(90, 12, 0), features(80, 12, 1, shift=0.5)
    theirs = FrechetInceptionDistance(
        feature=Flat(), normalize=True, input_img_size=(3, 2, 2)
    ).set_dtype(torch.float64)
    theirs.update(torch.tensor(real).reshape(90, 3, 2, 2), real=True)
    theirs.update(torch.tensor(synthetic).reshape(80, 3, 2, 2), real=False)
    expected = theirs.compute().item()
    assert frechet_distance(real, synthetic) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 1000))
def test_the_same_set_has_no_distance_and_order_of_arguments_no_effect(seed):
    real, synthetic = features(40, 8, seed), features(30, 8, seed + 1, scale=2)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-9)
    forth, back = frechet_distance(real, synthetic), frechet_distance(synthetic, real)
    assert forth == pytest.approx(back, rel=1e-10)
    assert forth > 0


def test_fewer_images_than_features_still_give_a_finite_distance():
    found = frechet_distance(features(5, 20, 0), features(6, 20, 1))
    assert np.isfinite(found)
    assert found > 0


def test_fid_of_equal_laws_grows_as_samples_shrink_but_kid_does_not():
    def mean(metric, n):
        return np.mean([metric(features(n, 8, s), features(n, 8, 500 + s)) for s in range(30)])

    assert mean(frechet_distance, 20) > 3 * mean(frechet_distance, 200)
    spread = np.std(
        [kernel_distance(features(20, 8, s), features(20, 8, 500 + s)) for s in range(30)]
    )
    assert abs(mean(kernel_distance, 20)) < 3 * spread / np.sqrt(30)


def test_kid_is_the_sum_over_pairs_worked_out_by_loops():
    real, synthetic = features(6, 3, 0), features(5, 3, 1)

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    within = [
        np.mean([kernel(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j])
        for a in (real, synthetic)
    ]
    across = np.mean([kernel(x, y) for x in real for y in synthetic])
    expected = sum(within) - 2 * across
    assert kernel_distance(real, synthetic) == pytest.approx(expected, rel=1e-12)


def test_kid_agrees_with_torchmetrics_on_the_same_features():
    import torch
    from torchmetrics.image.kid import poly_mmd

    real, synthetic = features(50, 6, 0), features(50, 6, 1, shift=0.2)
    theirs = poly_mmd(torch.tensor(real), torch.tensor(synthetic)).item()
    assert kernel_distance(real, synthetic) == pytest.approx(theirs, rel=1e-9)


def test_blocks_are_repeatable_and_agree_with_the_whole_within_their_error():
    real, synthetic = features(400, 6, 0), features(400, 6, 1, shift=0.5)
    found = kernel_distance_blocks(real, synthetic, blocks=8)
    assert (found.blocks, found.size) == (8, 50)
    assert found == kernel_distance_blocks(real, synthetic, blocks=8)
    assert abs(found.value - kernel_distance(real, synthetic)) < 4 * found.error
    assert kernel_distance(real, synthetic, blocks=8) == found.value


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance])
@pytest.mark.parametrize(
    ("real", "synthetic", "message"),
    [
        ([[0.0, 1.0]], [[0.0, 1.0]] * 3, "real_features: shape"),
        ([[0.0, 1.0]] * 3, [0.0, 1.0], "synthetic_features: shape"),
        ([[0.0, 1.0]] * 3, [[0.0]] * 3, "2 columns real, 1 synthetic"),
        ([[0.0, np.nan]] * 3, [[0.0, 1.0]] * 3, "NaN or infinity"),
    ],
)
def test_wrong_features_are_refused_in_clear_words(metric, real, synthetic, message):
    with pytest.raises(ValueError, match=message):
        metric(real, synthetic)


def test_wrong_blocks_and_degrees_are_refused():
    real = features(10, 2, 0)
    with pytest.raises(ValueError, match="blocks: 6 of 1 images"):
        kernel_distance_blocks(real, real, blocks=6)
    with pytest.raises(ValueError, match="blocks: 1"):
        kernel_distance_blocks(real, real, blocks=1)
    with pytest.raises(ValueError, match="degree: 0"):
        kernel_distance(real, real, degree=0)


def test_whole_weights_equal_repeated_rows_for_fid():
    real, synthetic = features(30, 4, 0), features(25, 4, 1)
    weights = np.ones((1, 30))
    weights[0, :5] = 2
    repeated = np.r_[real, real[:5]]
    found = weighted_frechet(real, synthetic, weights, np.ones((1, 25)))[0]
    assert found == pytest.approx(frechet_distance(repeated, synthetic), rel=1e-10)


def test_a_bootstrap_of_kid_stays_centred_on_its_value():
    real, synthetic = features(60, 4, 0), features(60, 4, 1, shift=0.4)
    draws = [subject_weights([str(i) for i in range(60)], replicates=400, seed=s) for s in (0, 1)]
    values = weighted_kernel(real, synthetic, *draws)
    value = kernel_distance(real, synthetic)
    assert abs(values.mean() - value) < 4 * values.std() / np.sqrt(400)
    low, high = percentiles(values)
    assert low < value < high
