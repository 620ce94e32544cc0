"""The oracle: what it measures, how well, and what it refuses."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tests.phantoms.wear import WEARS, agreement, byte

from fairgen.cohort.seed import derive
from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.reader import fit_reader
from fairgen.phantoms.skin import SCHEMA, SKIN
from fairgen.phantoms.skin_oracle import measure, reduced
from fairgen.phantoms.skin_pixels import skin_surface

HELD_OUT = [
    Specimen(group, f"held-out-{group.key}-{i}", i, derive(11, "held out", group.key, i))
    for group in SCHEMA.groups()
    for i in range(6)
]
CLEAN = {
    "ita": 0.97,
    "lesion_area": 0.55,
    "redness": 0.88,
    "darkening": 0.80,
    "violaceous": 0.92,
    "scale": 0.85,
    "crust": 0.70,
    "ulceration": 0.65,
    "telangiectasia": 0.65,
    "border_sharpness": 0.50,
    "papule_count": 0.90,
    "vesicle_count": 0.80,
}


@pytest.fixture(scope="module")
def pictures():
    return [SKIN.render(s, 64) for s in HELD_OUT]


@pytest.fixture(scope="module")
def truths():
    return [SKIN.anatomy(s) for s in HELD_OUT]


def test_it_measures_what_the_anatomy_names(truths, pictures):
    assert measure(pictures[0]).keys() == truths[0].keys() == CLEAN.keys()


def test_held_out_phantoms_are_measured_well(truths, pictures):
    found = [measure(image) for image in pictures]
    assert sum(f is None for f in found) <= 1
    for key, least in CLEAN.items():
        assert agreement(found, truths, key) > least, key


def test_tone_is_measured_to_a_few_degrees_in_every_tone(truths, pictures):
    for tone in ("light", "medium", "dark"):
        errors = [
            abs(found["ita"] - truth["ita"])
            for s, truth, image in zip(HELD_OUT, truths, pictures, strict=True)
            if s.group.subgroup == tone and (found := measure(image)) is not None
        ]
        assert np.mean(errors) < 5


@pytest.mark.parametrize("wear", WEARS)
@pytest.mark.parametrize(
    ("key", "least"), [("ita", 0.97), ("redness", 0.80), ("violaceous", 0.80), ("scale", 0.75)]
)
def test_worn_images_are_measured_too(truths, pictures, wear, key, least):
    found = [measure(wear(image)) for image in pictures]
    assert sum(f is None for f in found) <= 1
    assert agreement(found, truths, key) > least


@pytest.mark.parametrize("size", [32, 128, 256])
def test_larger_and_smaller_images_are_read_at_one_size(size):
    for specimen in HELD_OUT[::20]:
        image = SKIN.render(specimen, size)
        assert reduced(image).shape == (64, 64, 3)
        found, usual = measure(image), measure(SKIN.render(specimen, 64))
        assert found["ita"] == pytest.approx(usual["ita"], abs=3)
        assert found["redness"] == pytest.approx(usual["redness"], abs=2.5)


def _gradient(low, high):
    ramp = np.linspace(0, 1, 64)[None, :, None]
    return byte(np.ones((64, 1, 1)) * (np.array(low) + ramp * (np.array(high) - np.array(low))))


def _stripes(one, two):
    on = (np.arange(64) // 8 % 2).astype(bool)
    return np.tile(np.where(on[:, None], one, two).astype(np.uint8)[:, None], (1, 64, 1))


NOT_SKIN = {
    "black": np.zeros((64, 64, 3), np.uint8),
    "white": np.full((64, 64, 3), 255, np.uint8),
    "one skin colour": np.full((64, 64, 3), (200, 150, 120), np.uint8),
    "colour noise": np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8),
    "grey noise": np.random.default_rng(1).integers(0, 256, (64, 64, 1), np.uint8).repeat(3, 2),
    "skin-coloured noise": byte(
        np.random.default_rng(2).normal((190, 145, 120), 12, (64, 64, 3)),
    ),
    "smooth colour noise": byte(
        128 + 900 * gaussian_filter(np.random.default_rng(3).normal(0, 1, (64, 64, 3)), (4, 4, 0))
    ),
    "sky gradient": _gradient((90, 140, 220), (200, 220, 250)),
    "black to white": _gradient((0, 0, 0), (255, 255, 255)),
    "green stripes": _stripes((40, 140, 60), (120, 200, 120)),
    "skin-coloured stripes": _stripes((120, 70, 50), (225, 180, 150)),
    "one channel": np.random.default_rng(4).integers(0, 256, (64, 64, 1), np.uint8),
    "tiny": np.full((8, 8, 3), (200, 150, 120), np.uint8),
}


@pytest.mark.parametrize("name", NOT_SKIN)
def test_what_is_not_skin_is_not_measurable(name):
    assert measure(NOT_SKIN[name]) is None


def test_the_skin_surface_sees_past_a_lesion():
    u = np.linspace(-1, 1, 64, dtype=np.float32)
    plane = np.stack(
        [60 + 5 * u + 0 * u[:, None], 12 + 0 * u + u[:, None], 0 * u + 18 + 0 * u[:, None]]
    )
    spot = np.hypot(u[None], u[:, None]) < 0.4
    surface, spread = skin_surface((plane + spot * np.float32(-12)).astype(np.float32))
    assert np.abs(surface - plane)[:, ~spot].mean() < 0.5
    assert spread[0] < 2


def test_the_reader_learns_shares_that_depend_on_the_readings():
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 1, (4000, 2))
    high = 1 / (1 + np.exp(-3 * rows[:, 0]))
    shares = np.stack([high, 1 - high], axis=1)
    reader = fit_reader(rows, shares, np.ones(4000))
    found = reader.shares(np.array([[[1.0]], [[0.0]]]))
    assert found[0, 0, 0] == pytest.approx(1 / (1 + np.exp(-3)), abs=0.03)
