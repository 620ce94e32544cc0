import pytest

from fairgen.errors import CohortError
from fairgen.intake.sources.race import group
from fairgen.intake.sources.traits import Trait, age, schema_of, sex, whole_years


@pytest.mark.parametrize(
    ("cell", "years"),
    [("57", "57"), ("57.9", "57"), ("060Y", "60"), ("010M", "0"), ("025M", "2"), ("002D", "0"),
     ("053W", "1"), ("85+", "85"), ("0.0", "0"), ("411Y", "411")],
)  # fmt: skip
def test_ages_become_completed_years(cell, years):
    assert whole_years(cell) == years


@pytest.mark.parametrize("cell", ["old", "-3", "1e9", "60X", "Y060", "nan"])
def test_what_is_no_age_is_refused(cell):
    with pytest.raises(CohortError, match="is no age; expected years"):
        whole_years(cell)


@pytest.mark.parametrize("cell", ["", "nan", "N/A", "Unknown", "?"])
def test_missing_values_leave_a_row_out_or_are_a_level(cell):
    trait = age("Age", 60)
    assert trait.level({"Age": cell}).rule == "age missing"
    assert trait.level({"Age": cell}, "level") == "unknown"


def test_bands_meet_without_a_gap_or_an_overlap():
    trait = age("Age", 75)
    found = [trait.level({"Age": a}) for a in ("0", "75", "75.99", "76", "120")]
    assert found == ["75 and under"] * 3 + ["over 75"] * 2
    assert trait.level({"Age": "121"}).rule == "age outside the levels"


def test_a_schema_lists_unknown_only_where_it_occurs():
    label = Trait("finding", "finding", {"ill": ("1",)})
    assert schema_of((sex("Sex"),), label, ()).attributes[0].levels == ("female", "male")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("WHITE - RUSSIAN", "WHITE"), ("White, non-Hispanic", "WHITE"),
     ("BLACK/CAPE VERDEAN", "BLACK/AFRICAN AMERICAN"), ("Asian", "ASIAN"),
     ("HISPANIC/LATINO - CUBAN", "HISPANIC/LATINO"), ("UNKNOWN", ""), ("Unable to obtain", ""),
     ("OTHER", "OTHER"), ("PORTUGUESE", "PORTUGUESE")],
)  # fmt: skip
def test_recorded_races_are_grouped_and_others_keep_their_name(value, expected):
    assert group(value) == expected
