import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from tests.intake.test_dicom import bundled

from fairgen.files.image import read_image
from fairgen.intake.dicom import DicomFacts, read_dicom
from fairgen.intake.identity_text import SMALLEST, Suspicion, burned_in_text
from fairgen.phantoms import PHANTOMS

WORDS = ("SMITH JOHN", "DOE^JANE", "12345678", "1961-02-03", "Acc 4711", "PORTABLE AP")
FACTS = DicomFacts(
    rows=9, columns=9, photometric="RGB", bits=8, signed=False, transfer_syntax="", modality="US",
    body_part="", view="", burned_in="", secondary_capture=False,
)  # fmt: skip
REAL = Path(os.environ.get("FAIRGEN_REAL_DATA", "nowhere"))


def pictures(name, count, size=256):
    phantom = PHANTOMS[name]
    return [phantom.render(s, size) for s in phantom.specimens(count, 0)]


def labelled(image, words, *, size=14, corner=(0, 0)):
    """Return an image with words in a corner, white on dark and black on bright."""
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).convert("RGB")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    *_, right, bottom = pen.textbbox((0, 0), words, font=font)
    left, top = corner[0] * (picture.width - right - 8), corner[1] * (picture.height - bottom - 8)
    under = np.asarray(picture.convert("L"))[top : top + bottom, left : left + right].mean()
    pen.text((4 + left, 4 + top), words, "white" if under < 128 else "black", font)
    return np.asarray(picture)


@pytest.mark.parametrize("name", ["skin", "chest", "mri"])
def test_phantoms_are_not_suspected(name):
    assert [burned_in_text(image) for image in pictures(name, 30)] == [None] * 30


@pytest.mark.parametrize("name", ["skin", "chest", "mri"])
@pytest.mark.parametrize("size", [12, 16, 20])
def test_nine_in_ten_words_on_phantoms_are_found(name, size):
    found = [
        burned_in_text(labelled(image, WORDS[i % 6], size=size, corner=(i % 2, i // 2 % 2)))
        for i, image in enumerate(pictures(name, 24))
    ]
    assert sum(s is not None for s in found) >= 0.8 * len(found)


def test_the_place_of_the_words_is_told():
    image = labelled(np.zeros((200, 400, 1), np.uint8), "SMITH JOHN", size=20, corner=(1, 1))
    found = burned_in_text(image)
    assert found is not None
    top, left, bottom, right = found.box
    assert found.reason == "letters"
    assert found.letters >= 4
    assert 0.8 < top < bottom < 1
    assert 0.6 < left < right < 1


def test_large_images_are_shrunk_and_places_still_fit():
    image = labelled(np.zeros((2000, 2400, 1), np.uint8), "SMITH JOHN", size=60)
    found = burned_in_text(image)
    assert found is not None
    assert max(found.box) < 0.2


def test_screens_of_ultrasound_machines_are_suspected():
    for name in ("examples_rgb_color.dcm", "examples_palette.dcm", "examples_jpeg2k.dcm"):
        found = burned_in_text(read_dicom(bundled(name)))
        assert found is not None
        assert found.letters >= 10


def test_what_a_header_says_counts():
    blank = np.zeros((200, 200, 1), np.uint8)
    capture = replace(FACTS, secondary_capture=True)
    assert burned_in_text(blank, facts=FACTS) is None
    assert burned_in_text(blank, facts=replace(FACTS, burned_in="yes")) == Suspicion("header")
    assert burned_in_text(blank, facts=capture) == Suspicion("capture")
    assert burned_in_text(blank, facts=replace(capture, burned_in="no")) is None


def test_a_header_that_denies_it_does_not_hide_letters():
    image = labelled(np.zeros((200, 400, 1), np.uint8), "SMITH JOHN", size=20)
    found = burned_in_text(image, facts=replace(FACTS, burned_in="no"))
    assert found is not None
    assert found.reason == "letters"


def test_images_too_small_for_letters_are_not_searched():
    image = labelled(np.zeros((SMALLEST - 1, 400, 1), np.uint8), "SMITH JOHN", size=20)
    assert burned_in_text(image) is None


def test_noise_is_a_texture_and_no_text():
    rng = np.random.default_rng(0)
    assert burned_in_text(rng.integers(0, 256, (512, 512, 3), dtype=np.uint8)) is None


def test_the_image_stays_as_it_is():
    image = labelled(np.zeros((200, 400, 1), np.uint8), "SMITH JOHN", size=20)
    before = image.copy()
    burned_in_text(image)
    assert np.array_equal(image, before)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="FAIRGEN_REAL_DATA names no folder")
@pytest.mark.parametrize(("name", "most"), [("oasis1_slices", 0), ("milk10k_clinical128", 2)])
def test_real_images_are_rarely_suspected(name, most):
    paths = sorted((REAL / name / "images").rglob("*.jpg"))
    assert len(paths) > 500
    assert sum(burned_in_text(read_image(p)) is not None for p in paths) <= most
