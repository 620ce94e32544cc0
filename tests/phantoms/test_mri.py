"""The brain phantom's cohort and its pictures."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from fairgen.cohort.schema import Group
from fairgen.errors import CohortError
from fairgen.modalities.modality import MODALITIES, Prompts
from fairgen.phantoms.mri import MRI, SCHEMA, SHARES
from fairgen.phantoms.mri_anatomy import AGES, HEALTHY, ILL, OLDER, YOUNGER, person, scan, state
from fairgen.phantoms.mri_deep import capsule, ellipse, union
from fairgen.phantoms.mri_folds import REACH, folds, nearness
from fairgen.phantoms.mri_render import draw, scene, signal
from fairgen.phantoms.mri_sheet import TISSUES
from fairgen.phantoms.mri_truth import anatomy, visible
from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.scaling import READING

SPECIMENS = [
    Specimen(group, f"someone-{group.key}-{i}", i, 1000 + i)
    for group in SCHEMA.groups()
    for i in range(2)
]


def _people(band, diagnosis, count=40):
    group = Group((band,), diagnosis)
    return [anatomy(Specimen(group, f"s{i}", i, 70 + i)) for i in range(count)]


@pytest.fixture(scope="module")
def known():
    return {(band, ill): _people(band, ill) for band in AGES for ill in (HEALTHY, ILL)}


def test_the_shares_sum_to_one_and_demented_patients_over_75_are_rare():
    assert sum(SHARES.values()) == pytest.approx(1)
    assert min(SHARES, key=SHARES.__getitem__) == Group((OLDER,), ILL)
    assert SHARES[Group((OLDER,), ILL)] <= 0.10


def test_five_hundred_images_show_every_group_and_the_imbalance():
    counts = Counter(s.group for s in MRI.specimens(500, 0))
    assert min(counts[group] for group in SCHEMA.groups()) >= 30
    assert max(counts.values()) > 4 * min(counts.values())


def test_subjects_have_several_images_and_some_become_demented():
    sessions = defaultdict(list)
    for specimen in MRI.specimens(500, 0):
        sessions[specimen.subject].append(specimen.group)
    assert max(map(len, sessions.values())) > 2
    assert sum(len(set(groups)) == 2 for groups in sessions.values()) > 5
    assert all(len({g.levels for g in groups}) == 1 for groups in sessions.values())


def test_prompts_name_their_group():
    prompts = Prompts(SCHEMA, MRI.template or MODALITIES[MRI.modality].template, MRI.words)
    for group in SCHEMA.groups():
        assert prompts.parse(prompts.render(group)) == group
    assert prompts.render(Group((OLDER,), ILL)) == (
        "an axial brain MRI of a patient aged over 75, demented"
    )


@pytest.mark.parametrize("size", [32, 64, 100, 512])
def test_every_size_from_32_to_512_is_rendered_in_grey(size):
    image = MRI.render(SPECIMENS[0], size)
    assert image.shape == (size, size, MODALITIES["mri"].channels)
    assert image.dtype == np.uint8


@pytest.mark.parametrize("size", [31, 513])
def test_other_sizes_are_refused(size):
    with pytest.raises(CohortError, match=f"size: found {size}; expected 32 to 512 pixels"):
        MRI.render(SPECIMENS[0], size)


def test_a_specimen_always_gives_the_same_picture():
    for specimen in SPECIMENS:
        assert np.array_equal(MRI.render(specimen, 64), MRI.render(specimen, 64))


def test_a_picture_does_not_depend_on_its_place_in_the_cohort():
    moved = replace(SPECIMENS[3], index=999)
    assert np.array_equal(MRI.render(moved, 64), MRI.render(SPECIMENS[3], 64))


def test_another_seed_gives_another_picture_of_the_same_head():
    other = replace(SPECIMENS[3], seed=5)
    assert not np.array_equal(MRI.render(other, 64), MRI.render(SPECIMENS[3], 64))
    assert scene(other)[0] == scene(SPECIMENS[3])[0]


def test_a_subject_keeps_its_folds_when_it_becomes_demented():
    healthy = Specimen(Group((OLDER,), HEALTHY), "someone", 0, 4)
    patient, brain, _ = scene(healthy)
    later = scene(replace(healthy, group=Group((OLDER,), ILL)))
    assert later[0] == patient
    before, after = folds(patient, brain), folds(patient, replace(later[1], drop=brain.drop))
    np.testing.assert_allclose(before.pieces[:, :4], after.pieces[:, :4])
    assert after.width > before.width


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda s: f"{s.group.key} {s.index}")
def test_the_scene_is_the_same_at_every_size(specimen):
    patient, brain, taken = scene(specimen)
    coarse, fine = (
        signal(draw(specimen, patient, brain, taken, n), taken).reshape(32, n // 32, 32, n // 32)
        for n in (96, 256)
    )
    a, b = coarse.mean(axis=(1, 3)), fine.mean(axis=(1, 3))
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.99
    assert np.abs(a - b).mean() < 3


def test_the_head_lies_on_black_within_the_image():
    for specimen in SPECIMENS:
        image = MRI.render(specimen, 64)
        assert image[0].max() == image[:, 0].max() == image[:, -1].max() == 0
        assert 0.35 < np.mean(image > 20) < 0.7


@pytest.mark.parametrize("band", AGES)
def test_ages_keep_to_their_band(band):
    ages = [person(f"subject {i}", band).age for i in range(300)]
    assert AGES[band][2] <= min(ages) < max(ages) <= AGES[band][3]
    assert np.std(ages) > 2


def test_brains_shrink_with_age_and_more_with_dementia(known):
    for key, sign in (("ventricle_ratio", 1), ("parenchyma", -1), ("sulcal_width", 1)):
        mean = {who: sign * np.mean([a[key] for a in people]) for who, people in known.items()}
        assert mean[YOUNGER, HEALTHY] < mean[OLDER, HEALTHY] < mean[YOUNGER, ILL]
        assert mean[OLDER, HEALTHY] < mean[OLDER, ILL]


def test_dementia_thins_the_cortex_and_the_hippocampus_and_widens_the_temporal_horns(known):
    for band in AGES:
        for key, sign in (("cortical_thickness", -1), ("hippocampus", -1), ("temporal_horn", 1)):
            seen = {
                ill: np.mean([a[key] for a in known[band, ill] if a["hippocampus"] > 0])
                for ill in (HEALTHY, ILL)
            }
            assert sign * seen[ILL] > sign * seen[HEALTHY], key


def test_lesions_of_the_white_matter_grow_with_age(known):
    lesions = {who: np.mean([a["lesions"] for a in people]) for who, people in known.items()}
    assert lesions[OLDER, HEALTHY] > 1.2 * lesions[YOUNGER, HEALTHY]


@pytest.mark.parametrize(
    ("key", "sign"), [("ventricle_ratio", 1), ("parenchyma", -1), ("sulcal_width", 1)]
)
def test_age_and_disease_overlap(known, key, sign):
    old, ill = (
        np.array([sign * a[key] for a in known[who]]) for who in ((OLDER, HEALTHY), (YOUNGER, ILL))
    )
    assert 0.05 < np.mean(old[:, None] > ill) < 0.45


def test_slices_are_of_two_kinds_and_only_the_lower_one_meets_the_hippocampus():
    drops = {}
    for i in range(60):
        patient = person(f"s{i}", YOUNGER)
        drops[i] = state(np.random.default_rng(i), patient, HEALTHY).drop
    assert 0.2 < np.mean([d > 0.7 for d in drops.values()]) < 0.6
    for specimen in SPECIMENS:
        assert (anatomy(specimen)["hippocampus"] > 0) == (scene(specimen)[1].drop > 0.7)


def test_scans_vary_from_image_to_image():
    scans = [scan(np.random.default_rng(i)) for i in range(50)]
    assert np.ptp([s.white for s in scans]) > 20
    assert np.ptp([s.grey for s in scans]) > 0.05
    assert len({s.blur for s in scans}) == 50


def test_what_a_pixel_shows_adds_up_to_one():
    for specimen in SPECIMENS:
        shares = visible(draw(specimen, *scene(specimen), 96))
        assert shares.shape == (len(TISSUES), READING, READING)
        assert shares.min() > -1e-5
        np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-4)


def test_areas_are_shares_of_one_another(known):
    for people in known.values():
        for each in people:
            assert 0.4 < each["brain_area"] < 0.7
            assert each["temporal_horn"] <= each["ventricle_ratio"] < 0.3
            assert 0 < each["parenchyma"] < 1 - each["ventricle_ratio"]


def test_nearness_is_the_distance_to_the_surface_of_the_nearest_piece():
    pieces = np.array([[0.3, 0.5, 0.4, 0.5, 0.01], [0.7, 0.2, 0.7, 0.3, 0.02]], np.float32)
    gap = nearness(pieces, 100)
    assert gap[50, 35] == pytest.approx(0.005 - 0.01, abs=1e-3)
    assert gap[52, 35] == pytest.approx(0.025 - 0.01, abs=1e-3)
    assert gap[25, 70] == pytest.approx(0.005 - 0.02, abs=1e-3)
    assert gap[90, 90] == pytest.approx(REACH)


def test_rods_ellipses_and_unions_are_signed_distances():
    u = np.linspace(-1, 1, 101, dtype=np.float32)
    x, y = np.broadcast_to(u, (101, 101)), np.broadcast_to(u[:, None], (101, 101))
    rod = capsule(x, y, (-0.5, 0.0, 0.1), (0.5, 0.0, 0.2))
    assert rod[50, 50] == pytest.approx(-0.15, abs=1e-3)
    assert rod[50, 100] == pytest.approx(0.5 - 0.2, abs=1e-3)
    disc = ellipse(x, y, (0.0, 0.0), (0.5, 0.5))
    assert disc[50, 100] == pytest.approx(0.5, abs=1e-3)
    both, nearest = union(rod, disc, soft=0.02), np.minimum(rod, disc)
    assert np.all(both <= nearest + 1e-4)
    assert np.abs(both - nearest).max() <= 0.02 * np.log(2) + 1e-4
