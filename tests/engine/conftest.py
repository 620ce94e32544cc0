"""A small split cohort of coloured noise, and a base with random weights."""

from pathlib import Path

import numpy as np
import pytest

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Schema
from fairgen.cohort.split import SplitSettings
from fairgen.engine.backbone import save_pipeline
from fairgen.engine.settings import TrainSettings
from fairgen.engine.tiny import tiny_backbone
from fairgen.files.folder import CohortFolder, write_cohort
from fairgen.files.layout import split_folder
from fairgen.modalities.modality import Prompts, find_modality

SCHEMA = Schema((Attribute("tone", ("light", "dark")),), Attribute("disease", ("eczema", "naevus")))


def picture(record: Record) -> np.ndarray:
    rng = np.random.default_rng(int(record.subject[1:]))
    level = 60 if record.group.subgroup == "dark" else 180
    return rng.integers(level - 40, level + 40, (32, 32, 3)).astype(np.uint8)


def describe(root: Path) -> CohortFolder:
    groups = SCHEMA.groups()
    shown = [groups[0]] * 30 + [groups[1]] * 20 + [groups[2]] * 10 + [groups[3]] * 6
    records = tuple(Record(f"images/{i:03d}.png", f"s{i}", g) for i, g in enumerate(shown))
    modality = find_modality("skin")
    return CohortFolder(root, Cohort(SCHEMA, records), Prompts(SCHEMA, modality.template), modality)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort") / "skin"
    write_cohort(describe(root), picture)
    return split_folder(root, SplitSettings())


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    root = tmp_path_factory.mktemp("base") / "tiny"
    save_pipeline(tiny_backbone(size=32), root)
    return str(root)


@pytest.fixture
def quick():
    return TrainSettings(
        steps=6,
        batch_size=4,
        accumulation=1,
        learning_rate=1e-3,
        checkpoint_every=2,
        log_every=2,
        probe_every=4,
        grid_columns=0,
        tracker="none",
    )
