import math

import numpy as np
import pytest

from fairgen.metrics import bootstrap, subject_weights
from fairgen.metrics.bootstrap import percentiles, permuted_subgroups


def mean_of(values):
    return lambda weights: weights @ values / weights.sum(1)


def test_all_images_of_a_subject_are_drawn_together():
    weights = subject_weights(["a", "b", "a", "c", "b"], replicates=200)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(1) == 3).all()
    assert len(np.unique(weights, axis=0)) > 5


def test_draws_repeat_by_seed():
    subjects = [str(i) for i in range(20)]
    first, again, other = (subject_weights(subjects, replicates=5, seed=s) for s in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        values = random.normal(size=60)
        found = bootstrap(mean_of(values), range(60), replicates=200, seed=trial)
        hits += found.low <= 0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_repeated_images_of_a_subject_do_not_narrow_the_interval():
    values = np.random.default_rng(1).normal(size=40)
    once = bootstrap(mean_of(values), range(40))
    tenfold = bootstrap(mean_of(np.repeat(values, 10)), np.repeat(range(40), 10))
    assert tenfold.value == pytest.approx(once.value)
    assert tenfold.high - tenfold.low == pytest.approx(once.high - once.low)
    naive = bootstrap(mean_of(np.repeat(values, 10)), range(400))
    assert naive.high - naive.low < 0.5 * (once.high - once.low)


def test_an_interval_with_many_undefined_replicates_is_missing():
    values = np.r_[np.full(20, np.nan), np.arange(80.0)]
    assert all(math.isnan(end) for end in percentiles(values))
    assert percentiles(np.r_[np.full(5, np.nan), np.linspace(0, 1, 95)])[0] == pytest.approx(0.025)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="replicates: 0"):
        subject_weights(["a"], replicates=0)
    with pytest.raises(ValueError, match="subjects: shape"):
        subject_weights([])
    with pytest.raises(ValueError, match=r"level: 95\.0"):
        percentiles(np.arange(9.0), 95.0)
    with pytest.raises(ValueError, match="permutations: 0"):
        permuted_subgroups(np.zeros(2, int), np.zeros(2, int), "ab", permutations=0, seed=0)


def test_permuting_keeps_the_size_of_every_cell():
    random = np.random.default_rng(2)
    subgroup, truth = random.integers(0, 3, 90), random.integers(0, 4, 90)
    found = permuted_subgroups(subgroup, truth, range(90), permutations=20, seed=0)
    for row in found:
        for label in range(4):
            assert sorted(row[truth == label]) == sorted(subgroup[truth == label])
    assert (found != subgroup).any()


def test_permuting_keeps_a_subjects_images_in_one_subgroup():
    subjects = np.repeat([f"s{i}" for i in range(10)], 3)
    subgroup, truth = np.repeat(np.arange(10) % 2, 3), np.repeat(np.arange(10) // 5, 3)
    for row in permuted_subgroups(subgroup, truth, subjects, permutations=20, seed=0):
        assert (row.reshape(10, 3) == row.reshape(10, 3)[:, :1]).all()


def test_a_subject_seen_in_two_subgroups_is_permuted_image_by_image():
    subgroup, truth = np.array([0, 1, 0, 1]), np.zeros(4, int)
    found = permuted_subgroups(subgroup, truth, ["a", "a", "b", "b"], permutations=50, seed=0)
    assert {tuple(row) for row in found} > {(0, 0, 1, 1), (0, 1, 0, 1)}
