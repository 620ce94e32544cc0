import math

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from fairgen.cohort.schema import Attribute, Schema
from fairgen.metrics.spread import mean_distance, spread_scores

SCHEMA = Schema((Attribute("tone", ("light", "dark")),), Attribute("disease", ("a", "b")))
KEYS = [g.key for g in SCHEMA.groups()]


def features(scale, n=60, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 4)) * scale


def by_place(real, made):
    return {s.group: s for s in spread_scores(real, made, SCHEMA, "indomain")}


def test_the_mean_distance_is_that_of_all_pairs():
    x = features(2.0)
    assert mean_distance(x) == pytest.approx(pdist(x).mean())


def test_images_as_various_as_real_ones_have_a_ratio_of_one_and_narrower_ones_less():
    real = {k: features(1.0, seed=i) for i, k in enumerate(KEYS)}
    made = {k: features(0.5, seed=i + 9) for i, k in enumerate(KEYS)}
    made[KEYS[0]] = features(1.0, seed=30)
    found = by_place(real, made)
    assert found[KEYS[0]].low < 1 < found[KEYS[0]].high
    assert found[KEYS[1]].high < 0.7
    assert found["dark"].value == pytest.approx((found["dark|a"].value + found["dark|b"].value) / 2)
    assert found["overall"].low <= found["overall"].value <= found["overall"].high
    assert found["overall"].n == 240


def test_one_image_again_and_again_has_no_spread():
    real = {k: features(1.0) for k in KEYS}
    made = {k: np.ones((30, 4)) for k in KEYS}
    assert by_place(real, made)["overall"].value == pytest.approx(0.0, abs=1e-6)


def test_too_few_images_give_no_figure_and_say_so():
    real = {k: features(1.0) for k in KEYS}
    made = {k: features(1.0) for k in KEYS[1:]} | {KEYS[0]: features(1.0, n=4)}
    found = by_place(real, made)
    assert math.isnan(found[KEYS[0]].value)
    assert "fewer than 5" in found["overall"].reason
    assert found[KEYS[3]].value == pytest.approx(1.0)
