"""Drawings as SVG."""

import csv
import io
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairgen.report.chart import (
    COLOURS,
    INK,
    Chart,
    colour,
    draw,
    marker,
    name_rows,
    own_ids,
    shown,
    slug,
    span,
    stroke,
    two_lines,
)
from fairgen.report.dots import DotRow, Line, Mark, Scale, dot_chart
from fairgen.report.scores import Estimate

HOSTILE = '<script>alert("1")</script>'


def a_chart(name="a", row=HOSTILE):
    rows = [
        DotRow(row, (Mark(Estimate(2.0, 1.0, 3.0, 40, {0: 1.5, 1: 2.5}), "#e69f00"),)),
        DotRow("none", (Mark(Estimate(None, reason="too few"), "#e69f00"),)),
    ]
    scale = Scale("FID", (0.0, 4.0), (Line(0.5, "floor"),))
    return dot_chart(name, "title", rows, scale, f"alt {HOSTILE}")


def test_a_drawing_is_wellformed_and_repeats_to_the_last_byte():
    assert ET.fromstring(a_chart().svg).tag.endswith("svg")  # noqa: S314
    assert a_chart().svg == a_chart().svg


def test_texts_from_the_data_are_escaped():
    for text in (a_chart().svg, a_chart().inline()):
        assert "<script" not in text
    assert "&lt;script&gt;" in a_chart().inline()


def test_a_drawing_has_a_title_and_a_description_inside_the_page_and_as_a_file():
    for text in (a_chart().inline(), a_chart().file()):
        assert '<title id="a-title">title</title>' in text
        assert '<desc id="a-desc">alt &lt;script&gt;' in text
        assert 'role="img" aria-labelledby="a-title" aria-describedby="a-desc"' in text
    assert '<title id="a-title">FID by group</title>' in Chart("a", "", "<svg>", "x").inline(
        "FID by group"
    )


def test_a_description_holds_nothing_that_xml_forbids():
    text = Chart("a", "t", '<svg xmlns="http://www.w3.org/2000/svg"></svg>', "a\x00b & c").file()
    assert ET.fromstring(text)[1].text == "a b & c"  # noqa: S314


def test_an_undefined_figure_is_written_out():
    assert ">undefined</text>" in a_chart().svg


def test_inline_drawings_share_no_ids_and_take_the_pages_ink():
    one, two = a_chart("a").inline(), a_chart("b").inline()
    ids = [set(re.findall(r' id="([^"]*)"', text)) for text in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert INK not in one
    assert "currentColor" in one
    assert "http" not in one


def test_every_reference_inside_a_drawing_has_its_target():
    text = a_chart("some").inline()
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', text))
    assert used <= set(re.findall(r' id="([^"]*)"', text))


def test_ids_are_prefixed_where_used_and_dropped_elsewhere():
    svg = '<g id="x"><path id="m"/><use href="#m"/><g clip-path="url(#m)"/></g>'
    assert own_ids(svg, "p") == (
        '<g><path id="p-m"/><use href="#p-m"/><g clip-path="url(#p-m)"/></g>'
    )


def test_dollar_signs_are_no_formulas():
    assert "$x_2$" in a_chart(row="$x_2$").svg


def test_numbers_on_axes_keep_their_decimals():
    def paint(axes):
        axes.set_xlim(0, 0.004)
        axes.set_xticks([0.001, 0.002])

    assert ">0.001</text>" in draw("ticks", (3, 2), paint)


def test_the_data_of_a_drawing_are_kept_as_csv():
    rows = list(csv.DictReader(io.StringIO(a_chart().table())))
    assert rows[0]["row"] == HOSTILE
    assert (rows[0]["value"], rows[0]["low"], rows[0]["high"], rows[0]["n"]) == (
        "2.0", "1.0", "3.0", "40",
    )  # fmt: skip
    assert rows[1]["value"] == ""


def test_a_font_without_a_glyph_is_no_warning():
    assert "皮膚" in draw("cjk", (3, 2), lambda axes: name_rows(axes, ["皮膚"]))


@given(st.text(max_size=80), st.integers(6, 40))
def test_a_label_fits_and_holds_no_control_characters(text, limit):
    found = shown(text, limit)
    assert len(found) <= limit
    assert found.isprintable()


def test_a_long_label_keeps_both_ends():
    assert shown("very dark (Fitzpatrick V–VI) / male", 20).endswith("male")
    lines = two_lines("very dark (Fitzpatrick V–VI) / female", 16)
    assert len(lines) == 2
    assert lines[1].endswith("female")


@given(st.text(max_size=120), st.integers(8, 30))
def test_a_name_has_at_most_two_lines(text, width):
    assert 1 <= len(two_lines(text, width)) <= 2


@pytest.mark.parametrize("name", ["../../etc", "FID_in domain", "", "<b>"])
def test_a_slug_is_safe_in_a_file_name(name):
    assert re.fullmatch(r"[a-z0-9-]+", slug(name))


@given(st.lists(st.floats(-1e6, 1e6), max_size=5))
def test_axis_limits_hold_every_value_and_have_a_width(values):
    low, high = span(values)
    assert low < high
    assert all(low <= v <= high for v in values)


def test_a_chart_without_data_has_an_empty_table():
    assert Chart("a", "", "<svg/>", "").table() == "\n"


def test_no_two_of_many_items_look_alike():
    looks = {(colour(i), marker(i)) for i in range(len(COLOURS) * 10)}
    assert len(looks) == len(COLOURS) * 10
    lines = {(colour(i), stroke(i)) for i in range(len(COLOURS) * 3)}
    assert len(lines) == len(COLOURS) * 3


def test_a_name_is_broken_after_an_underscore():
    assert two_lines("sd_preferences_margin", 16) == ["sd_preferences_", "margin"]
    assert two_lines("law_inverse", 16) == ["law_inverse"]
