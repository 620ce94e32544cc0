from collections import defaultdict

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fairgen.cohort.cohort import SPLITS, Cohort, Record
from fairgen.cohort.schema import Attribute, Schema
from fairgen.cohort.split import (
    SplitSettings,
    absent_groups,
    divide,
    divided,
    split_cohort,
    straddlers,
)
from fairgen.errors import CohortError

SCHEMA = Schema(
    (Attribute("tone", ("dark", "light")), Attribute("sex", ("F", "M"))),
    Attribute("disease", ("acne", "psoriasis")),
)
subjects = st.lists(
    st.lists(st.integers(0, 7), min_size=1, max_size=6), min_size=3, max_size=60
)  # for each subject, the numbers of its images' groups


def cohort_of(people):
    groups = SCHEMA.groups()
    rows = [(f"s{i}", groups[g]) for i, images in enumerate(people) for g in images]
    return Cohort(SCHEMA, tuple(Record(f"{i}.png", s, g) for i, (s, g) in enumerate(rows)))


def reached(cohort):
    """Return the splits that each group has reached, and its subjects."""
    splits, people = defaultdict(set), defaultdict(set)
    for record in cohort.records:
        splits[record.group].add(record.split)
        people[record.group].add(record.subject)
    return splits, people


@given(people=subjects, seed=st.integers(0, 5))
def test_a_subject_never_appears_in_two_splits(people, seed):
    found = split_cohort(cohort_of(people), seed=seed)
    assert straddlers(found) == {}
    assert all(r.split in SPLITS for r in found.records)


@given(people=subjects)
def test_all_records_are_kept_in_order(people):
    cohort = cohort_of(people)
    found = split_cohort(cohort)
    assert [(r.image, r.subject, r.group) for r in found.records] == [
        (r.image, r.subject, r.group) for r in cohort.records
    ]


@given(people=subjects, shuffle=st.integers(0, 100))
@example(  # sums of several groups round otherwise in another order
    people=[[0, 3], [2, 3, 4], [0], [0, 1, 3, 3], [3], [0, 3, 3, 3, 4], [1, 2, 2, 3, 4],
            [3, 4, 4, 2, 2, 2]],
    shuffle=0,
)  # fmt: skip
def test_the_order_of_the_records_has_no_influence(people, shuffle):
    cohort = cohort_of(people)
    order = np.random.default_rng(shuffle).permutation(len(cohort))
    mixed = [cohort.records[i] for i in order]
    found = {r.image: r.split for r in split_cohort(cohort).records}
    assert found == {r.image: r.split for r in split_cohort(Cohort(SCHEMA, tuple(mixed))).records}


@given(people=st.lists(st.tuples(st.integers(0, 7), st.integers(1, 6)), min_size=3, max_size=60))
def test_a_group_with_three_subjects_reaches_every_split(people):
    cohort = split_cohort(cohort_of([[group] * images for group, images in people]))
    splits, who = reached(cohort)
    assert all(splits[g] == set(SPLITS) for g in splits if len(who[g]) >= 3)


@settings(max_examples=25)
@given(sizes=st.lists(st.integers(10, 80), min_size=1, max_size=8), seed=st.integers(0, 3))
def test_with_one_image_a_subject_each_group_has_the_shares_asked_for(sizes, seed):
    people = [[group] for group, n in enumerate(sizes) for _ in range(n)]
    cohort = cohort_of(people)
    found = split_cohort(cohort, seed=seed)
    for split, fraction in zip(SPLITS, (0.6, 0.15, 0.25), strict=True):
        counts = found.part(split).counts()
        for group, n in cohort.counts().items():
            assert abs(counts[group] - fraction * n) <= 1


def test_subjects_with_many_images_of_several_groups_still_give_the_shares_asked_for():
    rng = np.random.default_rng(0)
    people = [[int(g) for g in rng.integers(0, 8, rng.integers(1, 13))] for _ in range(300)]
    cohort = cohort_of(people)
    found = split_cohort(cohort)
    for split, fraction in zip(SPLITS, (0.6, 0.15, 0.25), strict=True):
        for group, n in found.part(split).counts().items():
            assert n / cohort.counts()[group] == pytest.approx(fraction, abs=0.02)


def test_three_subjects_of_a_tail_group_go_one_to_each_split():
    cohort = split_cohort(cohort_of([[0]] * 3 + [[1]] * 100))
    tail = [r.split for r in cohort.records if r.group == SCHEMA.groups()[0]]
    assert sorted(tail) == ["test", "train", "valid"]


def test_a_tail_group_of_two_subjects_is_trained_on_and_tested_with_the_smaller():
    for seed in range(20):
        cohort = split_cohort(cohort_of([[0, 0, 0], [0], *[[1]] * 100]), seed=seed)
        assert [r.split for r in cohort.records[:4]] == ["train"] * 3 + ["test"]


def test_a_subject_of_two_groups_moves_to_where_a_group_is_missing():
    people = [[0, 1], [0, 1], [0, 1], [1], [1], [1], [1]]
    for seed in range(20):
        splits, _ = reached(split_cohort(cohort_of(people), seed=seed))
        assert splits[SCHEMA.groups()[0]] == splits[SCHEMA.groups()[1]] == set(SPLITS)


def test_another_seed_gives_another_split_and_the_same_seed_the_same():
    cohort = cohort_of([[i % 8] for i in range(80)])
    assert split_cohort(cohort, seed=1) == split_cohort(cohort, seed=1)
    assert split_cohort(cohort, seed=1) != split_cohort(cohort, seed=2)


def test_an_old_split_is_forgotten():
    cohort = cohort_of([[i % 8] for i in range(30)])
    assert split_cohort(split_cohort(cohort, seed=3), seed=1) == split_cohort(cohort, seed=1)


def test_a_fraction_of_zero_leaves_a_split_empty():
    found = split_cohort(cohort_of([[0]] * 10), fractions=(0.8, 0.0, 0.2))
    assert [sum(r.split == s for r in found.records) for s in SPLITS] == [8, 0, 2]


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1), (0.0, 0.5, 0.5)])
def test_fractions_that_are_no_shares_are_refused(fractions):
    with pytest.raises(CohortError, match="expected three shares that sum to 1"):
        split_cohort(cohort_of([[0]] * 10), fractions=fractions)


def test_too_few_subjects_are_refused():
    with pytest.raises(CohortError, match="2 subjects for 3 splits"):
        split_cohort(cohort_of([[0], [1]]))


def test_dividing_gives_three_cohorts(make_cohort):
    parts = divide(
        make_cohort(
            ("a", "dark|acne", "train"), ("b", "dark|acne", "valid"), ("c", "dark|acne", "test")
        )
    )
    assert [p.subjects() for p in (parts.train, parts.valid, parts.test)] == [
        ("a",),
        ("b",),
        ("c",),
    ]


def test_dividing_refuses_a_subject_in_two_splits(make_cohort):
    leaky = make_cohort(("a", "dark|acne", "train"), ("a", "dark|acne", "test"))
    assert straddlers(leaky) == {"a": ("train", "test")}
    with pytest.raises(CohortError, match="subject 'a' is in splits train, test; expected one"):
        divide(leaky)


def test_dividing_refuses_a_record_without_a_split(make_cohort):
    with pytest.raises(CohortError, match=r"images/0\.png: belongs to no split"):
        divide(make_cohort(("a", "dark|acne")))


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValidationError):
        SplitSettings.model_validate({"fraction": (0.6, 0.2, 0.2)})


FIVE = [[i % 8] * (1 + i % 3) for i in range(80)]


def folds_of(cohort, **more):
    return [divided(cohort, SplitSettings(folds=5, fold=k, **more)) for k in range(5)]


@given(people=st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=4), min_size=8))
def test_every_image_is_test_data_in_exactly_one_fold_and_no_subject_is_split(people):
    cohort = cohort_of(people)
    found = folds_of(cohort)
    tested = [r.image for part in found for r in part.records if r.split == "test"]
    assert sorted(tested) == sorted(r.image for r in cohort.records)
    assert all(straddlers(part) == {} for part in found)
    assert all([r.image for r in p.records] == [r.image for r in cohort.records] for p in found)


def test_folds_are_alike_in_their_groups():
    for part in folds_of(cohort_of(FIVE)):
        counts = divide(part).test.counts()
        assert all(2 <= n <= 6 for n in counts.values())


def test_outside_the_fold_the_first_two_fractions_keep_their_ratio():
    for part in folds_of(cohort_of(FIVE), fractions=(0.6, 0.2, 0.2)):
        found = divide(part)
        assert len(found.train) / len(found.valid) == pytest.approx(3, rel=0.25)


def test_another_seed_gives_other_folds():
    one, two = (folds_of(cohort_of(FIVE), seed=s)[0] for s in (0, 1))
    assert [r.split for r in one.records] != [r.split for r in two.records]


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (5, 5), (0, 1)])
def test_a_fold_that_does_not_exist_is_refused(folds, fold):
    with pytest.raises(ValidationError, match=f"fold {fold} of {folds}; expected 2 or more folds"):
        SplitSettings(folds=folds, fold=fold)


def test_fewer_subjects_than_folds_are_refused():
    with pytest.raises(CohortError, match="4 subjects for 5 folds"):
        divided(cohort_of([[0], [1], [2], [3]]), SplitSettings(folds=5))


@pytest.mark.parametrize(
    "fractions", [(1, 0, 0), (0, 0.5, 0.5), (-1, 1, 1), (0.5, 0.2, 0.2), (float("nan"),) * 3]
)
def test_settings_refuse_fractions_without_training_or_test_data(fractions):
    with pytest.raises(ValidationError):
        SplitSettings(fractions=fractions)


def test_validation_data_may_be_left_out_and_folds_make_their_own_test_data():
    assert SplitSettings(fractions=(0.8, 0, 0.2)).shares() == (0.8, 0, 0.2)
    folds = SplitSettings(fractions=(0.8, 0.2, 0), folds=5)
    assert folds.shares() == pytest.approx((0.64, 0.16, 0.2))


def named(*values, subjects=None):
    """Return a cohort whose column ``part`` names the given splits, one subject an image."""
    groups = SCHEMA.groups()
    people = subjects or [f"s{i}" for i in range(len(values))]
    return Cohort(
        SCHEMA,
        tuple(
            Record(f"{i}.png", s, groups[i % 2], extra={"part": value})
            for i, (s, value) in enumerate(zip(people, values, strict=True))
        ),
    )


def test_a_given_split_is_taken_as_it_is_named():
    found = divided(
        named("Train", "validate", " test", "dev", "training"), SplitSettings(given="part")
    )
    assert [r.split for r in found.records] == ["train", "valid", "test", "valid", "train"]


def test_where_no_validation_data_are_named_training_subjects_are_divided():
    cohort = named(*["train_val"] * 40, *["test"] * 10)
    found = divided(cohort, SplitSettings(given="part", fractions=(0.6, 0.2, 0.2)))
    assert [r.split for r in found.records[40:]] == ["test"] * 10
    assert sum(r.split == "valid" for r in found.records) == 10
    assert sum(r.split == "train" for r in found.records) == 30
    assert found == divided(cohort, SplitSettings(given="part", fractions=(0.6, 0.2, 0.2)))


@pytest.mark.parametrize(
    ("cohort", "message"),
    [
        (named("train", "test", "tset"), "2.png: part 'tset' names no split"),
        (named("train", "valid"), "names train, valid; expected train and test"),
        (named("valid", "test"), "names test, valid; expected train and test"),
        (
            named("train", "test", "test", subjects=["a", "a", "b"]),
            "puts 1 subjects into several splits .'a' in train and test.",
        ),
    ],
)
def test_a_given_split_that_leaks_or_names_no_split_is_refused(cohort, message):
    with pytest.raises(CohortError, match=message):
        divided(cohort, SplitSettings(given="part"))


def test_a_column_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(CohortError, match="no column 'fold'; further columns: part"):
        divided(named("train", "test"), SplitSettings(given="fold"))


def test_an_external_cohort_is_test_data_alone():
    found = divided(cohort_of([[0], [1], [2, 3]]), SplitSettings(fractions=(0, 0, 1)))
    assert {r.split for r in found.records} == {"test"}


@pytest.mark.parametrize(
    "asked", [{"folds": 2}, {"fractions": (0, 0, 1)}], ids=["folds", "external"]
)
def test_a_given_split_has_neither_folds_nor_test_data_alone(asked):
    with pytest.raises(ValidationError, match="given: a split that is given"):
        SplitSettings(given="part", **asked)


def test_groups_that_a_split_lacks_are_named_with_their_subjects():
    people = [[0]] * 6 + [[1]] * 2 + [[2]]
    found = absent_groups(split_cohort(cohort_of(people)))
    keys = [g.key for g in SCHEMA.groups()]
    assert found == {keys[1]: (2, ("valid",)), keys[2]: (1, ("valid", "test"))}
