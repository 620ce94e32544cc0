"""Counts of the cohort and draws of each image."""

import pytest

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Schema
from fairgen.report.composition import (
    blocks,
    composition_chart,
    counts_table,
    repeats_chart,
    splits,
)
from fairgen.report.composition import summary as told

SCHEMA = Schema((Attribute("tone", ("light", "dark")),), Attribute("disease", ("acne", "nevus")))
COUNTS = {"light|acne": 32, "light|nevus": 16, "dark|acne": 8, "dark|nevus": 0}


def cohort(split=lambda i: "train"):
    records = [
        Record(f"{key}-{i}.png", f"{key}-{i // 2}", SCHEMA.group(key), split=split(i))
        for key, count in COUNTS.items()
        for i in range(count)
    ]
    return Cohort(SCHEMA, tuple(records))


def test_the_summary_names_imbalance_and_tiny_and_empty_groups():
    text = told(cohort())
    assert "56 images of 28 subjects in 4 groups" in text
    assert "4.0 times" in text
    assert "Fewer than 10 images: dark · acne." in text
    assert "No images: dark · nevus;" in text


def test_the_table_counts_images_by_split_and_subjects():
    found = cohort(lambda i: "test" if i % 4 == 0 else "train")
    table = counts_table(found, splits(found))
    assert table.head == ("Group", "training", "test", "all", "subjects", "share")
    assert [c.text for c in table.rows[0]] == ["light · acne", "24", "8", "32", "16", "57.1 %"]
    assert [c.text for c in table.rows[3]] == ["dark · nevus", "0", "0", "0", "0", "0.0 %"]


def test_the_bars_data_hold_every_group():
    data = composition_chart(cohort()).data
    assert {(r["subgroup"], r["label"]): r["images"] for r in data} == {
        ("light", "acne"): 32, ("light", "nevus"): 16, ("dark", "acne"): 8, ("dark", "nevus"): 0,
    }  # fmt: skip


def test_draws_of_one_image_follow_the_resampling_rule():
    chart = repeats_chart(cohort().counts())
    found = {(r["row"], r["series"]): r["value"] for r in chart.data}
    assert found["dark · acne (8)", "natural"] == pytest.approx(1)
    assert found["dark · acne (8)", "cbrs"] == pytest.approx(56 / 3 / 8)
    assert found["light · acne (32)", "cbrs"] == pytest.approx(56 / 3 / 32)
    assert not any("nevus (0)" in row for row, _ in found)


def test_a_cohort_without_images_has_a_note_instead_of_draws():
    empty = Cohort(SCHEMA, ())
    assert any(b.kind == "note" and b.missing for b in blocks(empty))
