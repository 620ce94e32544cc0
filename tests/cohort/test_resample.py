import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairgen.cohort.resample import RESAMPLERS, find_resampler, repeats, shares
from fairgen.cohort.schema import Group
from fairgen.errors import CohortError

HEAD, MIDDLE, TAIL = (Group((name,), "acne") for name in ("head", "middle", "tail"))
COUNTS = {HEAD: 900, MIDDLE: 90, TAIL: 10}
some_counts = st.lists(st.integers(0, 500), min_size=1, max_size=8).filter(any)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("natural", (0.9, 0.09, 0.01)),
        ("sqrs", (0.7034, 0.2224, 0.0741)),
        ("cbrs", (1 / 3, 1 / 3, 1 / 3)),
    ],
)
def test_groups_are_drawn_with_the_shares_worked_out_by_hand(name, expected):
    found = shares(COUNTS, RESAMPLERS[name].weights(COUNTS))
    assert list(found.values()) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("name", "expected"), [("natural", 1.0), ("cbrs", 33.33), ("sqrs", 7.41)])
def test_a_tail_image_repeats_as_often_as_worked_out_by_hand(name, expected):
    found = repeats(COUNTS, RESAMPLERS[name].weights(COUNTS))
    assert found[TAIL] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("name", RESAMPLERS)
@given(numbers=some_counts)
def test_an_epoch_has_as_many_draws_as_images(name, numbers):
    counts = {Group((str(i),), "acne"): n for i, n in enumerate(numbers)}
    weights = RESAMPLERS[name].weights(counts)
    found = repeats(counts, weights)
    assert sum(n * found[g] for g, n in counts.items()) == pytest.approx(sum(numbers))
    assert all(weights[g] == 0 == found[g] for g, n in counts.items() if n == 0)


@given(numbers=some_counts)
def test_square_root_lies_between_natural_and_balanced(numbers):
    counts = {Group((str(i),), "acne"): n for i, n in enumerate(numbers)}
    largest = max(counts, key=lambda g: counts[g])
    share = [
        shares(counts, RESAMPLERS[name].weights(counts))[largest]
        for name in ("cbrs", "sqrs", "natural")
    ]
    assert np.all(np.diff(share) >= -1e-12)


@pytest.mark.parametrize("name", RESAMPLERS)
def test_repeats_agree_with_draws(name):
    weights = RESAMPLERS[name].weights(COUNTS)
    each = np.concatenate([np.full(n, weights[g]) for g, n in COUNTS.items()])
    drawn = np.random.default_rng(0).choice(1000, size=200_000, p=each / each.sum())
    seen = np.bincount(drawn, minlength=1000)[-10:].mean() / 200
    assert seen == pytest.approx(repeats(COUNTS, weights)[TAIL], rel=0.05)


def test_nothing_can_be_drawn_from_empty_groups():
    with pytest.raises(CohortError, match="every group is empty"):
        repeats({HEAD: 0}, {HEAD: 0.0})


def test_an_unknown_resampler_is_refused_with_those_that_exist():
    assert find_resampler("cbrs").name == "cbrs"
    with pytest.raises(CohortError, match="unknown resampler 'cbsr'; expected one of natural"):
        find_resampler("cbsr")
