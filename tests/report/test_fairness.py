"""Radars, tables and dots of the classifiers."""

import pytest

from fairgen.report.fairness import blocks
from fairgen.report.radar import AXES, arm_of, axis_values, radar
from fairgen.report.scores import Row, Scores

FIGURES = {
    "essp": 0.5,
    "demographic_parity_mean": 0.2,
    "equal_opportunity_mean": 0.3,
    "nar": 1.4,
    "worst_subgroup_accuracy": 0.6,
    "accuracy": 0.7,
}


def rows(method, reweight=False, **changed):
    values = {**FIGURES, **changed}
    return tuple(
        Row(m, method, "vit", reweight, "test", value=v, low=v, high=v, n=50, seed=0)
        if v is not None
        else Row(m, method, "vit", reweight, "test", seed=0, reason="no label is frequent enough")
        for m, v in values.items()
    )


def test_gaps_are_turned_so_that_outer_is_better_and_clipped_at_the_centre():
    found = dict(zip(AXES, axis_values(Scores(rows("sd"))), strict=True))
    assert found == {
        "essp": 0.5,
        "demographic_parity_mean": pytest.approx(0.8),
        "equal_opportunity_mean": pytest.approx(0.7),
        "nar": 0.0,
        "worst_subgroup_accuracy": 0.6,
        "accuracy": 0.7,
    }


def test_a_radar_keeps_reweighting_apart():
    scores = Scores((*rows("sd"), *rows("sd", True, essp=0.9), *rows("real", essp=0.1)))
    chart = radar(arm_of(scores, "sd", 0), arm_of(scores, "real", 1), "r")
    found = {r["series"]: r["value"] for r in chart.data if r["axis"] == "ESSP"}
    assert found == {"real only": 0.1, "as it is": 0.5, "reweighted": 0.9}


def test_an_undefined_corner_is_missing_and_never_zero():
    scores = Scores(rows("sd", equal_opportunity_mean=None))
    assert axis_values(scores)[2] is None
    chart = radar(arm_of(scores, "sd", 0), arm_of(scores, "real", 1), "r")
    assert {r["value"] for r in chart.data if r["axis"] == "1 − EO"} == {None}


def test_the_table_has_a_row_a_method_and_weighting():
    scores = Scores((*rows("real"), *rows("sd"), *rows("sd", True)))
    table = next(b for b in blocks(scores, ["sd"], ["a", "b"]) if b.kind == "table")
    assert [(r[0].text, r[0].details) for r in table.rows] == [
        ("real only", ()), ("sd", ()), ("sd", ("reweighted",)),
    ]  # fmt: skip


def test_a_short_note_stands_in_its_cell_and_a_long_one_beneath_the_table():
    long = "smallest cell 3 images; 2 empty"
    noted = (
        Row("nar", "sd", "vit", False, value=0.2, n=50, note="subgroup dark"),
        Row("essp", "sd", "vit", False, value=0.2, n=50, note=long),
    )
    table = next(b for b in blocks(Scores(noted), ["sd"], ["a"]) if b.kind == "table")
    assert [c.details for c in table.rows[0][1:]] == [("see 1",), ("subgroup dark",)]
    assert f"(1) {long}." in table.note


def test_accuracy_by_subgroup_is_a_folded_table():
    rows = tuple(
        Row("accuracy", m, "vit", False, group=g, value=v, n=20, seed=0)
        for m in ("real", "sd")
        for g, v in (("light", 0.8), ("dark", 0.6))
    )
    found = blocks(Scores(rows), ["sd"], ["light", "dark"])
    table = next(b for b in found if b.kind == "table" and b.folded)
    assert table.head == ("Training data", "light", "dark")
    assert [[c.text for c in r] for r in table.rows] == [
        ["real only", "0.800", "0.600"], ["sd", "0.800", "0.600"],
    ]  # fmt: skip


def auc_rows(*subgroups):
    return tuple(
        Row("auc", m, "vit", False, group=g, value=0.8, n=20, seed=0)
        for m in ("real", "sd")
        for g in subgroups
    )


def test_auc_by_subgroup_is_a_radar_from_three_subgroups_on_and_dots_below():
    three, two = ("light", "medium", "dark"), ("light", "dark")
    for subgroups, kind in ((three, "An axis a subgroup"), (two, "fewer than three subgroups")):
        found = blocks(Scores(auc_rows(*subgroups)), ["sd"], subgroups)
        gallery = next(b for b in found if b.kind == "gallery" and b.title.startswith("AUC"))
        assert kind in gallery.how
        assert ("axis" in gallery.charts[0].data[0]) == (subgroups is three)


def test_figures_of_single_groups_stand_in_a_folded_table():
    found = blocks(
        Scores(auc_rows("light", "light|acne")), ["sd"], ["light"], ["light|acne", "dark|acne"]
    )
    table = next(b for b in found if b.kind == "table" and "by group" in b.caption)
    assert table.folded
    assert table.head == ("Group", "real only", "sd")
    assert [[c.text for c in r] for r in table.rows] == [["light · acne", "0.800", "0.800"]]


def test_reweighting_alone_is_compared_with_real_images_too():
    alone = (
        Row("fairness_improvement", "real", "vit", True, value=0.1, low=0.0, high=0.2, n=9),
        Row("fairness_improvement", "sd", "vit", False, value=0.2, low=0.0, high=0.3, n=9),
    )
    found = blocks(Scores(alone), ["sd"], ["a"])
    gallery = next(b for b in found if b.kind == "gallery" and "improvement" in b.title)
    assert [r["row"] for r in gallery.charts[0].data] == ["real only, reweighted", "sd"]


def test_an_improvement_that_is_undefined_for_all_is_a_note_with_its_reason():
    lacking = rows("sd", fairness_improvement=None)
    found = blocks(Scores((*rows("real"), *lacking)), ["sd"], ["a"])
    assert any(b.kind == "note" and "no label is frequent enough" in b.text for b in found)
    assert not any(b.kind == "gallery" and "improvement" in b.title for b in found)


def test_a_run_with_real_images_only_shows_its_classifier():
    found = blocks(Scores(rows("real")), [], ["a"])
    assert any(b.kind == "gallery" and len(b.charts) == 1 for b in found)


def test_a_run_without_classifiers_has_a_note():
    assert blocks(Scores(), ["sd"], ["a"])[0].missing
