"""Random fields and marks."""

import numpy as np
import pytest

from fairgen.phantoms.fields import (
    axis,
    cellular,
    discs,
    dots,
    fractal,
    noise,
    polygons,
    step,
    strokes,
)


def _grid(n):
    u = axis(n)
    return np.broadcast_to(u, (n, n)), np.broadcast_to(u[:, None], (n, n))


def test_noise_has_about_unit_variance():
    fields = [noise(np.random.default_rng(i), 64, 8) for i in range(40)]
    assert np.std(fields) == pytest.approx(1, abs=0.1)


def test_noise_is_the_same_field_at_two_resolutions():
    coarse = noise(np.random.default_rng(0), 32, 4)
    fine = noise(np.random.default_rng(0), 96, 4).reshape(32, 3, 32, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(coarse, fine, atol=0.05)


def test_noise_too_fine_for_the_pixels_is_left_out_but_still_drawn():
    one, two = np.random.default_rng(0), np.random.default_rng(0)
    assert not noise(one, 16, 32).any()
    noise(two, 256, 32)
    assert one.random() == two.random()


def test_octaves_add_up_to_about_unit_variance():
    fields = [fractal(np.random.default_rng(i), 64, 4, 3, 0.7) for i in range(40)]
    assert np.std(fields) == pytest.approx(1, abs=0.12)


def test_a_mosaic_has_about_as_many_tiles_as_asked_for_and_thin_seams():
    seam, tile = cellular(np.random.default_rng(0), *_grid(96), 10)
    assert 90 < len(np.unique(tile)) < 160
    assert seam.min() >= 0
    assert np.mean(seam < 0.1) < 0.3


def test_a_dot_keeps_its_energy_at_every_resolution():
    mark = np.array([[0.4, 0.6, 0.03, 2.0]])
    for n in (64, 256):
        assert dots(mark, n).sum() / n**2 == pytest.approx(2 * 2 * np.pi * 0.03**2, rel=0.1)


def test_strokes_never_cover_more_than_the_whole_pixel():
    marks = np.repeat([[0.5, 0.5, 0.05, 1.0]], 50, axis=0)
    assert 0.999 < strokes(marks, 32).max() <= 1


def test_a_disc_is_minus_one_in_its_centre_and_zero_at_its_rim():
    distance = discs(np.array([[0.5, 0.5, 0.25]]), 65)
    assert distance[32, 32] == pytest.approx(-1, abs=0.02)
    assert distance[32, 48] == pytest.approx(0, abs=0.04)
    assert distance[0, 0] == 1


def test_a_disc_at_the_corner_is_cut_off_without_harm():
    distance = discs(np.array([[0.01, 0.99, 0.1], [-0.2, 0.5, 0.05]]), 64)
    assert distance[63, 0] < -0.8
    assert distance.shape == (64, 64)


def test_four_sides_make_a_square():
    turns = np.array([[0, 0.5, 1, 1.5]]) * np.pi
    distance = polygons(np.array([[0.5, 0.5, 0.25]]), turns, np.ones((1, 4)), 64)
    assert np.mean(distance < 0) == pytest.approx(0.25, abs=0.02)


def test_a_step_is_one_inside_half_at_the_border_and_zero_outside():
    found = step(np.array([[-1.0, 0.0], [1.0, 0.0]], np.float32), 0.05)
    np.testing.assert_allclose(found, [[1, 0.5], [0, 0.5]], atol=1e-6)
