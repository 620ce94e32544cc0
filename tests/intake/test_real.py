"""Trials with real images; they run where the variable FAIRGEN_REAL_DATA names their folder."""

import os
from pathlib import Path

import pytest

from fairgen.cohort.cohort import SPLITS
from fairgen.cohort.split import SplitSettings
from fairgen.files.facts import audit_folder
from fairgen.files.layout import split_folder
from fairgen.files.rows import read_rows
from fairgen.intake.spec import TableSettings, parse_attribute, parse_label
from fairgen.intake.table import import_table

REAL = Path(os.environ.get("FAIRGEN_REAL_DATA", "nowhere"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REAL.is_dir(), reason="FAIRGEN_REAL_DATA names no folder"),
]


def bring(name, out, **settings):
    images = REAL / name
    attributes = dict([parse_attribute(settings.pop("attribute"))])
    spec = TableSettings(images=images, attributes=attributes, **settings)
    return import_table(images / "metadata.csv", out=out, spec=spec)


def check_split(folder, tolerance):
    """Split a folder and check that every group has the shares asked for."""
    found = split_folder(folder.root, SplitSettings())
    report = audit_folder(found.root)
    assert report.sound()
    for split, fraction in zip(SPLITS, (0.6, 0.15, 0.25), strict=True):
        for group, n in found.cohort.part(split).counts().items():
            assert abs(n - fraction * folder.cohort.counts()[group]) <= tolerance
    return report


def test_chest_x_rays_of_many_images_a_patient(tmp_path):
    folder = bring(
        "nih_cxr14_64",
        tmp_path / "chest",
        attribute="sex:F;M",
        label=parse_label("finding=abnormal:normal=0;abnormal=1"),
        subject_column="subject_id",
        modality="chest",
    )
    assert {g.key: n for g, n in folder.cohort.counts().items()} == {
        "F|normal": 231,
        "F|abnormal": 278,
        "M|normal": 268,
        "M|abnormal": 223,
    }
    assert len(folder.cohort.subjects()) == 264
    assert len(check_split(folder, tolerance=4).wandering) == 68


def test_skin_photographs_with_binned_tones_and_a_waiver(tmp_path):
    folder = bring(
        "milk10k_clinical128",
        tmp_path / "skin",
        attribute="tone=skin_tone_class:dark=0,1,2;medium=3;light=4,5",
        label=parse_label("diagnosis:BCC;NV;MEL;SCCKA;BKL"),
        subject_column="lesion_id",
        subject_waiver="lesion ids only",
        others="drop",
        modality="skin",
    )
    assert folder.cohort.subgroup_counts() == {"dark": 526, "medium": 2880, "light": 1327}
    assert folder.source["dropped"] == {"diagnosis outside levels": 505}
    report = check_split(folder, tolerance=1)
    assert report.parts[0].tiny == ("dark|SCCKA",)
    assert report.listing.waiver == "lesion ids only"


def test_brain_slices_of_one_plane_by_age(tmp_path):
    folder = bring(
        "oasis1_slices",
        tmp_path / "brain",
        attribute="age:under=<=75;over=>75",
        label=parse_label("diagnosis"),
        subject_column="subject_id",
        rows={"plane": ("axial",)},
        modality="mri",
    )
    assert len(folder.cohort) == len(folder.cohort.subjects()) == 196
    assert folder.source["dropped"] == {"plane not axial": 392}
    assert folder.cohort.label_counts() == {"demented": 98, "nondemented": 98}
    check_split(folder, tolerance=1)


@pytest.mark.parametrize("path", sorted((REAL / "tables").glob("*.csv")), ids=lambda p: p.stem)
def test_tables_of_public_releases_are_read(path):
    encoding = "latin-1" if path.stem == "figure1_covid_metadata" else "utf-8"
    rows = read_rows(path, encoding=encoding)
    with path.open(encoding=encoding) as stream:
        assert 0 < len(rows) < sum(1 for _ in stream)
