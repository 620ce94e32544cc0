import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairgen.metrics import inverse_performance

accuracies = st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1), min_size=1)


def test_two_subgroups_get_the_weights_worked_out_by_hand():
    found = inverse_performance({"light": 0.95, "dark": 0.45})
    assert found == {"light": pytest.approx(2 / 3), "dark": pytest.approx(4 / 3)}


@given(accuracies)
def test_the_mean_over_subgroups_is_one_and_the_worst_weighs_most(values):
    found = inverse_performance(values)
    assert sum(found.values()) / len(found) == pytest.approx(1)
    assert found[min(values, key=values.__getitem__)] == max(found.values())


@given(accuracies, st.lists(st.floats(0.01, 1), min_size=6, max_size=6))
def test_shares_make_the_mean_over_samples_one(values, masses):
    shares = dict(zip(values, masses, strict=False))
    total = sum(shares.values())
    shares = {s: m / total for s, m in shares.items()}
    found = inverse_performance(values, shares=shares)
    assert sum(shares[s] * found[s] for s in found) == pytest.approx(1)


def test_a_tiny_eps_silences_the_others_which_is_why_it_is_no_default():
    values = {"a": 0.0, "b": 0.8, "c": 0.9}
    assert inverse_performance(values, eps=1e-6)["b"] < 1e-5
    assert inverse_performance(values)["b"] > 0.1


def test_a_subgroup_without_validation_images_keeps_weight_one():
    found = inverse_performance({"light": 0.95, "medium": math.nan, "dark": 0.45})
    assert found["medium"] == 1
    assert found["dark"] == pytest.approx(4 / 3)
    assert inverse_performance({"light": math.nan}) == {"light": 1.0}


@pytest.mark.parametrize(
    ("values", "eps", "message"),
    [({}, 0.05, "0 subgroups"), ({"a": 0.5}, 0.0, "eps 0.0"), ({"a": 50.0}, 0.05, "of a: 50.0")],
)
def test_wrong_accuracies_are_refused(values, eps, message):
    with pytest.raises(ValueError, match=message):
        inverse_performance(values, eps=eps)
