"""A toy phantom of three measures, and generated sets of which it is known what each image shows.

Red tells the tone and green the disease; blue tells the disease too, and is kept back.
"""

from dataclasses import replace

import numpy as np
import pytest

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Group, Schema
from fairgen.files.folder import CohortFolder, write_cohort
from fairgen.modalities.modality import Prompts, find_modality
from fairgen.phantoms.phantom import Phantom, Quantity, specimens

SCHEMA = Schema((Attribute("tone", ("dark", "light")),), Attribute("disease", ("acne", "eczema")))
NAMES = ("red", "green", "blue")
SIDE = 8


def colour(group):
    """Return the mean colour of a group."""
    ill = 170 if group.label == "eczema" else 80
    return np.array([170.0 if group.levels == ("light",) else 80.0, ill, ill])


def render(specimen, size):
    rng = np.random.default_rng(specimen.seed)
    mean = colour(specimen.group) + rng.normal(0, 20, 3)
    return np.clip(np.rint(mean + np.zeros((size, size, 3))), 1, 255).astype(np.uint8)


def measure(image):
    """Return the means of the channels; a black image shows nothing."""
    if not image.any():
        return None
    return dict(zip(NAMES, image.mean(axis=(0, 1)).tolist(), strict=True))


def anatomy(specimen):
    return dict(zip(NAMES, colour(specimen.group).tolist(), strict=True))


TOY = Phantom(
    name="toy",
    modality="skin",
    schema=SCHEMA,
    specimens=specimens(dict.fromkeys(SCHEMA.groups(), 0.25), (1.0,), "toy"),
    render=render,
    anatomy=anatomy,
    measure=measure,
    quantities=tuple(Quantity(n, n) for n in NAMES),
    looked_at=("red", "green"),
    kept_back=("blue",),
)
SOURCE = {
    "synthetic": True, "method": "sd", "model": "digest of a model",
    "trained_on": {"phantom": "toy", "count": 8, "size": SIDE, "seed": 0},
}  # fmt: skip


def opposite(group):
    """Return the group of the other tone and the other disease."""
    levels = {"dark": "light", "light": "dark"}
    labels = {"acne": "eczema", "eczema": "acne"}
    return Group((levels[group.levels[0]],), labels[group.label])


def picture(group, number, *, show="good"):
    """Return pixels of a group, of its opposite, or nothing."""
    if show == "black":
        return np.zeros((SIDE, SIDE, 3), np.uint8)
    shown = opposite(group) if show == "bad" else group
    rng = np.random.default_rng(number)
    pixels = colour(shown) + rng.normal(0, 12, (SIDE, SIDE, 3)) + rng.normal(0, 8, 3)
    return np.clip(np.rint(pixels), 1, 255).astype(np.uint8)


def generated(root, shows, **changed):
    """Write a set in which every group has one image of each kind of ``shows``."""
    records = tuple(
        Record(f"images/{g}-{i}-{show}.png", f"s{g}-{i}", group)
        for g, group in enumerate(SCHEMA.groups())
        for i, show in enumerate(shows)
    )
    kind = find_modality("skin")
    folder = CohortFolder(
        root, Cohort(SCHEMA, records), Prompts(SCHEMA, kind.template), kind, SOURCE
    )

    def image(record):
        group, number, show = record.image.removeprefix("images/").removesuffix(".png").split("-")
        return picture(record.group, 100 * int(group) + int(number), show=show)

    return write_cohort(replace(folder, **changed), image)


@pytest.fixture
def toy_oracle(monkeypatch):
    """Make the toy phantom one that a model can be trained on."""
    monkeypatch.setattr("fairgen.preferences.oracle.PHANTOMS", {"toy": TOY})


@pytest.fixture
def folder(tmp_path):
    """Return a generated set of four images a group, two of which show what was asked for."""
    return generated(tmp_path / "made", ("good", "bad", "good", "bad"))
