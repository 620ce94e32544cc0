"""Accuracy with and without synthetic images and reweighting."""

import pytest

from fairgen.report.radar import arm_of
from fairgen.report.scores import Row, Scores
from fairgen.report.twobytwo import blocks

OVERALL = {("real", False): 0.6, ("real", True): 0.62, ("sd", False): 0.7, ("sd", True): 0.71}
WORST = {("real", False): 0.4, ("real", True): 0.5, ("sd", False): 0.45, ("sd", True): 0.55}


def rows(*, weighted=True, seeds=(0, 1)):
    for metric, values in (("accuracy", OVERALL), ("worst_subgroup_accuracy", WORST)):
        for (method, reweight), value in values.items():
            for seed in seeds:
                if weighted or not reweight:
                    v = value + 0.01 * seed * (method == "sd")
                    common = {"classifier": "vit", "reweight": reweight, "n": 90, "seed": seed}
                    yield Row(metric, method, value=v, low=v - 0.1, high=v + 0.1, **common)
                    gain = v - values["real", False]
                    if (method, reweight) != ("real", False):
                        yield Row(f"{metric}_change", method, value=gain, low=gain - 0.03,
                                  high=gain + 0.03, **common)  # fmt: skip


def made(**changes):
    scores = Scores(tuple(rows(**changes)))
    return blocks([arm_of(scores, "sd", 0)], arm_of(scores, "real", 1), "vit", 0)


def test_the_figure_has_four_ways_to_train_and_two_accuracies_each():
    (chart,) = made()[0].charts
    found = {(r["row"], r["series"]): r["value"] for r in chart.data}
    assert len(found) == 8
    assert found["real only", "overall"] == 0.6
    assert found["real only, reweighted", "worst subgroup"] == 0.5
    assert found["with synthetic, reweighted", "worst subgroup"] == pytest.approx(0.555)


def test_the_table_gives_the_four_and_how_far_three_are_from_the_first():
    table = made()[1]
    overall, worst = table.rows
    assert [c.text for c in overall[1:]] == [
        "0.600", "0.620", "0.705", "0.715", "0.020", "0.105", "0.115",
    ]  # fmt: skip
    assert [c.text for c in worst[5:]] == ["0.100", "0.055", "0.155"]
    assert overall[1].details == ("[0.500, 0.700]",)
    assert overall[6].details == ("[0.070, 0.140]",)  # spans both seeds' paired intervals


def test_without_reweighting_two_ways_remain():
    gallery, table = made(weighted=False)
    assert {r["row"] for r in gallery.charts[0].data} == {"real only", "with synthetic"}
    assert [c.text for c in table.rows[0][1:]] == [
        "0.600", "–", "0.705", "–", "–", "0.105", "–",
    ]  # fmt: skip


def test_without_real_images_only_there_is_nothing_to_compare():
    scores = Scores(tuple(r for r in rows() if r.method == "sd"))
    assert blocks([arm_of(scores, "sd", 0)], arm_of(scores, "real", 1), "vit", 0) == []
