import pytest

from fairgen.cohort.schema import Attribute, Group, Schema
from fairgen.errors import CohortError


def test_groups_are_the_product_of_the_levels_in_order(schema):
    keys = [g.key for g in schema.groups()]
    assert keys == ["dark|acne", "dark|psoriasis", "light|acne", "light|psoriasis"]
    assert schema.subgroups() == ("dark", "light")


def test_two_attributes_are_crossed():
    schema = Schema(
        (Attribute("tone", ("dark", "light")), Attribute("sex", ("F", "M"))),
        Attribute("disease", ("acne",)),
    )
    assert schema.subgroups() == ("dark|F", "dark|M", "light|F", "light|M")
    assert len(schema.groups()) == 4
    assert schema.group("light|F|acne") == Group(("light", "F"), "acne")
    assert schema.group("light|F|acne").subgroup == "light|F"


def test_every_group_is_found_by_its_key(schema):
    assert [schema.group(g.key) for g in schema.groups()] == list(schema.groups())


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("dark", "group 'dark': expected one level for each of tone"),
        ("dark|F|acne", "group 'dark|F|acne': expected one level for each of tone"),
        ("pale|acne", "tone: unknown level 'pale'; expected one of dark, light"),
        ("dark|flu", "disease: unknown level 'flu'; expected one of acne, psoriasis"),
    ],
)
def test_a_key_of_no_group_is_refused_with_the_levels_that_exist(schema, key, message):
    with pytest.raises(CohortError) as error:
        schema.group(key)
    assert message in str(error.value)


@pytest.mark.parametrize("levels", [(), ("a", "a"), ("a|b",), (" ",)])
def test_an_attribute_needs_distinct_levels_without_bars(levels):
    with pytest.raises(CohortError, match="attribute 'tone'"):
        Attribute("tone", levels)


def test_a_schema_needs_an_attribute_and_distinct_names():
    label = Attribute("disease", ("acne",))
    with pytest.raises(CohortError, match="no sensitive attribute"):
        Schema((), label)
    with pytest.raises(CohortError, match="named twice in disease, disease"):
        Schema((Attribute("disease", ("a",)),), label)
