import pytest
from pydantic import ValidationError

from fairgen.errors import StudyError
from fairgen.intake.spec import (
    AttributeColumn,
    LabelColumn,
    parse_attribute,
    parse_attributes,
    parse_label,
)


@pytest.mark.parametrize(
    ("text", "name", "column", "levels"),
    [
        ("sex", "sex", "sex", None),
        ("sex=Sex", "sex", "Sex", None),
        ("sex=SEX_ID (1=m, 2=f)", "sex", "SEX_ID (1=m, 2=f)", None),
        ("sex:F;M", "sex", "sex", {"F": ("F",), "M": ("M",)}),
        (
            "tone=skin_tone_class:dark=0,1,2;medium=3;light=4,5",
            "tone",
            "skin_tone_class",
            {"dark": ("0", "1", "2"), "medium": ("3",), "light": ("4", "5")},
        ),
        ("age:young=<=75;old=>75", "age", "age", {"young": ("<=75",), "old": (">75",)}),
        ("age:<=75;>75", "age", "age", {"<=75": ("<=75",), ">75": (">75",)}),
        (" sex = Sex : F = f , female ; M = m", "sex", "Sex", {"F": ("f", "female"), "M": ("m",)}),
    ],
)
def test_a_short_text_names_attribute_column_and_levels(text, name, column, levels):
    assert parse_attribute(text) == (name, AttributeColumn(column=column, levels=levels))
    assert parse_label(text) == LabelColumn(name=name, column=column, levels=levels)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=Sex",
        "sex=",
        "tone:",
        "tone:dark=0;dark=1",
        "tone:=0",
        "tone:dark=;light=1",
        "tone:dark=0;;light=1",
    ],
)
def test_a_malformed_text_is_refused(text):
    with pytest.raises(StudyError, match=f"attribute '{text}'"):
        parse_attribute(text)


def test_numbers_in_a_mapping_are_taken_as_text():
    column = AttributeColumn.model_validate({"column": "tone", "levels": {"dark": [0, 1]}})
    assert column.levels == {"dark": ("0", "1")}


def test_unknown_settings_are_refused(make_spec):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        make_spec(subjects="patient")
    with pytest.raises(ValidationError):
        make_spec(missing="ignore")


def test_two_attributes_of_one_name_are_refused():
    assert list(parse_attributes(["sex", "age=years"])) == ["sex", "age"]
    with pytest.raises(StudyError, match="attribute 'sex=patient': 'sex' is named twice"):
        parse_attributes(["sex", "sex=patient"])
