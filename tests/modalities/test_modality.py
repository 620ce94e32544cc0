import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairgen.cohort.schema import Attribute, Group, Schema
from fairgen.errors import CohortError
from fairgen.modalities import MODALITIES, Prompts, find_modality

SCHEMA = Schema(
    (Attribute("tone", ("dark", "light")), Attribute("sex", ("F", "M"))),
    Attribute("disease", ("NV", "MEL")),
)
words = st.from_regex(r"[A-Za-z0-9+.-]{1,8}", fullmatch=True)
levels = st.lists(words, min_size=1, max_size=4, unique=True).map(tuple)


def test_a_prompt_names_levels_and_label_in_words():
    prompts = Prompts(SCHEMA, "a photograph of {label} on {attributes} skin", {"NV": "a nevus"})
    group = Group(("dark", "F"), "NV")
    assert prompts.render(group) == "a photograph of a nevus on dark, F skin"
    assert prompts.parse("a photograph of a nevus on dark, F skin") == group


def test_a_template_may_name_the_attributes_themselves():
    prompts = Prompts(SCHEMA, "{disease}, {sex}, {tone} skin")
    assert prompts.render(Group(("light", "M"), "MEL")) == "MEL, M, light skin"


@pytest.mark.parametrize("name", MODALITIES)
@given(tones=levels, labels=levels)
def test_parsing_finds_the_group_of_every_prompt(name, tones, labels):
    schema = Schema((Attribute("tone", tones),), Attribute("disease", labels))
    prompts = Prompts(schema, MODALITIES[name].template)
    for group in schema.groups():
        assert prompts.parse(prompts.render(group)) == group


def test_two_groups_with_one_prompt_are_refused():
    with pytest.raises(CohortError, match="stands for two groups"):
        Prompts(SCHEMA, "{label} on {tone} skin")
    with pytest.raises(CohortError, match="stands for two groups"):
        Prompts(SCHEMA, "{label}, {attributes}", {"NV": "mole", "MEL": "mole"})


@pytest.mark.parametrize("template", ["{label} {age}", "{label} {0}", "{label"])
def test_a_template_with_an_unknown_field_is_refused_in_one_line(template):
    with pytest.raises(CohortError) as error:
        Prompts(SCHEMA, template)
    assert "expected attributes, disease, label, sex, tone" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_text_that_is_no_prompt_is_refused():
    with pytest.raises(CohortError, match="prompt 'a cat' names no group"):
        Prompts(SCHEMA, "{label}, {attributes}").parse("a cat")


def test_images_with_a_left_and_a_right_are_never_mirrored():
    assert {m.name for m in MODALITIES.values() if m.flip} == {"skin"}
    assert {m.name for m in MODALITIES.values() if m.channels == 1} == {"chest", "mri"}


def test_an_unknown_modality_is_refused_with_those_that_exist():
    with pytest.raises(CohortError, match="unknown modality 'ct'; expected one of skin, chest"):
        find_modality("ct")
