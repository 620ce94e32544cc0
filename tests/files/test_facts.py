from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from fairgen.cohort.audit import AuditSettings
from fairgen.cohort.split import SplitSettings
from fairgen.errors import CohortError
from fairgen.files.facts import audit_any, audit_folder, image_facts
from fairgen.files.image import write_image
from fairgen.files.layout import split_folder


def test_facts_are_those_of_the_file(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(np.arange(60, dtype=np.uint8).reshape(6, 10)).save(path)
    found = image_facts(path)
    assert (found.width, found.height, found.mode, found.format) == (10, 6, "L", "JPEG")
    assert found.digest == sha256(path.read_bytes()).hexdigest()
    assert not found.blank


def test_the_same_pixels_share_a_digest_whatever_the_file(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (8, 8, 1), dtype=np.uint8)
    write_image(tmp_path / "grey.png", grey)
    write_image(tmp_path / "colour.png", np.repeat(grey, 3, axis=2), text={"a": "b"})
    write_image(tmp_path / "turned.png", np.rot90(grey).copy())
    write_image(tmp_path / "flat.png", grey.reshape(4, 16, 1))
    digests = [image_facts(p).pixel_digest for p in sorted(tmp_path.iterdir())]
    assert len(set(digests)) == 3
    assert digests[0] == digests[2]  # colour and grey
    assert len({image_facts(p).digest for p in tmp_path.iterdir()}) == 4


@pytest.mark.parametrize(("difference", "blank"), [(0, True), (2, True), (3, False)])
def test_an_image_of_one_shade_is_blank(tmp_path, difference, blank):
    array = np.full((8, 8, 3), 100, np.uint8)
    array[..., 1] = 200
    array[3, 3, 0] += difference
    write_image(tmp_path / "a.png", array)
    assert image_facts(tmp_path / "a.png").blank == blank


def test_a_broken_file_has_no_facts(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(CohortError, match="is not an image"):
        image_facts(tmp_path / "a.png")


def test_an_audit_of_a_sound_folder_finds_nothing(make_folder):
    found = audit_folder(make_folder().root, AuditSettings(tiny=1, small=1))
    assert found.findings() == ()
    assert found.sound()
    assert found.checked == 24
    assert found.parts[0].images == 24


def test_an_audit_names_every_fault_of_a_folder(make_folder, tmp_path):
    root = make_folder().root
    (root / "images/000.png").unlink()
    (root / "images/001.png").write_text("no image")
    (root / "images/002.png").write_bytes((root / "images/003.png").read_bytes())
    write_image(root / "images/004.png", np.zeros((8, 8, 3), np.uint8))
    write_image(root / "images/005.png", np.eye(8, dtype=np.uint8)[:, :, None] * 255)
    write_image(root / "images/extra.png", np.zeros((8, 8, 3), np.uint8))
    (root / "images/006.png").unlink()
    (root / "images/006.png").symlink_to(tmp_path / "elsewhere.png")
    table = root / "metadata.csv"
    table.write_text(table.read_text() + table.read_text().splitlines()[-1] + "\n")
    found = audit_folder(root, AuditSettings(small=1))
    assert found.unreadable == {
        "images/000.png": "no such image file",
        "images/001.png": "is not an image; expected PNG, JPEG or TIFF",
        "images/006.png": "is a link out of the cohort folder",
    }
    assert [d.images for d in found.duplicates] == [("images/002.png", "images/003.png")]
    assert found.odd == {"images/004.png": "blank", "images/005.png": "mode L, most have RGB"}
    assert found.listing.unlisted == ("images/extra.png",)
    assert found.listing.repeated == ("images/023.png",)
    assert not found.sound()


def test_an_audit_tells_leaks_between_splits(make_folder):
    folder = split_folder(make_folder().root, SplitSettings())
    one, other = folder.cohort.part("train").records[0], folder.cohort.part("test").records[0]
    copy = folder.path(other)
    copy.unlink()
    copy.write_bytes(folder.path(one).read_bytes())
    (leak,) = audit_folder(folder.root).leaks()
    assert leak.images == tuple(sorted((one.image, other.image)))
    assert leak.splits == ("train", "test")


def test_an_audit_repeats_the_waiver(make_folder):
    root = make_folder(source={"subject_waiver": "lesion ids only"}).root
    texts = audit_folder(root).findings()
    assert "subjects cannot be told apart: lesion ids only" in texts


def test_an_audit_takes_a_path_a_text_a_folder_or_rows(make_folder):
    folder = make_folder()
    whole = audit_folder(folder.root)
    for given in (folder.root, str(folder.root), folder):
        assert audit_any(given) == whole
    assert whole.checked == len(folder.cohort)
    rows = audit_any(folder.cohort, AuditSettings(tiny=1))
    assert (rows.checked, rows.parts[0].images) == (0, len(folder.cohort))
