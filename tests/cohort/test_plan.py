import pytest

from fairgen.cohort.plan import balanced_plan, fill_plan, plan, ratio_plan
from fairgen.cohort.schema import Group
from fairgen.cohort.seed import derive
from fairgen.errors import CohortError
from fairgen.modalities.modality import Prompts


@pytest.fixture
def prompts(schema):
    return Prompts(schema, "{label} on {tone} skin")


@pytest.fixture
def cohort(make_cohort):
    return make_cohort(
        *(("a", "dark|acne"),) * 1, *(("b", "light|acne"),) * 4, *(("c", "light|psoriasis"),) * 3
    )


def by_key(found):
    return {g.key: n for g, n in found.counts().items()}


def test_a_balanced_plan_wants_the_same_number_of_every_group(prompts):
    found = balanced_plan(prompts, 3, seed=0)
    assert by_key(found) == dict.fromkeys(
        ("dark|acne", "dark|psoriasis", "light|acne", "light|psoriasis"), 3
    )
    assert [i.index for i in found.items[:4]] == [0, 1, 2, 0]
    assert found.items[0].prompt == "acne on dark skin"


def test_a_fill_plan_lifts_every_group_to_the_largest(cohort, prompts):
    found = fill_plan(cohort, prompts, seed=0)
    assert by_key(found) == {"dark|acne": 3, "dark|psoriasis": 4, "light|psoriasis": 1}


def test_a_ratio_plan_spreads_evenly_and_favours_the_rarest(cohort, prompts):
    assert len(ratio_plan(cohort, prompts, 0.75, seed=0)) == 6
    assert by_key(ratio_plan(cohort, prompts, 0.75, seed=0)) == {
        "dark|acne": 2,
        "dark|psoriasis": 2,
        "light|acne": 1,
        "light|psoriasis": 1,
    }
    assert len(ratio_plan(cohort, prompts, 0.0, seed=0)) == 0
    assert len(ratio_plan(cohort, prompts, 2.0, seed=0)) == 16


def test_an_image_has_the_same_seed_in_every_plan(cohort, prompts, schema):
    group = schema.group("dark|acne")
    small, large = balanced_plan(prompts, 2, seed=5), balanced_plan(prompts, 9, seed=5)
    filled = fill_plan(cohort, prompts, seed=5)
    assert set(small.items) < set(large.items)
    assert {i for i in filled.items if i.group == group} < set(large.items)
    assert small.items[1].seed == derive(5, "generate", "dark|acne", 1)


def test_no_two_images_share_a_seed_and_another_study_has_other_seeds(prompts):
    one, other = balanced_plan(prompts, 50, seed=0), balanced_plan(prompts, 50, seed=1)
    seeds = {i.seed for i in (*one.items, *other.items)}
    assert len(seeds) == len(one) + len(other)


def test_impossible_wishes_are_refused(cohort, prompts, schema):
    with pytest.raises(CohortError, match="-1 images wanted"):
        balanced_plan(prompts, -1, seed=0)
    with pytest.raises(CohortError, match=r"ratio -0\.5"):
        ratio_plan(cohort, prompts, -0.5, seed=0)
    with pytest.raises(CohortError, match="unknown level 'pale'"):
        plan(prompts, {Group(("pale",), "acne"): 1}, seed=0)
