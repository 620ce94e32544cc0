"""Pies and their numbers."""

from itertools import pairwise
from math import pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Schema
from fairgen.report.pies import APART, MOST, pie, share_pies, spread

SCHEMA = Schema((Attribute("tone", ("light", "dark")),), Attribute("disease", ("acne", "nevus")))
COUNTS = {"light|acne": 30, "light|nevus": 15, "dark|acne": 5, "dark|nevus": 0}


def cohort():
    records = [
        Record(
            f"{key}-{i}.png", f"{key}-{i}", SCHEMA.group(key), split="test" if i < 2 else "train"
        )
        for key, count in COUNTS.items()
        for i in range(count)
    ]
    return Cohort(SCHEMA, tuple(records))


def test_shares_of_subgroups_and_of_labels_are_drawn_apart():
    subgroups, labels = share_pies(cohort())
    assert {r["part"]: r["share"] for r in subgroups.data} == {"light": 0.9, "dark": 0.1}
    assert {r["part"]: r["share"] for r in labels.data} == {"acne": 0.7, "nevus": 0.3}


def test_the_data_of_a_pie_tell_the_splits_apart():
    light = share_pies(cohort())[0].data[0]
    assert (light["images"], light["training"], light["test"]) == (45, 41, 4)


def test_every_part_has_its_number_and_share_as_text():
    svg = share_pies(cohort())[0].svg
    for text in ("light", "90.0 %", "dark", "10.0 %"):
        assert f">{text}</text>" in svg
    assert svg.count(">2</text>") == 2  # beside its wedge and in the list


def test_an_empty_part_is_listed_but_has_no_wedge():
    svg = pie("p", "tone", {"light": {"": 4}, "dark": {"": 0}}).svg
    assert ">0.0 %</text>" in svg
    assert svg.count(">2</text>") == 1


def test_very_many_parts_are_gathered_and_kept_in_the_data():
    parts = {f"site {i:02d}": {"": 40 - i} for i in range(30)}
    chart = pie("p", "site", parts)
    assert f">{30 - MOST + 1} smaller ones</text>" in chart.svg
    assert len(chart.data) == 30


def test_a_cohort_without_images_has_an_empty_pie():
    assert all(r["share"] == 0 for c in share_pies(Cohort(SCHEMA, ())) for r in c.data)


@given(st.lists(st.floats(0, 2 * pi), min_size=1, max_size=MOST))
def test_numbers_around_a_pie_stand_apart_and_keep_their_order(angles):
    found = spread(sorted(angles))
    steps = [b - a for a, b in pairwise([*found, found[0] + 2 * pi])]
    assert min(steps) >= APART - 1e-9


def test_numbers_that_stand_apart_already_stay_where_they_are():
    assert spread([0.5, 2.0, 4.0]) == pytest.approx([0.5, 2.0, 4.0])
