"""Colour arithmetic, against published values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fairgen.phantoms.skin_colour import (
    decode,
    encode,
    lab_from_linear,
    lab_from_pixels,
    linear_from_lab,
    typology_angle,
)


@pytest.mark.parametrize(
    ("pixel", "lab"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_known_colours_have_their_published_lab(pixel, lab):
    found = lab_from_pixels(np.array(pixel, np.uint8).reshape(1, 1, 3))
    np.testing.assert_allclose(found.ravel(), lab, atol=0.05)


@given(arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)))
def test_lab_and_linear_light_are_inverse(rgb):
    np.testing.assert_allclose(linear_from_lab(lab_from_linear(rgb)), rgb, atol=2e-4)


def test_srgb_is_decoded_and_encoded_back():
    values = np.linspace(0, 1, 256, dtype=np.float32)
    np.testing.assert_allclose(encode(decode(values)), values, atol=1e-5)


def test_the_typology_angle_is_45_degrees_where_lightness_exceeds_50_by_b():
    assert typology_angle(67.0, 17.0) == pytest.approx(45)
    assert typology_angle(50.0, 17.0) == pytest.approx(0)
    assert typology_angle(33.0, 17.0) == pytest.approx(-45)
