import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairgen.errors import StudyError
from fairgen.intake.lookup import lookup, plain


@pytest.mark.parametrize(
    ("written", "meant"),
    [("3.0", "3"), (" 3 ", "3"), ("3.", "3"), ("-1.00", "-1"), ("3.5", "3.5"), ("007", "007")],
)
def test_whole_numbers_are_the_same_however_written(written, meant):
    assert plain(written) == meant


@given(st.integers(-(10**6), 10**6))
def test_a_whole_number_and_its_float_are_the_same(number):
    assert plain(str(float(number))) == plain(str(number)) == str(number)


@pytest.mark.parametrize("word", ["v1.0", "1.0.0", "1.0a", "M", ""])
def test_words_stay_as_they_are(word):
    assert plain(word) == word


def test_values_are_looked_up_as_text():
    found = lookup("tone", {"dark": ("0", "1.0"), "light": ("2", "fair")})
    assert [found.level(v) for v in ("0", "1", "2", "fair", "3", "", "01")] == [
        "dark", "dark", "light", "light", None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("59.9", None), ("60", "mid"), ("75", "mid"), ("75.1", "old"), ("90", "old"),
        ("unknown", None), ("nan", None), ("12", "young"), ("0", "newborn"), ("inf", None),
    ],
)  # fmt: skip
def test_intervals_hold_their_ends_unless_they_are_strict(value, level):
    levels = {"young": ("<18",), "mid": ("60..75",), "old": (">75",), "newborn": ("0",)}
    assert lookup("age", levels).level(value) == level


def test_below_and_above_share_no_number():
    found = lookup("age", {"under": ("<=75",), "over": (">75",)})
    assert [found.level(v) for v in ("74", "75", "75.5", "76")] == [
        "under",
        "under",
        "over",
        "over",
    ]


@pytest.mark.parametrize(
    "levels",
    [
        {"dark": ("0", "1"), "light": ("1.0",)},
        {"young": ("<=75",), "old": (">=75",)},
        {"young": ("0..60",), "old": ("50..90",)},
    ],
)
def test_a_value_in_two_levels_is_refused(levels):
    with pytest.raises(StudyError, match=r"in levels dark, light|share numbers"):
        lookup("attribute", levels)
