import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairgen.modalities import Prompts
from fairgen.phantoms import PHANTOMS
from fairgen.phantoms.shapes import GREY_SHARE, SCHEMA, SHAPES, TEMPLATE
from fairgen.phantoms.shapes_mask import MASKS
from fairgen.phantoms.shapes_texture import (
    COLOURS,
    GREYS,
    HUES,
    draw_colour,
    fractal,
    from_hsv,
    grid,
    leaves,
)

FORBIDDEN = {
    *("light", "medium", "dark", "tone", "skin", "age", "young", "old", "male", "female", "sex"),
    *("man", "woman", "patient", "disease", "lesion", "melanoma", "psoriasis", "dermatitis"),
    *("carcinoma", "pneumonia", "demented", "healthy"),
}


@pytest.fixture(scope="module")
def pictures():
    return [(s, SHAPES.render(s, 64)) for s in SHAPES.specimens(200, 5)]


def test_shapes_is_registered_under_its_name():
    assert PHANTOMS["shapes"] is SHAPES


def test_no_prompt_has_a_word_that_a_study_may_ask_about():
    prompts = Prompts(SCHEMA, TEMPLATE)
    words = {w for g in SCHEMA.groups() for w in re.findall(r"[a-z]+", prompts.render(g))}
    assert words == {"a", "on", "ground", *COLOURS, *MASKS}
    assert not words & FORBIDDEN


def test_the_same_specimen_gives_the_same_picture_and_another_seed_another():
    first, again = SHAPES.specimens(3, 1), SHAPES.specimens(3, 1)
    assert first == again
    assert np.array_equal(SHAPES.render(first[2], 64), SHAPES.render(again[2], 64))
    other = SHAPES.specimens(3, 2)
    assert not np.array_equal(SHAPES.render(first[2], 64), SHAPES.render(other[2], 64))


def test_a_larger_cohort_begins_with_the_smaller_one():
    assert SHAPES.specimens(20, 1)[:5] == SHAPES.specimens(5, 1)


def test_every_picture_has_a_subject_of_its_own():
    assert len({s.subject for s in SHAPES.specimens(50, 1)}) == 50


@pytest.mark.parametrize("shape", MASKS)
@pytest.mark.parametrize("size", [16, 64, 96])
def test_every_shape_can_be_drawn_at_any_size(shape, size):
    specimen = next(s for s in SHAPES.specimens(200, 3) if s.group.label == shape)
    picture = SHAPES.render(specimen, size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8
    assert np.ptp(picture) > 10


def test_about_a_quarter_or_more_of_the_pictures_have_no_colour(pictures):
    grey = np.mean([np.ptp(p.astype(int), axis=2).max() == 0 for _, p in pictures])
    assert GREY_SHARE - 0.08 < grey < GREY_SHARE + 0.2


def test_every_brightness_occurs(pictures):
    means = np.array([p.mean() for _, p in pictures])
    assert means.min() < 40
    assert means.max() > 200
    assert np.histogram(means, bins=8, range=(0, 256))[0].min() >= 3


def test_the_word_of_the_ground_shows_in_the_border(pictures):
    right = [
        p[:, [0, -1], c].mean() > 0.9 * p[:, [0, -1]].mean()
        for s, p in pictures
        for word, c in (("red", 0), ("blue", 2))
        if s.group.levels[1] == word and s.group.label in ("disk", "polygon")
    ]
    assert len(right) >= 3
    assert np.mean(right) > 0.8


def test_red_green_and_blue_have_their_textbook_hues():
    assert from_hsv(0.0, 1.0, 1.0) == pytest.approx([1, 0, 0])
    assert from_hsv(120.0, 1.0, 0.5) == pytest.approx([0, 0.5, 0])
    assert from_hsv(240.0, 0.5, 1.0) == pytest.approx([0.5, 0.5, 1])


@given(st.integers(0, 10**6), st.sampled_from(COLOURS))
def test_a_colour_word_means_its_hue_or_none_at_all(seed, word):
    red, green, blue = draw_colour(np.random.default_rng(seed), word)
    if word in GREYS:
        assert red == green == blue
    else:
        hue = np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue))
        low, high = HUES[word]
        # The angle in the plane of hues differs from the hexagon's by at most 1.2 degrees.
        assert (hue - low + 3) % 360 <= high - low + 6


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from(sorted(MASKS)), st.floats(0.01, 1.0))
def test_a_mask_stays_between_uncovered_and_covered(seed, name, softness):
    x, y = grid(24)
    covered = MASKS[name](np.random.default_rng(seed), x, y, softness)
    assert covered.min() >= 0
    assert covered.max() <= 1


def test_smoother_noise_has_less_difference_between_neighbours():
    rough, smooth = (
        np.abs(np.diff(fractal(np.random.default_rng(0), 64, power=p))).mean() for p in (0.3, 2.0)
    )
    assert smooth < 0.3 * rough


def test_noise_has_zero_mean_and_unit_spread():
    field = fractal(np.random.default_rng(0), 64, power=1.0, stretch=3.0)
    assert field.mean() == pytest.approx(0, abs=1e-9)
    assert field.std() == pytest.approx(1)


def test_dead_leaves_have_flat_areas_with_sharp_borders():
    steps = np.diff(leaves(np.random.default_rng(0), 64), axis=1)
    assert (steps == 0).mean() > 0.6
    assert np.abs(steps).max() > 0.2


def test_anatomy_is_what_measure_finds(pictures):
    specimen, picture = pictures[0]
    assert SHAPES.anatomy(specimen) == SHAPES.measure(picture)


def test_a_blank_picture_cannot_be_measured():
    assert SHAPES.measure(np.full((8, 8, 3), 7, np.uint8)) is None


def test_a_picture_of_known_halves_is_measured_by_hand():
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[:, 1, 0] = 255
    found = SHAPES.measure(picture)
    assert found == pytest.approx({"brightness": 1 / 6, "contrast": 1 / 6, "chroma": 1 / 2})
