"""Contact sheets."""

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fairgen.files.folder import read_cohort
from fairgen.report.contact import BYTES, PIXELS, Tiles, blocks, chosen, encoded, tile_side, tiles


def opened(picture):
    return Image.open(BytesIO(b64decode(picture.source.partition(",")[2])))


def test_every_group_and_source_has_a_cell(full_run):
    folder = read_cohort(full_run / "cohort")
    synthetic = {"sd": read_cohort(full_run / "seed0" / "sd" / "synthetic")}
    sheet = blocks(folder, synthetic, 0)[0]
    assert sheet.head == ("real (training)", "sd")
    assert [name for name, _ in sheet.rows][:2] == ["light · eczema", "light · psoriasis"]
    assert all(len(pictures) == 2 for _, pictures in sheet.rows)
    assert opened(sheet.rows[0][1][0]).mode == "RGB"


def test_grey_images_stay_grey(make_run):
    folder = read_cohort(make_run(modality="chest", seeds=(0,), methods=("sd",)) / "cohort")
    assert opened(blocks(folder, {}, None)[0].rows[0][1][0]).mode == "L"


def test_no_test_or_validation_image_is_shown(full_run):
    folder = read_cohort(full_run / "cohort")
    for group in folder.cohort.schema.groups():
        assert {r.split for r in chosen(folder, group, 99)} <= {"train"}


def test_other_subjects_come_before_further_images_of_one(full_run):
    folder = read_cohort(full_run / "cohort")
    group = folder.cohort.schema.groups()[0]
    subjects = [r.subject for r in chosen(folder, group, 99)]
    several = len(set(subjects))
    assert len(set(subjects[:several])) == several < len(subjects)


def test_an_empty_group_and_a_broken_image_are_told(make_run):
    root = make_run(seeds=(0,), methods=("sd",)) / "cohort"
    folder = read_cohort(root)
    group = folder.cohort.schema.groups()[0]
    first = chosen(folder, group, 1)[0]
    folder.path(first).write_bytes(b"no image")
    cell = tiles(folder, group, "real", (40, 2))
    assert (cell.shown, cell.unread) == (3, 1)
    assert any("could not be read" in b.text for b in blocks(folder, {}, None) if b.kind == "note")
    gone = encoded([Tiles(None, 0, 0, "real, dark")])[0]
    assert (gone.source, gone.alt) == ("", "real, dark: no images")


def test_a_link_out_of_the_folder_is_not_followed(make_run, tmp_path):
    root = make_run(seeds=(0,), methods=("sd",)) / "cohort"
    folder = read_cohort(root)
    group = folder.cohort.schema.groups()[0]
    path = folder.path(chosen(folder, group, 1)[0])
    path.rename(tmp_path / "elsewhere.png")
    path.symlink_to(tmp_path / "elsewhere.png")
    assert tiles(folder, group, "real", (40, 2)).unread == 1


@given(st.integers(1, 3000), st.integers(1, 1024))
def test_the_sheet_keeps_to_its_pixels(count, native):
    side = tile_side(count, native)
    assert 40 <= side <= 112
    assert side == 40 or side * side * count <= PIXELS


@pytest.mark.parametrize("count", [1, 40])
def test_noise_is_packed_until_the_sheet_is_small(count):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (360, 360, 3), dtype=np.uint8)
    found = encoded([Tiles(noise, 4, 0, "noise")] * count)
    assert sum(len(p.source) for p in found) < 1.4 * BYTES
