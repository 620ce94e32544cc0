"""Rows of quantile boxes."""

from fairgen.report.boxes import Box, BoxRow, box_chart

FULL = Box("reference", "#123456", "|", 40, (1.0, 2.0, 3.0, 4.0, 9.0))
EMPTY = Box("sd", "#e69f00", "o", 0)


def chart(*rows):
    return box_chart("b", "acne", rows, "tone angle, degrees", (0.0, 10.0))


def test_the_data_give_number_and_quantiles():
    first, second = chart(BoxRow("dark", (FULL, EMPTY))).data
    assert first == {"panel": "acne", "row": "dark", "series": "reference", "n": 40,
                     "q05": 1.0, "q25": 2.0, "q50": 3.0, "q75": 4.0, "q95": 9.0}  # fmt: skip
    assert (second["n"], second["q50"]) == (0, None)


def test_a_box_without_images_says_so_and_keeps_its_name_in_the_key():
    svg = chart(BoxRow("dark", (EMPTY, FULL))).svg
    assert ">none measured</text>" in svg
    assert ">sd</text>" in svg


def test_the_key_names_each_box_once():
    svg = chart(BoxRow("dark", (FULL, EMPTY)), BoxRow("light", (FULL, EMPTY))).svg
    assert svg.count(">reference</text>") == 1


def test_the_description_gives_the_medians():
    assert chart(BoxRow("dark", (FULL, EMPTY))).alt == "acne, medians: dark, reference 3"
    assert chart(BoxRow("dark", (EMPTY,))).alt == "acne, medians: none"
