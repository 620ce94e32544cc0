"""The chest phantom's cohort and its pictures."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fairgen.cohort.schema import Group
from fairgen.errors import CohortError
from fairgen.modalities.modality import MODALITIES, Prompts
from fairgen.phantoms.chest import CHEST, FINDINGS, SCHEMA, SEXES, SHARES
from fairgen.phantoms.chest_anatomy import person, view
from fairgen.phantoms.chest_findings import FINDINGS as DRAWN
from fairgen.phantoms.chest_findings import SUPINE
from fairgen.phantoms.chest_render import draw, expose, placed, scene
from fairgen.phantoms.chest_truth import SIGNS, anatomy, filled, measures, visible, widest
from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.scaling import READING

SPECIMENS = [
    Specimen(group, f"someone-{group.key}", i, 1000 + i) for i, group in enumerate(SCHEMA.groups())
]


def test_covid_has_the_papers_share_and_is_rarer_in_women():
    assert sum(SHARES.values()) == pytest.approx(1)
    covid = {sex: SHARES[Group((sex,), "COVID-19")] for sex in SEXES}
    assert sum(covid.values()) == pytest.approx(576 / 14222, abs=0.001)
    women = sum(share for group, share in SHARES.items() if group.subgroup == "female")
    assert covid["female"] / women < covid["male"] / (1 - women)


def test_five_hundred_images_show_every_group_and_the_imbalance():
    counts = Counter(s.group for s in CHEST.specimens(500, 0))
    assert min(counts[group] for group in SCHEMA.groups()) >= 3
    assert max(counts.values()) > 10 * min(counts.values())


def test_some_subjects_have_images_of_two_findings():
    labels: dict[str, set[str]] = {}
    for specimen in CHEST.specimens(400, 0):
        labels.setdefault(specimen.subject, set()).add(specimen.group.label)
    assert any(len(found) == 2 for found in labels.values())


def test_prompts_say_what_an_image_shows_and_are_read_back():
    prompts = Prompts(SCHEMA, MODALITIES["chest"].template, CHEST.words)
    for group in SCHEMA.groups():
        assert prompts.parse(prompts.render(group)) == group
    healthy = prompts.render(Group(("female",), "normal"))
    assert healthy == "a chest X-ray of a female patient with no finding"


@pytest.mark.parametrize("size", [32, 64, 100, 512])
def test_every_size_from_32_to_512_is_rendered(size):
    image = CHEST.render(SPECIMENS[0], size)
    assert image.shape == (size, size, 1)
    assert image.dtype == np.uint8


@pytest.mark.parametrize("size", [31, 513])
def test_other_sizes_are_refused(size):
    with pytest.raises(CohortError, match=f"size: found {size}; expected 32 to 512 pixels"):
        CHEST.render(SPECIMENS[0], size)


def test_a_specimen_always_gives_the_same_picture():
    for specimen in SPECIMENS:
        assert np.array_equal(CHEST.render(specimen, 64), CHEST.render(specimen, 64))


def test_a_picture_does_not_depend_on_its_place_in_the_cohort():
    moved = replace(SPECIMENS[3], index=999)
    assert np.array_equal(CHEST.render(moved, 64), CHEST.render(SPECIMENS[3], 64))


def test_another_seed_gives_another_picture_of_the_same_chest():
    other = replace(SPECIMENS[3], seed=5)
    assert not np.array_equal(CHEST.render(other, 64), CHEST.render(SPECIMENS[3], 64))
    assert scene(other)[0] == scene(SPECIMENS[3])[0]


def test_a_subject_keeps_its_chest_whatever_the_finding():
    ill = replace(SPECIMENS[0], group=Group(SPECIMENS[0].group.levels, "normal"))
    assert scene(ill)[0] == scene(SPECIMENS[0])[0]


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda s: s.group.key)
def test_the_scene_is_the_same_at_every_size(specimen):
    patient, findings, camera = scene(specimen)
    coarse, fine = (
        expose(placed(draw(specimen, patient, findings, camera, n).thickness, camera), camera)
        .reshape(32, n // 32, 32, n // 32)
        .mean(axis=(1, 3))
        for n in (96, 256)
    )
    assert np.corrcoef(coarse.ravel(), fine.ravel())[0, 1] > 0.98
    assert np.abs(coarse - fine).mean() < 0.015


def _mean_anatomy(sex, finding, key, count=12):
    group = Group((sex,), finding)
    return np.mean([anatomy(Specimen(group, f"s{i}", i, 70 + i))[key] for i in range(count)])


@pytest.mark.parametrize(
    ("key", "finding"),
    [
        ("opacity_periphery", "COVID-19"),
        ("perihilar_index", "lung oedema"),
        ("cardiothoracic_ratio", "lung oedema"),
        ("effusion_left", "pleural effusion"),
        ("effusion_right", "pleural effusion"),
    ],
)
def test_each_finding_leads_in_its_own_sign(key, finding):
    means = {name: _mean_anatomy("male", name, key) for name in FINDINGS}
    assert max(means, key=means.__getitem__) == finding


def test_a_lung_opacity_is_denser_than_anything_but_covid_and_more_one_sided_than_that():
    def one_sided(name):
        found = [anatomy(Specimen(Group(("male",), name), f"s{i}", i, 70 + i)) for i in range(30)]
        extent = sum(f["opacity_extent"] for f in found)
        return extent, sum(abs(f["opacity_laterality"]) for f in found) / max(extent, 1e-6)

    measured = {name: one_sided(name) for name in FINDINGS}
    for other in ("lung oedema", "pleural effusion", "normal"):
        assert measured["lung opacity"][0] > 3 * measured[other][0]
    assert measured["lung opacity"][1] > measured["COVID-19"][1]


def test_women_have_breasts_and_narrower_chests_but_the_sexes_overlap():
    people = {sex: [person(f"subject {i}", sex) for i in range(300)] for sex in SEXES}
    breast = {sex: np.array([p.breast for p in people[sex]]) for sex in SEXES}
    width = {sex: np.array([p.width for p in people[sex]]) for sex in SEXES}
    assert np.mean(breast["female"]) > 5 * np.mean(breast["male"])
    assert np.mean(width["female"]) < np.mean(width["male"])
    assert np.quantile(breast["female"], 0.05) < np.quantile(breast["male"], 0.97)
    assert np.quantile(width["female"], 0.9) > np.quantile(width["male"], 0.2)


def test_signs_vary_within_a_finding_and_overlap_between_findings():
    drawn = {name: [DRAWN[name](np.random.default_rng(i)) for i in range(200)] for name in FINDINGS}
    haze = {name: [f.haze for f in found] for name, found in drawn.items()}
    assert np.std(haze["lung oedema"]) > 0.1
    assert max(haze["normal"]) > np.quantile(haze["lung oedema"], 0.03)
    fluid = {name: [max(f.effusions) for f in found] for name, found in drawn.items()}
    assert max(fluid["lung opacity"]) > np.quantile(fluid["pleural effusion"], 0.1)
    one_sided = [f for f in drawn["COVID-19"] if len({*f.patches[:, 0]}) == 1]
    both_sided = [f for f in drawn["lung opacity"] if len({*f.patches[:, 0]}) == 2]
    assert len(one_sided) > 20
    assert len(both_sided) > 10


def test_the_view_varies_and_the_sick_lie_in_bed_more_often():
    views = [view(np.random.default_rng(i), 0.5) for i in range(200)]
    assert np.ptp([v.middle for v in views]) > 0.15
    assert 60 < sum(v.supine for v in views) < 140
    tubes = [v.supine for v in views if "tube" in v.lines]
    assert tubes
    assert all(tubes)
    assert min(SUPINE, key=SUPINE.__getitem__) == "normal"


def test_what_a_pixel_shows_adds_up_to_one():
    for specimen in SPECIMENS:
        patient, findings, camera = scene(specimen)
        shares = visible(draw(specimen, patient, findings, camera, 96), camera)
        assert shares.shape == (len(SIGNS), READING, READING)
        assert shares.min() > -1e-3
        np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-4)


def _box(top, bottom, left, right):
    part = np.zeros((64, 64), np.float32)
    part[top:bottom, left:right] = 1
    return part


def test_measures_of_a_drawing_made_of_boxes_are_those_worked_out_by_hand():
    lungs = _box(10, 50, 12, 24) + _box(10, 50, 40, 52)
    heart = _box(10, 50, 24, 40)
    fluid, dense = _box(40, 50, 40, 52), _box(10, 20, 12, 24)
    shares = np.stack([fluid, dense, 0 * heart, lungs - fluid - dense, heart, 1 - lungs - heart])
    found = measures(shares, 0 * heart)
    assert found["effusion_left"] == pytest.approx(0.25)
    assert found["effusion_right"] == 0
    assert found["opacity_extent"] == pytest.approx(1 / 8)
    assert found["opacity_laterality"] == pytest.approx(-1 / 8)
    assert found["opacity_height"] == pytest.approx(0.75 / 8, abs=0.02)
    assert found["cardiothoracic_ratio"] == pytest.approx(16 / 40)
    assert found["lung_area"] == pytest.approx(2 * 40 * 12 / 64**2)
    assert found["perihilar_index"] == found["breast_shadow"] == 0


def test_an_empty_drawing_measures_nothing_and_is_no_error():
    nothing = np.zeros((64, 64), np.float32)
    shares = np.stack([nothing] * 5 + [nothing + 1])
    found = measures(shares, nothing)
    assert all(np.isfinite(value) for value in found.values())
    assert widest(nothing) == filled(nothing, nothing) == 0
