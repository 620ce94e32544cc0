import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats.contingency import association

from fairgen.cohort.counts import cramers_v, describe


def test_shares_imbalance_and_small_groups_are_those_counted_by_hand(make_cohort):
    cohort = make_cohort(
        ("a", "dark|acne"), *[("b", "light|acne")] * 6, *[("c", "light|psoriasis")] * 3
    )
    found = describe("all", cohort, tiny=3)
    assert [(s.name, s.images, s.subjects, s.share) for s in found.groups] == [
        ("dark|acne", 1, 1, 0.1),
        ("dark|psoriasis", 0, 0, 0.0),
        ("light|acne", 6, 1, 0.6),
        ("light|psoriasis", 3, 1, 0.3),
    ]
    assert [(s.name, s.images) for s in found.subgroups] == [("dark", 1), ("light", 9)]
    assert [(s.name, s.share) for s in found.labels] == [("acne", 0.7), ("psoriasis", 0.3)]
    assert (found.images, found.subjects, found.imbalance) == (10, 3, 6.0)
    assert (found.empty, found.tiny) == (("dark|psoriasis",), ("dark|acne",))


def test_repeats_are_listed_for_every_resampler_and_group(make_cohort):
    cohort = make_cohort(("a", "dark|acne"), *[("b", "light|acne")] * 3)
    found = describe("all", cohort, tiny=3).repeats
    assert set(found) == {"natural", "cbrs", "sqrs"}
    assert found["cbrs"]["dark|acne"] == pytest.approx(2.0)
    assert found["natural"]["dark|acne"] == pytest.approx(1.0)
    assert found["sqrs"]["dark|psoriasis"] == 0


def test_a_cohort_without_images_has_no_imbalance_and_no_repeats(make_cohort):
    found = describe("all", make_cohort(), tiny=3)
    assert (found.imbalance, found.repeats, found.association) == (None, {}, {"tone": None})
    assert len(found.empty) == 4


def test_association_is_one_when_the_attribute_gives_the_label_away(make_cohort):
    apart = make_cohort(*[("a", "dark|acne")] * 4, *[("b", "light|psoriasis")] * 2)
    assert describe("all", apart, tiny=1).association["tone"] == pytest.approx(1.0)


def test_association_is_zero_when_they_are_independent():
    pairs = {("a", "x"): 2, ("a", "y"): 4, ("b", "x"): 3, ("b", "y"): 6}
    assert cramers_v(pairs) == pytest.approx(0.0, abs=1e-12)


def test_association_is_undefined_where_one_level_occurs():
    assert cramers_v({("a", "x"): 5, ("a", "y"): 3, ("b", "x"): 0}) is None
    assert cramers_v({}) is None


@given(st.lists(st.lists(st.integers(1, 50), min_size=3, max_size=3), min_size=2, max_size=4))
def test_association_agrees_with_scipy(table):
    pairs = {(str(i), str(j)): n for i, row in enumerate(table) for j, n in enumerate(row)}
    expected = association(np.array(table), method="cramer", correction=False)
    assert cramers_v(pairs) == pytest.approx(expected, abs=1e-9)
