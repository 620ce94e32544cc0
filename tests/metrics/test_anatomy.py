import math

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from fairgen.cohort.schema import Attribute, Schema
from fairgen.metrics.anatomy import Anatomy, anatomy_distances, places, wasserstein

SCHEMA = Schema((Attribute("tone", ("light", "dark")),), Attribute("disease", ("a", "b")))
KEYS = [g.key for g in SCHEMA.groups()]


def anatomy(per_group, shift=0.0, seed=0, groups=KEYS):
    """Return two quantities of every group, the first shifted; the second ten times as wide."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (per_group * len(groups), 2)) * [1, 10] + [shift, 0]
    return Anatomy(("x", "y"), values, tuple(g for g in groups for _ in range(per_group)))


def by_key(scores):
    return {(s.metric, s.group): s for s in scores}


def test_the_distance_is_that_of_scipy_under_weights():
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 1, 30), rng.normal(0.4, 2, 20)
    wx, wy = rng.integers(0, 4, (5, 30)) + 0.0, rng.integers(0, 4, (5, 20)) + 0.0
    found = wasserstein(x, y, wx, wy)
    expected = [wasserstein_distance(x, y, a, b) for a, b in zip(wx, wy, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_shift_of_one_spread_is_a_distance_of_one():
    found = by_key(anatomy_distances(anatomy(400), anatomy(400, 1.0, 1), SCHEMA, ["x", "y"]))
    moved, still = found["wasserstein_x", KEYS[0]], found["wasserstein_y", KEYS[0]]
    assert moved.value == pytest.approx(1.0, abs=0.15)
    assert moved.low < 1 < moved.high
    assert still.value < 0.2
    mean = found["anatomy_distance", KEYS[0]]
    assert mean.value == pytest.approx((moved.value + still.value) / 2)


def test_only_robust_quantities_enter_the_mean():
    found = by_key(anatomy_distances(anatomy(100), anatomy(100, 2.0, 1), SCHEMA, ["y"]))
    key = KEYS[1]
    assert found["anatomy_distance", key].value == found["wasserstein_y", key].value
    assert ("wasserstein_x", key) in found


def test_subgroups_and_the_whole_are_means_over_their_groups():
    found = by_key(anatomy_distances(anatomy(60), anatomy(60, 0.5, 1), SCHEMA, ["x"]))
    own = {k: found["anatomy_distance", k] for k in KEYS}
    light = found["anatomy_distance", "light"]
    assert light.value == pytest.approx((own["light|a"].value + own["light|b"].value) / 2)
    assert light.n == 120
    everyone = found["anatomy_distance", "overall"]
    assert everyone.value == pytest.approx(np.mean([s.value for s in own.values()]))


def test_a_group_with_too_few_measurable_images_is_missing_and_so_is_what_needs_it():
    made = anatomy(20, seed=1)
    values = made.values.copy()
    values[:17] = math.nan
    found = by_key(
        anatomy_distances(anatomy(60), Anatomy(made.names, values, made.groups), SCHEMA, ["x"])
    )
    for place in (KEYS[0], "light", "overall"):
        assert math.isnan(found["anatomy_distance", place].value)
        assert "fewer than 5 measurable" in found["anatomy_distance", place].reason
    assert found["anatomy_distance", "dark"].value > 0


def test_nine_intervals_of_ten_hold_the_true_distance():
    inside = 0
    for seed in range(60):
        made = anatomy(40, 0.5, seed + 1000)
        reference = anatomy(200, 0, seed + 5000)
        found = by_key(anatomy_distances(reference, made, SCHEMA, ["x"], seed=seed))
        score = found["anatomy_distance", KEYS[2]]
        inside += score.low <= 0.5 <= score.high
    assert 52 <= inside <= 60


def test_places_are_everyone_the_subgroups_and_the_groups():
    found = places(anatomy(2), SCHEMA)
    assert list(found) == ["overall", "light", "dark", *KEYS]
    assert {k: int(v.sum()) for k, v in found.items()} == {
        "overall": 8, "light": 4, "dark": 4, **dict.fromkeys(KEYS, 2),
    }  # fmt: skip
