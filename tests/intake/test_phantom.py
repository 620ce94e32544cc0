from collections.abc import Mapping

import numpy as np
import pytest

from fairgen.cohort.schema import Attribute, Schema
from fairgen.cohort.split import SplitSettings
from fairgen.errors import CohortError
from fairgen.files.digest import folder_digest
from fairgen.files.image import read_image
from fairgen.files.layout import split_folder
from fairgen.intake import phantom as module
from fairgen.intake.phantom import write_phantom
from fairgen.phantoms import PHANTOMS, Phantom, Specimen

SCHEMA = Schema((Attribute("sex", ("F", "M")),), Attribute("finding", ("normal", "opacity")))


def specimens(count, seed):
    groups = SCHEMA.groups()
    return tuple(
        Specimen(groups[i // 2 % 4], f"s{i // 2}", i, 1000 * seed + i) for i in range(count)
    )


def render(specimen, size):
    rng = np.random.default_rng(specimen.seed)
    return rng.integers(0, 256, (size, size, 1), dtype=np.uint8)


@pytest.fixture
def noise(monkeypatch):
    """Put a phantom of grey noise in the place of all others."""
    words: Mapping[str, str] = {"F": "female", "M": "male"}
    phantom = Phantom(
        "noise", "chest", SCHEMA, specimens, render, lambda s: {}, lambda x: None, words=words
    )
    monkeypatch.setattr(module, "PHANTOMS", {"noise": phantom})


@pytest.mark.parametrize("name", PHANTOMS)
def test_every_phantom_becomes_a_cohort_folder(tmp_path, name):
    found = write_phantom(name, tmp_path / "c", count=12, size=32, seed=0)
    phantom = PHANTOMS[name]
    assert len(found.cohort) == 12
    assert found.cohort.schema == phantom.schema
    assert found.modality.name == phantom.modality
    record = found.cohort.records[5]
    extra = {k: int(v) for k, v in record.extra.items()}
    specimen = Specimen(record.group, record.subject, extra["index"], extra["seed"])
    pixels = read_image(found.path(record), channels=found.modality.channels)
    assert np.array_equal(pixels, phantom.render(specimen, 32))


def test_the_folder_holds_the_images_words_and_numbers_of_the_phantom(tmp_path, noise):
    found = write_phantom("noise", tmp_path / "c", count=12, size=8, seed=2)
    record = found.cohort.records[5]
    assert record.image == "images/000005.png"
    assert record.extra == {"index": "5", "seed": "2005"}
    assert record.text == "a chest X-ray of a male patient with normal"
    expected = render(specimens(12, 2)[5], 8)
    assert np.array_equal(read_image(found.path(record), channels=1), expected)


def test_the_same_phantom_again_does_nothing_and_elsewhere_is_the_same(tmp_path, noise):
    first = write_phantom("noise", tmp_path / "a", count=8, size=32, seed=0)
    assert write_phantom("noise", tmp_path / "a", count=8, size=32, seed=0) == first
    write_phantom("noise", tmp_path / "b", count=8, size=32, seed=0)
    assert folder_digest(tmp_path / "a") == folder_digest(tmp_path / "b")


def test_a_split_phantom_is_kept(tmp_path, noise):
    write_phantom("noise", tmp_path / "a", count=30, size=32, seed=0)
    split = split_folder(tmp_path / "a", SplitSettings())
    assert write_phantom("noise", tmp_path / "a", count=30, size=32, seed=0) == split


def test_another_phantom_in_the_same_folder_is_refused(tmp_path, noise):
    write_phantom("noise", tmp_path / "a", count=8, size=32, seed=0)
    with pytest.raises(CohortError, match="seed is 0, asked for 1"):
        write_phantom("noise", tmp_path / "a", count=8, size=32, seed=1)


@pytest.mark.parametrize(
    ("name", "count", "size", "message"),
    [
        ("bone", 8, 32, "unknown phantom 'bone'; expected one of"),
        ("noise", 0, 32, "count 0, size 32; expected 1 or more"),
        ("noise", 8, 0, "count 8, size 0; expected 1 or more"),
    ],
)
def test_impossible_wishes_are_refused(tmp_path, noise, name, count, size, message):
    with pytest.raises(CohortError) as error:
        write_phantom(name, tmp_path / "a", count=count, size=size, seed=0)
    assert message in str(error.value)
