"""A small cohort: the label is which rows or columns are bright, the attribute how bright."""

import numpy as np
import pytest

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Schema
from fairgen.files.folder import CohortFolder, write_cohort
from fairgen.modalities import MODALITIES, Prompts

SCHEMA = Schema((Attribute("tone", ("dark", "light")),), Attribute("disease", ("rows", "columns")))
PLACES = ("train",) * 6 + ("valid",) * 2 + ("test",) * 2


def picture(group, seed, size=16):
    random = np.random.default_rng(seed)
    place = np.arange(size)
    top, middle = place < size // 2, abs(place - size / 2 + 0.5) < size // 4
    shape = top[:, None] if group.label == "rows" else middle[None]
    field = np.broadcast_to(np.where(shape, 40, -40), (size, size))
    base = 90 if group.levels[0] == "dark" else 160
    noisy = base + field[..., None] + random.normal(0, 10, (size, size, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def toy(root, count, *, split=True, seed=0, prefix="s"):
    groups = [g for g in SCHEMA.groups() for _ in range(2 if g.levels[0] == "light" else 1)]
    records = tuple(
        Record(
            f"images/{i:04d}.png",
            f"{prefix}{i // 2}",
            groups[(i // 2) % len(groups)],
            split=PLACES[(i // 12) % len(PLACES)] if split else "",
        )
        for i in range(count)
    )
    modality = MODALITIES["skin"]
    prompts = Prompts(SCHEMA, modality.template)
    source = {} if split else {"synthetic": True, "method": "sd"}
    folder = CohortFolder(root, Cohort(SCHEMA, records), prompts, modality, source)
    return write_cohort(folder, lambda r: picture(r.group, seed * 10_000 + int(r.image[7:11])))


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    return toy(tmp_path_factory.mktemp("cohort") / "real", 240)


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort") / "synthetic"
    return toy(root, 72, split=False, seed=1, prefix="synthetic-")
