"""The skin phantom's cohort and its pictures."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fairgen.cohort.schema import Group
from fairgen.errors import CohortError
from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.scaling import READING, canvas
from fairgen.phantoms.skin import DISEASES, SCHEMA, SHARES, SKIN, TONES
from fairgen.phantoms.skin_anatomy import TONE_ANGLES, person, view
from fairgen.phantoms.skin_diseases import LESIONS
from fairgen.phantoms.skin_render import draw, light, scene
from fairgen.phantoms.skin_truth import SIGNS, anatomy, sharpness, visible

SPECIMENS = [
    Specimen(group, f"someone-{group.key}", i, 1000 + i) for i, group in enumerate(SCHEMA.groups())
]


def test_the_shares_are_those_of_the_paper():
    assert sum(SHARES.values()) == pytest.approx(1)
    dark = sum(share for group, share in SHARES.items() if group.subgroup == "dark")
    assert dark == pytest.approx(0.106)


def test_five_hundred_images_show_every_group_and_the_imbalance():
    counts = Counter(s.group for s in SKIN.specimens(500, 0))
    assert min(counts[group] for group in SCHEMA.groups()) >= 3
    assert max(counts.values()) > 15 * min(counts.values())


@pytest.mark.parametrize("size", [32, 64, 100, 512])
def test_every_size_from_32_to_512_is_rendered(size):
    image = SKIN.render(SPECIMENS[0], size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8


@pytest.mark.parametrize("size", [31, 513])
def test_other_sizes_are_refused(size):
    with pytest.raises(CohortError, match=f"size: found {size}; expected 32 to 512 pixels"):
        SKIN.render(SPECIMENS[0], size)


def test_a_specimen_always_gives_the_same_picture():
    for specimen in SPECIMENS:
        assert np.array_equal(SKIN.render(specimen, 64), SKIN.render(specimen, 64))


def test_a_picture_does_not_depend_on_its_place_in_the_cohort():
    moved = replace(SPECIMENS[3], index=999)
    assert np.array_equal(SKIN.render(moved, 64), SKIN.render(SPECIMENS[3], 64))


def test_another_seed_gives_another_picture_of_the_same_skin():
    other = replace(SPECIMENS[3], seed=5)
    assert not np.array_equal(SKIN.render(other, 64), SKIN.render(SPECIMENS[3], 64))
    assert scene(other)[0] == scene(SPECIMENS[3])[0]


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda s: s.group.key)
def test_the_scene_is_the_same_at_every_size(specimen):
    patient, lesion, camera = scene(specimen)
    coarse, fine = (
        light(draw(specimen, patient, lesion, n), camera).reshape(3, 32, n // 32, 32, n // 32)
        for n in (96, 256)
    )
    a, b = coarse.mean(axis=(2, 4)), fine.mean(axis=(2, 4))
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.97
    assert np.abs(a - b).mean() < 0.012


def test_small_images_are_drawn_larger_and_averaged():
    assert [canvas(size) for size in (32, 64, 128, 256)] == [96, 96, 192, 256]


@pytest.mark.parametrize("tone", TONES)
def test_tones_keep_to_their_bounds_and_overlap_their_neighbours(tone):
    angles = [person(f"subject {i}", tone).ita for i in range(300)]
    assert TONE_ANGLES[tone][2] <= min(angles) < max(angles) <= TONE_ANGLES[tone][3]
    assert np.mean(angles) == pytest.approx(TONE_ANGLES[tone][0], abs=3)
    assert TONE_ANGLES["light"][2] < TONE_ANGLES["medium"][3]
    assert TONE_ANGLES["medium"][2] < TONE_ANGLES["dark"][3]


def test_the_colour_of_skin_has_the_angle_that_is_recorded():
    for specimen in SPECIMENS:
        patient = person(specimen.subject, specimen.group.levels[0])
        lightness, _, b = patient.colour
        assert np.degrees(np.arctan((lightness - 50) / b)) == pytest.approx(patient.ita)


def _mean_anatomy(tone, disease, key, count=12):
    group = Group((tone,), disease)
    return np.mean([anatomy(Specimen(group, f"s{i}", i, 70 + i))[key] for i in range(count)])


def test_psoriasis_is_red_on_light_skin_and_violaceous_on_dark():
    red = {tone: _mean_anatomy(tone, "psoriasis", "redness") for tone in TONES}
    violet = {tone: _mean_anatomy(tone, "psoriasis", "violaceous") for tone in TONES}
    assert red["light"] > red["medium"] > red["dark"]
    assert violet["light"] < 0 < violet["dark"]


@pytest.mark.parametrize(
    ("key", "disease"),
    [
        ("scale", "psoriasis"),
        ("papule_count", "lichen planus"),
        ("vesicle_count", "allergic contact dermatitis"),
        ("telangiectasia", "basal cell carcinoma"),
        ("crust", "squamous cell carcinoma"),
    ],
)
def test_each_disease_leads_in_its_own_sign(key, disease):
    means = {name: _mean_anatomy("light", name, key) for name in DISEASES}
    assert max(means, key=means.__getitem__) == disease


def test_signs_vary_within_a_disease_and_overlap_between_diseases():
    scales = {
        name: [LESIONS[name](np.random.default_rng(i), 0.3).scale for i in range(200)]
        for name in ("psoriasis", "squamous cell carcinoma", "allergic contact dermatitis")
    }
    assert np.std(scales["psoriasis"]) > 0.1
    for other in ("squamous cell carcinoma", "allergic contact dermatitis"):
        assert max(scales[other]) > np.quantile(scales["psoriasis"], 0.4)


def test_light_and_camera_vary_from_image_to_image():
    views = [view(np.random.default_rng(i)) for i in range(50)]
    assert np.ptp([v.gains[1] for v in views]) > 0.1
    assert len({v.blur for v in views}) == 50


def test_what_a_pixel_shows_adds_up_to_one():
    for specimen in SPECIMENS:
        patient, lesion, _ = scene(specimen)
        shares = visible(draw(specimen, patient, lesion, 96))
        assert shares.shape == (len(SIGNS), READING, READING)
        assert shares.min() > -1e-5
        np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-4)


def test_a_logistic_border_of_width_s_has_sharpness_one_sixth_of_its_inverse():
    x = (np.arange(400) + 0.5) / 400
    for width in (0.02, 0.04):
        ramp = 1 / (1 + np.exp((x - 0.5) / width))
        field = np.broadcast_to(ramp, (400, 400)).copy()
        assert sharpness(field) == pytest.approx(1 / (6 * width), rel=0.03)
