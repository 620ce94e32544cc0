import json

import numpy as np
import pytest
import torch

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Schema
from fairgen.engine.extractor import Extractor, ExtractorSettings, load_extractor
from fairgen.engine.features import train_extractor
from fairgen.engine.pixels import stack
from fairgen.errors import CheckpointError, CohortError
from fairgen.files.folder import CohortFolder, write_cohort
from fairgen.modalities import MODALITIES, Prompts

SCHEMA = Schema((Attribute("sex", ("f", "m")),), Attribute("finding", ("none", "spot")))
QUICK = ExtractorSettings(
    size=16, dimension=4, widths=(8, 8), steps=60, batch_size=16, evaluations=3, shift=0.0
)


def picture(group, seed, channels):
    random = np.random.default_rng(seed)
    image = np.full((20, 20, channels), 70 if group.levels == ("f",) else 150)
    if group.label == "spot":
        image[6:14, 6:14] += 80
    return (image + random.normal(0, 8, image.shape)).clip(0, 255).astype(np.uint8)


def toy(root, *, modality="skin", seed=0):
    places = ("train",) * 6 + ("valid",) * 2 + ("test",) * 2
    records = tuple(
        Record(f"images/{i:03d}.png", f"s{i}", SCHEMA.groups()[i % 4], split=places[i // 4 % 10])
        for i in range(160)
    )
    kind = MODALITIES[modality]
    folder = CohortFolder(root, Cohort(SCHEMA, records), Prompts(SCHEMA, kind.template), kind)
    return write_cohort(
        folder, lambda r: picture(r.group, seed * 1000 + int(r.image[7:10]), kind.channels)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toy(tmp_path_factory.mktemp("cohort") / "skin")


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("extractor") / "extractor"
    return train_extractor(folder, QUICK, out=out), out


def pixels(folder, split, channels=3):
    return stack(folder, folder.cohort.part(split).records, size=16, channels=channels)


def test_it_learns_label_and_attribute_of_unseen_images(folder, trained):
    said = trained[0].predict(pixels(folder, "test"))
    records = folder.cohort.part("test").records
    assert (
        np.mean([s == r.group.label for s, r in zip(said["finding"], records, strict=True)]) > 0.9
    )
    assert np.mean([s == r.group.subgroup for s, r in zip(said["sex"], records, strict=True)]) > 0.9


def test_probabilities_belong_to_the_levels_that_it_predicts(folder, trained):
    extractor, _ = trained
    images = pixels(folder, "test")
    found, said = extractor.probabilities(images), extractor.predict(images)
    assert set(found) == {"finding", "sex"}
    for head, chances in found.items():
        assert (chances.shape, chances.dtype) == ((len(images), 2), np.float64)
        np.testing.assert_allclose(chances.sum(axis=1), 1)
        levels = extractor.card.heads[head]
        assert tuple(levels[i] for i in chances.argmax(axis=1)) == said[head]
    assert {c.shape for c in extractor.probabilities(images[:0]).values()} == {(0, 2)}


def test_features_have_unit_spread_on_the_training_split(folder, trained):
    extractor, _ = trained
    found = extractor.features(pixels(folder, "train"))
    assert found.shape == (len(folder.cohort.part("train")), extractor.dimension) == (96, 4)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(0, ddof=1), 1, atol=1e-3)


def test_validation_accuracy_of_every_head_is_stored_beside_it(trained):
    card = json.loads((trained[1] / "extractor.json").read_text())
    assert set(card["valid"]) == {"finding", "sex"}
    assert card["valid"]["sex"]["accuracy"] > 0.9
    assert (card["name"], card["heads"]["sex"]) == ("indomain", ["f", "m"])


def test_a_saved_extractor_gives_the_same_features(folder, trained):
    extractor, out = trained
    loaded = load_extractor(out)
    images = pixels(folder, "test")
    np.testing.assert_array_equal(loaded.features(images), extractor.features(images))
    assert loaded.card == extractor.card


def test_features_do_not_depend_on_the_company_of_an_image(folder, trained):
    images = pixels(folder, "test")
    alone = np.concatenate([trained[0].features(images[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(trained[0].features(images)[:4], alone, atol=1e-5)


def test_images_of_other_sizes_and_grey_ones_are_taken(trained):
    large = np.full((2, 48, 48, 1), 150, np.uint8)
    small = np.full((2, 16, 16, 3), 150, np.uint8)
    found = [trained[0].features(images) for images in (large, small)]
    np.testing.assert_allclose(*found, atol=1e-4)
    assert trained[0].features(large[:0]).shape == (0, 4)


def test_the_same_seed_trains_the_same_network_and_leaves_global_randomness_alone(folder, tmp_path):
    settings = QUICK.model_copy(update={"steps": 4, "shift": 0.1})
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, again, other = (
        train_extractor(folder, settings, out=tmp_path / name, seed=seed)
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert torch.equal(before, torch.random.get_rng_state())
    images = pixels(folder, "test")
    np.testing.assert_array_equal(first.features(images), again.features(images))
    assert (first.features(images) != other.features(images)).any()


def test_test_images_do_not_reach_the_training(folder, tmp_path):
    settings = QUICK.model_copy(update={"steps": 2})
    changed = toy(tmp_path / "changed")
    for record in changed.cohort.part("test").records:
        changed.path(record).unlink()
    first = train_extractor(folder, settings, out=tmp_path / "first")
    blind = train_extractor(changed, settings, out=tmp_path / "blind")
    assert first.card == blind.card


def test_repeating_a_training_loads_it_and_other_data_are_refused(folder, trained, tmp_path):
    _, out = trained
    before = (out / "extractor.json").stat().st_mtime_ns
    assert train_extractor(folder, QUICK, out=out).card == trained[0].card
    assert (out / "extractor.json").stat().st_mtime_ns == before
    with pytest.raises(CheckpointError, match="other settings or images"):
        train_extractor(folder, QUICK, out=out, seed=1)
    with pytest.raises(CheckpointError, match="other settings or images"):
        train_extractor(toy(tmp_path / "other", seed=5), QUICK, out=out)


def test_grey_modalities_have_one_channel(tmp_path):
    chest = toy(tmp_path / "chest", modality="chest")
    settings = QUICK.model_copy(update={"steps": 2})
    extractor = train_extractor(chest, settings, out=tmp_path / "extractor")
    assert isinstance(extractor, Extractor)
    assert extractor.card.channels == extractor.network.stem.in_channels == 1


def test_a_cohort_without_splits_is_refused(tmp_path):
    folder = toy(tmp_path / "skin")
    bare = folder.cohort.select(lambda r: r.split == "train")
    with pytest.raises(CohortError, match="no record belongs to split 'valid'"):
        train_extractor(
            CohortFolder(folder.root, bare, folder.prompts, folder.modality),
            QUICK,
            out=tmp_path / "extractor",
        )


def test_damaged_extractors_are_refused_in_clear_words(trained, tmp_path):
    with pytest.raises(CheckpointError, match=r"extractor.json: no such file"):
        load_extractor(tmp_path)
    (tmp_path / "extractor.json").write_text('{"format": 1}')
    with pytest.raises(CheckpointError, match="describes no extractor"):
        load_extractor(tmp_path)
    (tmp_path / "extractor.json").write_bytes((trained[1] / "extractor.json").read_bytes())
    (tmp_path / "extractor.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match=r"extractor.safetensors: cannot be loaded"):
        load_extractor(tmp_path)
