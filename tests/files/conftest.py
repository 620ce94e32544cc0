from dataclasses import replace

import numpy as np
import pytest

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Schema
from fairgen.files.folder import CohortFolder, write_cohort
from fairgen.modalities.modality import MODALITIES, Prompts

SCHEMA = Schema((Attribute("tone", ("dark", "light")),), Attribute("disease", ("acne", "eczema")))


def picture(number, size=8):
    """Return pixels that no other number has."""
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (size, size, 3), dtype=np.uint8)


def describe(root, subjects=12):
    """Return a cohort of two images a subject, all groups in turn."""
    groups = SCHEMA.groups()
    records = tuple(
        Record(f"images/{i:03d}.png", f"s{i // 2}", groups[(i // 2) % 4], extra={"age": str(i)})
        for i in range(2 * subjects)
    )
    prompts = Prompts(SCHEMA, "{label} on {attributes} skin")
    return CohortFolder(root, Cohort(SCHEMA, records), prompts, MODALITIES["skin"], {"made": "up"})


@pytest.fixture
def make_folder(tmp_path):
    """Return a function that writes a cohort folder of a few small images."""

    def make(name="cohort", subjects=12, **changed):
        folder = replace(describe(tmp_path / name, subjects), **changed)
        return write_cohort(folder, lambda r: picture(int(r.extra["age"])))

    return make
