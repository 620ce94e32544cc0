"""Who is in a built-in cohort."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairgen.cohort.schema import Group
from fairgen.errors import CohortError
from fairgen.phantoms import PHANTOMS
from fairgen.phantoms.phantom import apportion, specimens

A, B, C = (Group((level,), "x") for level in "abc")
D = Group(("a",), "y")
PLAN = specimens({A: 0.6, B: 0.3, D: 0.1}, (0.5, 0.3, 0.2), "toy", mixed=0.5)


def test_the_largest_remainder_gets_the_last_image():
    assert apportion({A: 0.46, B: 0.34, C: 0.2}, 10) == {A: 5, B: 3, C: 2}


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6), st.integers(1, 5000))
def test_every_group_gets_its_share_to_within_one_image(shares, count):
    groups = {Group((str(i),), "x"): share for i, share in enumerate(shares)}
    whole = apportion(groups, count)
    assert sum(whole.values()) == count
    for group, n in whole.items():
        assert abs(n - count * groups[group] / sum(shares)) < 1


def test_an_empty_cohort_is_refused():
    with pytest.raises(CohortError, match="count: found 0; expected at least 1"):
        PLAN(0, 1)


def test_a_plan_holds_the_apportioned_images_in_order():
    plan = PLAN(101, 4)
    assert Counter(s.group for s in plan) == apportion({A: 0.6, B: 0.3, D: 0.1}, 101)
    assert [s.index for s in plan] == list(range(101))


def test_a_subject_has_one_tone_and_no_more_images_than_allowed():
    images = defaultdict(list)
    for specimen in PLAN(300, 0):
        images[specimen.subject].append(specimen)
    assert all(len({s.group.levels for s in own}) == 1 for own in images.values())
    assert max(len(own) for own in images.values()) == 3
    assert any(len({s.group.label for s in own}) == 2 for own in images.values())


def test_two_seeds_share_no_subject_and_no_image():
    one, two = PLAN(200, 0), PLAN(200, 1)
    assert not {s.subject for s in one} & {s.subject for s in two}
    assert len({s.seed for s in (*one, *two)}) == 400


def test_a_plan_repeats_itself():
    assert PLAN(50, 3) == PLAN(50, 3)


@pytest.mark.parametrize("phantom", PHANTOMS.values(), ids=PHANTOMS)
def test_every_phantom_renders_and_knows_its_anatomy(phantom):
    specimen = phantom.specimens(30, 0)[0]
    image = phantom.render(specimen, 64)
    assert image.shape[:2] == (64, 64)
    assert phantom.schema.check(specimen.group) == specimen.group
    assert all(isinstance(v, float) for v in phantom.anatomy(specimen).values())
