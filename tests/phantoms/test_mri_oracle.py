"""The brain oracle: what it measures, how well, and what it refuses."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, rotate, zoom
from tests.phantoms.wear import WEARS, agreement, byte, coded, noisy

from fairgen.cohort.schema import Group
from fairgen.cohort.seed import derive
from fairgen.phantoms.mri import MRI, QUANTITIES, SCHEMA
from fairgen.phantoms.mri_oracle import measure, oval, reduced, symmetry
from fairgen.phantoms.mri_pixels import frame, outline, white_matter
from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.skin import SKIN

HELD_OUT = [
    Specimen(group, f"held-out-{group.key}-{i}", i, derive(11, "held out", group.key, i))
    for group in SCHEMA.groups()
    for i in range(20)
]
CLEAN = {
    "brain_area": 0.97,
    "ventricle_ratio": 0.95,
    "parenchyma": 0.90,
    "hippocampus": 0.92,
    "temporal_horn": 0.90,
    "lesions": 0.80,
    "sulcal_width": 0.88,
    "cortical_thickness": 0.80,
    "grey_white_contrast": 0.70,
}


@pytest.fixture(scope="module")
def pictures():
    return [MRI.render(s, 64) for s in HELD_OUT]


@pytest.fixture(scope="module")
def truths():
    return [MRI.anatomy(s) for s in HELD_OUT]


def test_it_measures_what_the_anatomy_names(truths, pictures):
    names = {q.name for q in QUANTITIES}
    assert measure(pictures[0]).keys() == truths[0].keys() == CLEAN.keys() == names


@pytest.fixture(scope="module")
def clean(pictures):
    return [measure(image) for image in pictures]


@pytest.mark.parametrize(("key", "least"), CLEAN.items())
def test_held_out_phantoms_are_measured_well(truths, clean, key, least):
    assert None not in clean
    assert agreement(clean, truths, key) > least


@pytest.mark.parametrize("key", ["ventricle_ratio", "sulcal_width", "cortical_thickness"])
def test_measures_are_right_on_the_average_in_every_group(truths, clean, key):
    spread = np.std([t[key] for t in truths])
    for group in SCHEMA.groups():
        errors = [
            f[key] - t[key]
            for s, t, f in zip(HELD_OUT, truths, clean, strict=True)
            if s.group == group
        ]
        assert abs(np.mean(errors)) < 0.4 * spread


@pytest.mark.parametrize("wear", WEARS)
def test_worn_images_are_measured_too(truths, pictures, wear):
    found = [measure(wear(image)) for image in pictures]
    assert None not in found
    for key, least in (("ventricle_ratio", 0.9), ("parenchyma", 0.8), ("sulcal_width", 0.75)):
        assert agreement(found, truths, key) > least, key


def test_what_is_called_robust_survives_heavy_wear(truths, pictures):
    found = [measure(noisy(coded(image))) for image in pictures]
    for quantity in QUANTITIES:
        if quantity.robust:
            assert agreement(found, truths, quantity.name) > 0.6, quantity.name


def test_a_grey_picture_in_three_channels_is_measured_alike(pictures, clean):
    for image, usual in zip(pictures[:5], clean, strict=False):
        assert measure(image.repeat(3, axis=2)) == pytest.approx(usual, rel=1e-3, abs=1e-4)
        tinted = image.repeat(3, axis=2).astype(float) + (2, 0, -2) * (image > 0)
        assert measure(byte(tinted))["ventricle_ratio"] == pytest.approx(
            usual["ventricle_ratio"], abs=0.01
        )


def test_a_coloured_picture_is_not_measurable(pictures):
    assert measure(byte(pictures[0] * np.array([1.0, 0.6, 0.4]))) is None


@pytest.mark.parametrize("size", [32, 128, 256])
def test_larger_and_smaller_images_are_read_at_one_size(clean, size):
    for specimen, usual in zip(HELD_OUT[::16], clean[::16], strict=True):
        image = MRI.render(specimen, size)
        assert reduced(image).shape == (1, 64, 64)
        found = measure(image)
        assert found["ventricle_ratio"] == pytest.approx(usual["ventricle_ratio"], abs=0.03)
        assert found["brain_area"] == pytest.approx(usual["brain_area"], abs=0.02)


def _disc(inside):
    u = np.linspace(-1, 1, 64)
    egg = np.hypot(u / 0.7, u[:, None] / 0.85) < 1
    return byte(np.where(egg, inside, 0))[..., None]


def _gradient(low, high):
    return byte(np.linspace(low, high, 64) * np.ones((64, 1)))[..., None]


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 1), np.uint8)
SMOOTH = byte(
    128 + 900 * gaussian_filter(np.random.default_rng(3).normal(0, 1, (64, 64, 1)), (4, 4, 0))
)
NOT_BRAINS = {
    "black": np.zeros((64, 64, 1), np.uint8),
    "white": np.full((64, 64, 1), 255, np.uint8),
    "grey": np.full((64, 64, 1), 120, np.uint8),
    "noise": NOISE,
    "noise in three channels": NOISE.repeat(3, axis=2),
    "colour noise": np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8),
    "faint noise": NOISE // 32,
    "smooth noise": SMOOTH,
    "gradient": _gradient(0, 255),
    "faint gradient": _gradient(90, 120),
    "stripes": np.tile((np.arange(64) // 8 % 2 * 200).astype(np.uint8)[:, None, None], (1, 64, 1)),
    "white disc on black": _disc(255),
    "disc of noise": _disc(NOISE[..., 0]),
    "disc of smooth noise": _disc(SMOOTH[..., 0]),
    "disc that darkens outwards": _disc(255 * np.hanning(64) * np.hanning(64)[:, None]),
    "striped disc": _disc(np.tile(np.arange(64) // 4 % 2 * 200, (64, 1))),
    "tiny": np.full((8, 8, 1), 200, np.uint8),
    "two channels": NOISE.repeat(2, axis=2),
}


@pytest.mark.parametrize("name", NOT_BRAINS)
def test_what_is_no_brain_is_not_measurable(name):
    assert measure(NOT_BRAINS[name]) is None


def test_photographs_of_other_things_are_not_measurable():
    datasets = pytest.importorskip("sklearn.datasets")
    rng = np.random.default_rng(0)
    for photograph in datasets.load_sample_images().images:
        grey = byte(photograph.mean(axis=2, keepdims=True))
        for _ in range(20):
            side = int(rng.integers(100, 400))
            y, x = (int(rng.integers(0, n - side)) for n in grey.shape[:2])
            part = np.ascontiguousarray(grey[y : y + side, x : x + side])
            assert measure(part) is None
            small = byte(zoom(part[..., 0].astype(float), 64 / side, order=1))
            assert measure(_disc(small[:64, :64])) is None


def test_a_picture_of_skin_is_not_measurable():
    for specimen in SKIN.specimens(5, 0):
        image = SKIN.render(specimen, 64)
        assert measure(image) is None
        assert measure(byte(image.mean(axis=2, keepdims=True))) is None


def test_a_brain_that_lies_on_its_side_is_not_measurable(pictures):
    assert measure(np.rot90(pictures[0]).copy()) is None


def test_a_turned_head_is_found_upright(pictures):
    turned = rotate(pictures[0][..., 0].astype(np.float32), 5, reshape=False, order=1)
    straight = frame(pictures[0][..., 0].astype(np.float32))
    tilted = frame(turned)
    assert np.degrees(abs(tilted.turn - straight.turn)) == pytest.approx(5, abs=1.5)
    assert tilted.aspect == pytest.approx(straight.aspect, abs=0.03)
    assert symmetry(turned / tilted.white, tilted) > 0.5


def test_the_outline_is_the_largest_region_without_holes():
    image = np.zeros((64, 64), np.float32)
    image[10:50, 15:45] = 200
    image[20:30, 25:35] = 0
    image[58:61, 58:61] = 200
    mask = outline(image)
    assert mask[25, 30]
    assert not mask[59, 59]
    assert mask.sum() == pytest.approx(40 * 30, abs=160)
    assert frame(np.zeros((64, 64), np.float32)) is None


def test_an_ellipse_is_wholly_oval_and_a_rectangle_is_not():
    u = np.linspace(-1, 1, 64)
    egg = np.where(np.hypot(u / 0.7, u[:, None] / 0.85) < 1, 200, 0).astype(np.float32)
    box = np.zeros((64, 64), np.float32)
    box[8:56, 14:50] = 200
    assert oval(frame(egg)) > 0.96
    assert oval(frame(box)) < 0.88


def test_the_white_surface_sees_past_cortex_and_fluid():
    u = np.linspace(-1, 1, 64, dtype=np.float32)
    x, y = np.broadcast_to(u, (64, 64)), np.broadcast_to(u[:, None], (64, 64))
    mask = np.hypot(x, y) < 0.9
    white = 200 * (1 + 0.1 * x)
    tissue = np.random.default_rng(0).choice([0.25, 0.7, 1.0], (64, 64), p=[0.15, 0.35, 0.5])
    tissue = np.kron(tissue[::4, ::4], np.ones((4, 4)))
    seen = white_matter((white * tissue * mask).astype(np.float32), mask, x.copy(), y.copy())
    assert np.abs(seen / white - 1)[mask].mean() < 0.05


def test_measures_never_jump_to_nan(pictures):
    for image in pictures[::10]:
        for strength in (0.3, 0.6, 1.2):
            found = measure(byte(image * strength))
            assert found is not None
            assert np.all(np.isfinite(list(found.values())))
    assert np.all(np.isfinite(list(MRI.anatomy(HELD_OUT[0]).values())))
    assert Group(("over 75",), "demented") in SCHEMA.groups()
