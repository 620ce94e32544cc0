"""Every importer on the whole of its true table, where FAIRGEN_REAL_DATA names their folder."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from fairgen.intake.sources import SOURCES, How, import_source

REAL = Path(os.environ.get("FAIRGEN_REAL_DATA", "nowhere")) / "tables"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REAL.is_dir(), reason="FAIRGEN_REAL_DATA names no folder"),
]
FULL = {"table": "nih_Data_Entry_2017_v2020.csv"}
SAMPLE = {"table": "nih_sample_labels.csv"}
APRIL = {"table": "covid-chestxray_metadata_2020-04.csv"}

# source, preset, options: rows in, rows kept, subjects, rows left out by each rule
CASES = [
    ("fitzpatrick17k", "", {}, 16577, 16012, 16012, {"tone missing": 565}),
    (
        "fitzpatrick17k", "paper-skin", {}, 16577, 2517, 2517,
        {"disease outside the levels": 13954, "tone missing": 106},
    ),
    (
        "fitzpatrick17k", "paper-skin", {"scale": "fitzpatrick_centaur"}, 16577, 2422, 2422,
        {"disease outside the levels": 13954, "tone missing": 201},
    ),
    (
        "covid19", "", {}, 751, 408, 237,
        {
            "finding missing": 78, "finding outside the levels": 112, "not a radiograph": 84,
            "view not frontal": 24, "sex missing": 45,
        },
    ),
    (
        "covid19", "", {"labels": {"Pneumonia": ("Pneumonia", "Legionella")}}, 751, 13, 7,
        {
            "finding missing": 78, "finding outside the levels": 653, "view not frontal": 3,
            "image of an earlier row": 4,
        },
    ),
    (
        "covid19", "", APRIL, 158, 92, 65,
        {
            "finding outside the levels": 23, "not a radiograph": 23, "view not frontal": 11,
            "sex missing": 9,
        },
    ),
    ("oasis", "paper-mri", {}, 373, 373, 150, {}),
    ("oasis", "oasis1", {}, 436, 235, 235, {"no dementia rating": 201}),
    ("oasis", "oasis1", {"unrated": "nondemented"}, 436, 436, 416, {}),
    ("isic", "external-skin-sex", {}, 10480, 10480, 5240, {}),
    (
        "isic", "external-skin-tone", {}, 10480, 4735, 4735,
        {"another type of image": 5240, "diagnosis outside the levels": 505},
    ),
    ("isic", "ham10000-sex", {}, 10015, 9958, 7420, {"sex missing": 57}),
    ("isic", "", {"label": "diagnosis_3"}, 10480, 10322, 5161, {"diagnosis missing": 158}),
    (
        "ixi", "external-mri", {}, 619, 563, 563,
        {"age_group missing": 28, "row of an earlier id": 24, "rows of one id disagree": 4},
    ),
    ("nih_cxr14", "one-finding", FULL, 112120, 91324, 29564, {"several findings": 20796}),
    ("nih_cxr14", "abnormal-sex", FULL, 112120, 112120, 30805, {}),
    (
        "nih_cxr14", "one-finding", {**SAMPLE, "attributes": ("age",)}, 5606, 4625, 3735,
        {"several findings": 980, "age outside the levels": 1},
    ),
    ("pad_ufes20", "tone", {}, 2298, 1494, 794, {"tone missing": 804}),
    ("pad_ufes20", "sex", {}, 2298, 1494, 794, {"sex missing": 804}),
    ("pad_ufes20", "", {"attributes": ("age",)}, 2298, 2298, 1373, {}),
]  # fmt: skip


def planned(name, preset="", **options):
    source = SOURCES[name]
    return source.plan(REAL, source.settings(preset, options))


@pytest.mark.parametrize(
    ("name", "preset", "options", "rows", "kept", "subjects", "dropped"),
    CASES,
    ids=[f"{c[0]}-{c[1] or 'default'}-{i}" for i, c in enumerate(CASES)],
)
def test_rows_in_are_rows_kept_and_rows_left_out_by_each_rule(
    name, preset, options, rows, kept, subjects, dropped
):
    plan = planned(name, preset, **options)
    assert plan.dropped == dropped
    assert (plan.gathered.rows, plan.gathered.kept) == (rows, kept)
    assert rows == kept + sum(dropped.values())
    assert len({i.number for i in plan.items}) == kept
    assert len({i.subject for i in plan.items}) == subjects


def test_the_papers_five_skin_diseases_stand_in_2623_rows_of_fitzpatrick17k():
    plan = planned("fitzpatrick17k", "paper-skin", missing="level")
    tones = Counter(i.levels[0] for i in plan.items)
    assert tones == {"light": 1277, "medium": 921, "dark": 319, "unknown": 106}
    assert Counter(i.label for i in plan.items) == {
        "psoriasis": 653,
        "squamous cell carcinoma": 581,
        "lichen planus": 491,
        "basal cell carcinoma": 468,
        "allergic contact dermatitis": 430,
    }


def test_leaving_out_rows_without_a_tone_takes_two_thirds_of_the_naevi_of_pad_ufes20():
    losses = planned("pad_ufes20", "tone").gathered.losses
    assert losses["tone missing"] == {"ACK": 447, "NEV": 169, "SEK": 188}  # of 730, 244, 235


def test_the_papers_mri_groups_are_counted_by_session():
    plan = planned("oasis", "paper-mri")
    assert len(plan.items) == 3 * 373
    assert Counter((i.levels[0], i.label) for i in plan.items if i.at == 0.5) == {
        ("75 and under", "nondemented"): 89,
        ("75 and under", "demented"): 77,
        ("over 75", "nondemented"): 117,
        ("over 75", "demented"): 90,
    }


def test_two_patient_numbers_that_share_files_are_one_person():
    plan = planned("covid19", labels={"Pneumonia": ("Pneumonia",), "Legionella": ("Legionella",)})
    subjects = {i.subject for i in plan.items}
    assert {"285", "287"} <= subjects
    assert not {"339", "340"} & subjects


def test_real_scans_and_slices_become_cohorts(tmp_path):
    pytest.importorskip("nibabel")
    root = tmp_path / "IXI"
    shutil.copytree(REAL.parent / "ixi_nifti10" / "images", root / "IXI-T1")
    shutil.copy(REAL / "IXI_demographics.csv", root / "IXI.csv")
    how = How(size=64, absent="drop")
    scans = import_source("ixi", root, out=tmp_path / "ixi", preset="external-mri", how=how)
    assert (scans.source["images"], scans.source["images_absent"]) == (10, 553)
    assert scans.cohort.subgroup_counts() == {"female": 3, "male": 7}
    assert len(set(map(scans.path, scans.cohort.records))) == 10
    options = {
        "table": "tables/oasis_cross-sectional.csv",
        "file": "{session}_a.jpg",
        "folders": ("oasis1_slices/images",),
    }
    found = import_source(
        "oasis", REAL.parent, out=tmp_path / "oasis", preset="oasis1", options=options,
        how=How(absent="drop"),
    )  # fmt: skip
    assert len(found.cohort) == len(found.cohort.subjects()) == 196
    assert found.cohort.label_counts() == {"nondemented": 98, "demented": 98}


def test_the_joined_chest_cohort_takes_390_covid_images_with_a_sex(tmp_path):
    columns = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Lung Opacity,Edema,Pleural Effusion"
    row = "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP"
    (tmp_path / "train.csv").write_text(f"{columns}\n{row},,,1.0,\n")
    source = SOURCES["chexpert"]
    plan = source.plan(tmp_path, source.settings("paper-chest", {"covid": REAL}))
    assert Counter(i.label for i in plan.items) == {"COVID-19": 390, "Edema": 1}
    assert plan.dropped["covid19: sex missing"] == 44
