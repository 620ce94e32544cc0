from dataclasses import replace

import pytest

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Group, Schema
from fairgen.errors import CohortError


def test_counts_include_the_groups_without_images(make_cohort):
    cohort = make_cohort(("a", "dark|acne"), ("a", "dark|acne"), ("b", "light|psoriasis"))
    assert list(cohort.counts().values()) == [2, 0, 0, 1]
    assert cohort.subgroup_counts() == {"dark": 2, "light": 1}
    assert cohort.label_counts() == {"acne": 2, "psoriasis": 1}
    assert cohort.subjects() == ("a", "b")


def test_an_empty_cohort_counts_zero_everywhere(make_cohort):
    assert set(make_cohort().counts().values()) == {0}
    assert set(make_cohort().subgroup_counts().values()) == {0}


def test_a_record_of_an_unknown_group_is_refused(schema):
    with pytest.raises(CohortError, match="unknown level 'pale'"):
        Cohort(schema, (Record("a.png", "a", Group(("pale",), "acne")),))


def test_a_record_of_an_unknown_split_is_refused(schema):
    record = Record("a.png", "a", schema.group("dark|acne"), split="holdout")
    with pytest.raises(CohortError, match=r"a\.png: unknown split 'holdout'"):
        Cohort(schema, (record,))


def test_a_part_holds_the_records_of_its_split_alone(make_cohort):
    cohort = make_cohort(("a", "dark|acne", "train"), ("b", "dark|acne", "test"))
    assert cohort.part("train").subjects() == ("a",)
    with pytest.raises(CohortError, match="no record belongs to split 'valid'"):
        cohort.part("valid")
    with pytest.raises(CohortError, match="unknown split 'validation'"):
        cohort.part("validation")


def test_joining_keeps_all_records_and_refuses_another_schema(make_cohort, schema):
    one, other = make_cohort(("a", "dark|acne")), make_cohort(("b", "light|acne"))
    assert len(one.join(other)) == 2
    foreign = Schema(schema.attributes, Attribute("disease", ("acne",)))
    with pytest.raises(CohortError, match="different schemas"):
        one.join(replace(other, schema=foreign))
