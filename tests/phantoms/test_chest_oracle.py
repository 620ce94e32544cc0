"""The chest oracle: what it measures, how well, and what it refuses."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tests.phantoms.wear import WEARS, agreement, byte

from fairgen.cohort.seed import derive
from fairgen.phantoms.chest import CHEST, QUANTITIES, SCHEMA
from fairgen.phantoms.chest_oracle import measure, reduced
from fairgen.phantoms.chest_pixels import against_lung, normalised
from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.skin import SKIN

HELD_OUT = [
    Specimen(group, f"held-out-{group.key}-{i}", i, derive(11, "held out", group.key, i))
    for group in SCHEMA.groups()
    for i in range(12)
]
CLEAN = {
    "effusion_left": 0.70,
    "effusion_right": 0.70,
    "opacity_extent": 0.65,
    "opacity_laterality": 0.60,
    "opacity_height": 0.50,
    "opacity_periphery": 0.60,
    "perihilar_index": 0.70,
    "breast_shadow": 0.75,
    "cardiothoracic_ratio": 0.80,
    "lung_area": 0.90,
}
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def pictures():
    return [CHEST.render(s, 64) for s in HELD_OUT]


@pytest.fixture(scope="module")
def truths():
    return [CHEST.anatomy(s) for s in HELD_OUT]


def test_it_measures_what_the_anatomy_names(truths, pictures):
    names = {q.name for q in QUANTITIES}
    assert measure(pictures[0]).keys() == truths[0].keys() == CLEAN.keys() == names


def test_held_out_phantoms_are_measured_well(truths, pictures):
    found = [measure(image) for image in pictures]
    assert sum(f is None for f in found) <= 1
    for key, least in CLEAN.items():
        assert agreement(found, truths, key) > least, key


@pytest.mark.parametrize("wear", WEARS)
def test_worn_images_are_measured_too(truths, pictures, wear):
    found = [measure(wear(image)) for image in pictures]
    assert sum(f is None for f in found) <= 1
    for key in ("perihilar_index", "breast_shadow", "cardiothoracic_ratio", "lung_area"):
        assert agreement(found, truths, key) > CLEAN[key] - 0.05, key


def test_the_side_of_a_large_effusion_is_told(truths, pictures):
    for truth, image in zip(truths, pictures, strict=True):
        gap = truth["effusion_left"] - truth["effusion_right"]
        if abs(gap) > 0.3:
            found = measure(image)
            assert (found["effusion_left"] - found["effusion_right"]) * gap > 0


def test_three_equal_channels_are_measured_as_one_is(pictures):
    for image in pictures[::15]:
        assert measure(image.repeat(3, axis=2)) == pytest.approx(measure(image), abs=1e-5)


def test_a_faint_tint_is_measured_and_a_strong_one_is_not(pictures):
    image = pictures[0].repeat(3, axis=2).astype(float)
    found, usual = measure(byte(image + np.array([2, 0, -2]))), measure(pictures[0])
    assert found["lung_area"] == pytest.approx(usual["lung_area"], abs=0.01)
    assert measure(byte(image * (1.0, 0.7, 0.5))) is None


def test_transparency_is_not_looked_at(pictures):
    image = pictures[0]
    opaque = np.full_like(image, 255)
    assert measure(np.concatenate([image, opaque], axis=2)) == measure(image)
    four = np.concatenate([image.repeat(3, axis=2), opaque], axis=2)
    assert measure(four) == measure(image.repeat(3, axis=2))


@pytest.mark.parametrize("size", [32, 128, 256])
def test_larger_and_smaller_images_are_read_at_one_size(size):
    for specimen in HELD_OUT[::30]:
        image = CHEST.render(specimen, size)
        assert reduced(image).shape == (64, 64)
        found, usual = measure(image), measure(CHEST.render(specimen, 64))
        assert found["lung_area"] == pytest.approx(usual["lung_area"], abs=0.04)
        assert found["cardiothoracic_ratio"] == pytest.approx(
            usual["cardiothoracic_ratio"], abs=0.08
        )


U = np.linspace(-1, 1, 64)
RADIUS = np.hypot(U, U[:, None])[:, :, None]
NOT_A_CHEST = {
    "black": np.zeros((64, 64, 1), np.uint8),
    "white": np.full((64, 64, 1), 255, np.uint8),
    "flat grey": np.full((64, 64, 1), 128, np.uint8),
    "noise": RNG.integers(0, 256, (64, 64, 1), np.uint8),
    "colour noise": RNG.integers(0, 256, (64, 64, 3), np.uint8),
    "faint noise": byte(RNG.normal(128, 12, (64, 64, 1))),
    "smooth noise": byte(128 + 900 * gaussian_filter(RNG.normal(0, 1, (64, 64, 1)), (4, 4, 0))),
    "left to right": byte(np.broadcast_to(127 + 127 * U[None, :, None], (64, 64, 1))),
    "top to bottom": byte(np.broadcast_to(127 + 127 * U[:, None, None], (64, 64, 1))),
    "stripes": byte(np.broadcast_to(255.0 * (np.arange(64) // 8 % 2)[:, None, None], (64, 64, 1))),
    "disc on black": byte(200.0 * (RADIUS < 0.7)),
    "soft disc on black": byte(220.0 * np.exp(-2 * RADIUS**2)),
    "hole": byte(200.0 * (RADIUS > 0.6)),
    "tiny": np.full((8, 8, 1), 128, np.uint8),
}


@pytest.mark.parametrize("name", NOT_A_CHEST)
def test_what_is_not_a_chest_is_not_measurable(name):
    assert measure(NOT_A_CHEST[name]) is None


def test_skin_is_not_measurable_in_colour_or_grey():
    for specimen in SKIN.specimens(20, 0):
        image = SKIN.render(specimen, 64)
        assert measure(image) is None
        assert measure(byte(image.mean(axis=2, keepdims=True))) is None


def test_a_chest_upside_down_or_in_negative_is_not_measurable(pictures):
    for image in pictures[::10]:
        assert measure(np.ascontiguousarray(image[::-1])) is None
        assert measure(255 - image) is None


def test_exposure_is_taken_out_of_an_image(pictures):
    grey = pictures[0][:, :, 0].astype(np.float32)
    np.testing.assert_allclose(normalised(grey), normalised(0.5 * grey + 40), atol=1e-4)


def test_grey_against_the_lung_is_zero_in_clear_lung_and_one_in_the_heart():
    lung = np.zeros((64, 64), np.float32)
    lung[:, :20] = 1
    heart = np.roll(lung, 20, axis=1)
    nothing = np.zeros_like(lung)
    shares = np.stack([nothing, nothing, nothing, lung, heart, 1 - lung - heart])
    grey = np.where(lung > 0, -0.8, 0.7).astype(np.float32)
    found = against_lung(np.stack([grey] * 4), shares)
    assert found[2][lung > 0] == pytest.approx(0, abs=1e-5)
    assert found[2][heart > 0] == pytest.approx(1, abs=1e-5)
