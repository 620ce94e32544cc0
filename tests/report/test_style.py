"""Contrast, print and folding in the page's style sheet."""

import re
from importlib.resources import files

import pytest

CSS = (files("fairgen.report") / "templates" / "page.css").read_text()
DARK = CSS.index("prefers-color-scheme: dark")
PRINT = CSS.index("@media print")
READABLE = 4.5  # WCAG 2.2, level AA, text of any size


def colours(text):
    root = text[text.index(":root") :]
    found = re.findall(r"--([a-z]+): (#[0-9a-f]{6});", root[: root.index("}")])
    return {name: tuple(int(value[i : i + 2], 16) for i in (1, 3, 5)) for name, value in found}


LIGHT = colours(CSS)
THEMES = {
    "light": LIGHT,
    "dark": LIGHT | colours(CSS[DARK:]),
    "print": LIGHT | colours(CSS[PRINT:]),
}


def luminance(colour):
    parts = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, two):
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_follows_its_definition():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((118, 118, 118), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ink", ["ink", "soft", "link"])
@pytest.mark.parametrize("paper", ["paper", "tint"])
def test_every_text_can_be_read_on_every_ground(theme, ink, paper):
    assert contrast(THEMES[theme][ink], THEMES[theme][paper]) >= READABLE


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_numbers_in_a_heat_table_can_be_read_at_every_tint(theme, share):
    paper, heat = THEMES[theme]["paper"], THEMES[theme]["heat"]
    ground = tuple(share * h + (1 - share) * p for h, p in zip(heat, paper, strict=True))
    assert contrast(THEMES[theme]["ink"], ground) >= READABLE


@pytest.mark.parametrize("theme", THEMES)
def test_the_warning_bar_and_the_focus_ring_are_seen(theme):
    for mark in ("warn", "link"):
        assert contrast(THEMES[theme][mark], THEMES[theme]["paper"]) >= 3


def test_every_colour_of_the_light_theme_has_its_dark_and_its_printed_one():
    assert set(colours(CSS[DARK:])) == set(LIGHT) == set(colours(CSS[PRINT:]))


def test_the_printed_style_comes_last_so_that_paper_stays_white_on_a_dark_screen():
    assert PRINT > DARK
    assert colours(CSS[PRINT:])["paper"] == (255, 255, 255)


@pytest.mark.parametrize(
    "rule",
    [
        "size: A4",
        r"details::details-content \{[^}]*content-visibility: visible",
        r"\.chart, tr,[^{]*\{ break-inside: avoid",
        r"nav, \.skip, \.data \{ display: none",
        r"\.scroll \{ overflow: visible",
    ],
)
def test_print_opens_what_is_folded_and_breaks_no_figure(rule):
    assert re.search(rule, CSS[PRINT:])
