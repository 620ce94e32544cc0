import math

import numpy as np
import pytest

from fairgen.cohort.schema import Attribute, Schema
from fairgen.metrics.anatomy import Anatomy
from fairgen.metrics.phenotype import fit_phenotype, phenotype_scores

SCHEMA = Schema((Attribute("tone", ("light", "dark")),), Attribute("disease", ("a", "b")))
KEYS = [g.key for g in SCHEMA.groups()]
PLACES = {"light|a": (0, 0), "light|b": (0, 6), "dark|a": (6, 0), "dark|b": (6, 6)}


def anatomy(per_group, *, seed=0, show=lambda key: key):
    """Return images of which each shows the group ``show(asked)``; tone is x, disease is y."""
    rng = np.random.default_rng(seed)
    centres = np.array([PLACES[show(key)] for key in KEYS for _ in range(per_group)], float)
    values = np.column_stack([centres, np.zeros(len(centres))])
    noise = rng.normal(0, 1, values.shape)
    return Anatomy(
        ("x", "y", "z"), values + noise, tuple(k for k in KEYS for _ in range(per_group))
    )


@pytest.fixture(scope="module")
def known():
    return fit_phenotype(anatomy(60), ("x", "y"))


def by_key(scores):
    return {(s.metric, s.group): s for s in scores}


def test_images_that_show_what_was_asked_for_fit(known):
    found = by_key(phenotype_scores(known, anatomy(30, seed=1), SCHEMA))
    for place in ("overall", "light", "dark", *KEYS):
        assert found["phenotype_fit", place].value > 0.95
        assert found["measurable", place].value == 1
    score = found["phenotype_fit", "overall"]
    assert score.n == 120
    assert score.low <= score.value <= score.high


def test_the_wrong_disease_fails_the_label_and_not_the_attribute(known):
    swapped = {"light|a": "light|b", "light|b": "light|a", "dark|a": "dark|a", "dark|b": "dark|b"}
    made = anatomy(30, seed=2, show=swapped.__getitem__)
    found = by_key(phenotype_scores(known, made, SCHEMA))
    assert found["phenotype_label", "light"].value < 0.05
    assert found["phenotype_attribute", "light"].value > 0.95
    assert found["phenotype_fit", "light"].value < 0.05
    assert found["phenotype_fit", "dark"].value > 0.95
    assert found["phenotype_fit", "overall"].value == pytest.approx(0.5, abs=0.05)


def test_an_image_that_cannot_be_measured_fits_nothing(known):
    made = anatomy(10, seed=3)
    values = made.values.copy()
    values[::2] = math.nan
    found = by_key(phenotype_scores(known, Anatomy(made.names, values, made.groups), SCHEMA))
    assert found["measurable", "overall"].value == pytest.approx(0.5)
    for metric in ("phenotype_fit", "phenotype_label", "phenotype_attribute"):
        assert found[metric, "overall"].value <= 0.5


def test_only_the_named_quantities_count(known):
    made = anatomy(20, seed=4)
    other = Anatomy(made.names, made.values + np.array([0, 0, 50]), made.groups)
    np.testing.assert_array_equal(known.probabilities(made), known.probabilities(other))


def test_another_prefix_names_the_same_shares_and_leaves_out_what_can_be_measured(known):
    made = anatomy(20, seed=5)
    usual = by_key(phenotype_scores(known, made, SCHEMA))
    other = by_key(phenotype_scores(known, made, SCHEMA, prefix="unseen"))
    assert {metric for metric, _ in other} == {"unseen_fit", "unseen_label", "unseen_attribute"}
    for (metric, place), score in other.items():
        same = usual[metric.replace("unseen", "phenotype"), place]
        assert (score.value, score.low, score.high) == (same.value, same.low, same.high)


def test_probabilities_sum_to_one(known):
    np.testing.assert_allclose(known.probabilities(anatomy(5)).sum(axis=1), 1)


def test_unequal_numbers_of_reference_images_favour_no_group():
    reference = anatomy(200)
    kept = [i for i, g in enumerate(reference.groups) if g != "dark|b" or i % 10 == 0]
    few = Anatomy(reference.names, reference.values[kept], tuple(reference.groups[i] for i in kept))
    model = fit_phenotype(few, ("x", "y"))
    middle = Anatomy(("x", "y"), np.array([[6.0, 3.0]] * 2), ("dark|a", "dark|b"))
    share = model.probabilities(middle)[0]
    chances = dict(zip(model.groups, share, strict=True))
    assert chances["dark|b"] == pytest.approx(chances["dark|a"], abs=0.35)


def test_one_measurable_group_is_not_enough():
    alone = Anatomy(("x",), np.zeros((4, 1)), ("light|a",) * 4)
    with pytest.raises(ValueError, match="fewer than two groups could be measured"):
        fit_phenotype(alone, ("x",))


def test_a_group_without_images_is_missing(known):
    made = Anatomy(("x", "y"), np.zeros((3, 2)), ("light|a",) * 3)
    found = by_key(phenotype_scores(known, made, SCHEMA))
    assert math.isnan(found["phenotype_fit", "dark"].value)
    assert found["phenotype_fit", "dark"].reason == "no image of dark"
