"""What holds for every oracle."""

import inspect

import numpy as np
import pytest
from PIL import PngImagePlugin
from tests.phantoms.wear import byte, saved

from fairgen.metrics.anatomy import Anatomy
from fairgen.metrics.phenotype import fit_phenotype
from fairgen.phantoms import PHANTOMS
from fairgen.phantoms.phantom import balanced

MEASURABLE = {name: p for name, p in PHANTOMS.items() if p.quantities}
pytestmark = pytest.mark.parametrize("phantom", MEASURABLE.values(), ids=MEASURABLE)


def images_of(phantom, per_group=1):
    return [phantom.render(s, 64) for s in balanced(phantom.schema, per_group, "oracle tests")]


def test_it_measures_the_quantities_that_the_anatomy_names(phantom):
    specimen = balanced(phantom.schema, 1, "oracle tests")[0]
    names = [q.name for q in phantom.quantities]
    assert set(phantom.measure(phantom.render(specimen, 64))) == set(names)
    assert set(phantom.anatomy(specimen)) == set(names)
    assert len(set(names)) == len(names)
    assert any(q.robust for q in phantom.quantities)


def test_it_prefers_by_robust_quantities_and_keeps_others_back(phantom):
    robust = {q.name: q.robust for q in phantom.quantities}
    assert phantom.looked_at
    assert phantom.kept_back
    assert all(robust[name] for name in phantom.looked_at)
    assert set(phantom.kept_back) <= set(robust)
    assert not set(phantom.looked_at) & set(phantom.kept_back)


def test_both_halves_tell_something_of_the_label_and_of_the_attribute(phantom):
    per_group = 120 // len(phantom.schema.groups())
    taught, asked = (
        anatomy_of(phantom, balanced(phantom.schema, per_group, f"{phantom.name} {purpose}"))
        for purpose in ("taught", "asked")
    )
    for names in (phantom.looked_at, phantom.kept_back):
        said = fit_phenotype(taught, names).nearest(asked)
        parts = [[key.rpartition("|") for key in keys] for keys in (said, asked.groups)]
        right = {k: np.mean([s[k] == g[k] for s, g in zip(*parts, strict=True)]) for k in (0, 2)}
        assert right[2] > 1.2 / len(phantom.schema.label.levels)
        if phantom.name != "mri":  # age hardly shows in what an autoencoder leaves of a brain
            assert right[0] > 1.2 / len(phantom.schema.subgroups())


def anatomy_of(phantom, specimens):
    names = tuple(q.name for q in phantom.quantities)
    rows = [
        phantom.measure(phantom.render(s, 64)) or dict.fromkeys(names, np.nan) for s in specimens
    ]
    values = np.array([[row[n] for n in names] for row in rows])
    return Anatomy(names, values, tuple(s.group.key for s in specimens))


def test_it_takes_pixels_and_nothing_else(phantom):
    assert list(inspect.signature(phantom.measure).parameters) == ["image"]


def test_swapped_metadata_changes_nothing(phantom):
    images = images_of(phantom)
    for image, group in zip(images, phantom.schema.groups()[::-1], strict=True):
        lie = PngImagePlugin.PngInfo()
        lie.add_text("group", group.key)
        with saved(image, "PNG", pnginfo=lie) as opened:
            assert opened.text["group"] == group.key
            assert phantom.measure(np.array(opened).reshape(image.shape)) == phantom.measure(image)


def test_the_order_of_images_changes_nothing(phantom):
    images = images_of(phantom)[:8]
    forward = [phantom.measure(image) for image in images]
    assert [phantom.measure(image) for image in images[::-1]] == forward[::-1]


def test_the_middle_of_an_oblong_image_is_read(phantom):
    image = images_of(phantom)[0]
    wide = np.pad(image, ((0, 0), (20, 20), (0, 0)))
    assert phantom.measure(wide) == phantom.measure(image)


def test_photographs_of_other_things_are_not_measurable(phantom):
    datasets = pytest.importorskip("sklearn.datasets")
    rng = np.random.default_rng(0)
    for photograph in datasets.load_sample_images().images:
        for _ in range(20):
            side = int(rng.integers(100, 400))
            y, x = (int(rng.integers(0, n - side)) for n in photograph.shape[:2])
            crop = np.ascontiguousarray(photograph[y : y + side, x : x + side])
            assert phantom.measure(crop) is None
            if phantom.modality != "skin":
                assert phantom.measure(byte(crop.mean(axis=2, keepdims=True))) is None


def test_images_of_another_phantom_are_not_measurable(phantom):
    for other in MEASURABLE.values():
        if other is not phantom:
            for image in images_of(other):
                assert phantom.measure(image) is None
                assert phantom.measure(image.repeat(3 // image.shape[2], axis=2)) is None
