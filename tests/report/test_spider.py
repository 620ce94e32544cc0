"""Webs of any number of axes."""

from fairgen.report.radar import arm_of, auc_radar
from fairgen.report.scores import Row, Scores
from fairgen.report.spider import Polygon, Web, spider

THREE = ("light", "medium", "very dark (Fitzpatrick V and VI)")


def rows(method, *values, reweight=False):
    return tuple(
        Row("auc", method, "vit", reweight, "test", s, v, seed=0)
        for s, v in zip(THREE, values, strict=True)
    )


def test_the_auc_radar_has_an_axis_a_subgroup_and_a_polygon_a_way_to_train():
    scores = Scores(
        (*rows("real", 0.8, 0.7, 0.6), *rows("sd", 0.9, 0.8, 0.7), *rows("sd", 0.9, 0.8, 0.75,
                                                                      reweight=True))
    )  # fmt: skip
    chart = auc_radar(arm_of(scores, "sd", 0), arm_of(scores, "real", 1), THREE, "r")
    found = {(r["series"], r["axis"]): r["value"] for r in chart.data}
    assert found["real only", THREE[2]] == 0.6
    assert found["as it is", THREE[2]] == 0.7
    assert found["reweighted", THREE[2]] == 0.75
    assert len(chart.data) == 9


def test_the_rings_name_their_values_from_the_centre_outwards():
    svg = spider("w", "sd", Web(THREE, 0.5), [Polygon("a", (0.6, 0.7, 0.8), "#123456")]).svg
    assert ">0.75</text>" in svg
    assert ">1</text>" in svg


def test_worse_than_the_centre_is_drawn_at_the_centre_and_kept_in_the_data():
    low, centre = (
        spider("w", "sd", Web(THREE, 0.5), [Polygon("a", (v, 0.7, 0.8), "#123456")])
        for v in (0.3, 0.5)
    )
    assert low.svg == centre.svg
    assert low.data[0]["value"] == 0.3


def test_a_line_without_any_value_is_left_out():
    chart = spider("w", "sd", Web(THREE), [Polygon("a", (None, None, None), "#123456")])
    assert chart.data == ()


def test_the_description_gives_every_value():
    chart = spider("w", "sd", Web(THREE), [Polygon("as it is", (0.25, None, 1.0), "#123456")])
    assert "as it is light 0.250" in chart.alt
    assert "medium –" in chart.alt
