import math

import numpy as np
import pytest

from fairgen.metrics import frechet_distance, kernel_distance
from fairgen.metrics.distance import Cloud, Matching, distance_scores, matched_size, share_scores

D = 6


def cloud(counts, seed, *, shift=0.0, images=1):
    """Return a cloud with so many images of each subgroup, ``images`` a subject."""
    random = np.random.default_rng(seed)
    names = tuple(name for name, n in counts.items() for _ in range(n))
    subjects = tuple(f"s{i // images}" for i in range(len(names)))
    return Cloud(random.normal(size=(len(names), D)) + shift, names, subjects)


def scores_of(real, made, size, **settings):
    matching = Matching(size, "indomain", **settings)
    found = distance_scores(real, made, ("a", "b"), matching)
    return {(s.metric, s.group): s for s in found}


def test_the_matched_size_is_the_smallest_count_above_the_dimension():
    assert matched_size([{"a": 40, "b": 90}, {"a": 60, "b": 35}], 32) == 35
    assert matched_size([{"a": 40, "b": 12}, {"a": 60, "b": 60}], 32) == 40
    assert matched_size([{"a": 10, "b": 12}], 32) == 0


def test_a_subgroup_of_exactly_the_matched_size_has_its_plain_distances():
    real, made = cloud({"a": 20, "b": 50}, 0), cloud({"a": 20, "b": 30}, 1, shift=0.5)
    found = scores_of(real, made, 20)
    a = real.part("a").features, made.part("a").features
    assert found["fid_indomain", "a"].value == pytest.approx(frechet_distance(*a))
    assert found["kid_indomain", "a"].value == pytest.approx(kernel_distance(*a))
    assert {s.n for s in found.values()} == {20}


def test_the_variance_is_that_of_the_subgroups_values():
    found = scores_of(cloud({"a": 30, "b": 30}, 0), cloud({"a": 30, "b": 30}, 1), 30)
    values = [found["fid_indomain", s].value for s in "ab"]
    expected = np.var(values, ddof=1)
    assert found["fid_indomain_variance", "overall"].value == pytest.approx(expected)


def test_a_small_subgroup_is_missing_with_the_reason_and_so_is_the_variance():
    found = scores_of(cloud({"a": 30, "b": 5}, 0), cloud({"a": 30, "b": 30}, 1), 30)
    small = found["fid_indomain", "b"]
    assert math.isnan(small.value)
    assert small.reason == "5 images of b; more than 6 features ask for more images"
    assert found["fid_indomain_variance", "overall"].reason == small.reason
    assert found["fid_indomain", "a"].value > 0
    nothing = scores_of(cloud({"a": 5, "b": 5}, 0), cloud({"a": 5, "b": 5}, 1), 0)
    assert all(s.reason for s in nothing.values())


def test_distances_repeat_by_seed():
    real, made = cloud({"a": 40, "b": 40}, 0), cloud({"a": 40, "b": 40}, 1)
    first, again, other = (scores_of(real, made, 30, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_intervals_cover_the_mean_distance_of_real_from_real():
    size = 40
    pairs = [(cloud({"a": size}, s), cloud({"a": size}, 900 + s)) for s in range(20)]
    values = [frechet_distance(r.features, m.features) for r, m in pairs]
    truth = np.mean(values)
    found = [
        scores_of(r, m, size, seed=i, replicates=60)["fid_indomain", "a"]
        for i, (r, m) in enumerate(pairs)
    ]
    covered = np.mean([s.low <= truth <= s.high for s in found])
    assert covered >= 0.85  # nearer 1 than .95: close to zero the interval is cautious
    assert all(s.low <= s.value <= s.high for s in found)


def test_intervals_narrow_as_more_images_stand_behind_the_same_sample_size():
    few, many = (
        scores_of(cloud({"a": n}, 0, shift=0.5), cloud({"a": n}, 1), 40)["fid_indomain", "a"]
        for n in (40, 400)
    )
    assert many.high - many.low < 0.7 * (few.high - few.low)


def test_intervals_are_wider_where_subjects_have_several_alike_images():
    random = np.random.default_rng(3)
    people = random.normal(size=(10, D))
    features = np.repeat(people, 8, axis=0) + 0.05 * random.normal(size=(80, D))
    made = cloud({"a": 80, "b": 0}, 4)
    names, own = ("a",) * 80, tuple(str(i) for i in range(80))
    grouped = tuple(f"s{i // 8}" for i in range(80))
    wide, narrow = (
        scores_of(Cloud(features, names, who), made, 80)["fid_indomain", "a"]
        for who in (grouped, own)
    )
    assert wide.value == pytest.approx(narrow.value)
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_shares_are_counted_by_subgroup():
    points = cloud({"a": 10, "b": 30}, 0)
    right = np.arange(40) % 2 == 0
    found = {s.group: s for s in share_scores("label_consistency", right, points, "abc", 0)}
    assert (found["overall"].value, found["overall"].n) == (0.5, 40)
    assert (found["a"].value, found["a"].n) == (0.5, 10)
    assert found["a"].low < found["b"].low < 0.5 < found["b"].high < found["a"].high
    assert found["c"].reason == "no image of c"
