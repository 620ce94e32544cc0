"""A small split cohort of coloured noise, and a base with random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Schema
from fairgen.cohort.split import SplitSettings
from fairgen.engine import train as train_module
from fairgen.engine.backbone import save_pipeline
from fairgen.engine.settings import TrainSettings
from fairgen.engine.tiny import tiny_backbone
from fairgen.engine.train import train
from fairgen.files.folder import CohortFolder, write_cohort
from fairgen.files.image import write_image
from fairgen.files.layout import split_folder
from fairgen.files.preferences import Preference, write_preferences
from fairgen.methods import METHODS
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


@pytest.fixture(scope="session")
def model(cohort, base, tmp_path_factory):
    settings = TrainSettings(
        steps=1, batch_size=2, accumulation=1, grid_columns=0, tracker="none", probe_every=0
    )
    out = tmp_path_factory.mktemp("model") / "m"
    return train(cohort, method=METHODS["sd"], base=base, out=out, settings=settings)


@pytest.fixture
def cut_short(monkeypatch):
    """Return what runs a training that is interrupted once ``after`` steps are done."""

    def run(start, after):
        steps = train_module.training_steps

        def cut(training, first):
            for report in steps(training, first):
                if report.step >= after:
                    raise KeyboardInterrupt
                yield report

        with monkeypatch.context() as patch:
            patch.setattr(train_module, "training_steps", cut)
            with pytest.raises(KeyboardInterrupt):
                start()

    return run


@pytest.fixture(scope="session")
def vit(tmp_path_factory):
    """Return the folder of a tiny image model with a classifier's head."""
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("weights") / "vit"
    ViTForImageClassification(config).save_pretrained(folder)
    return folder


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


@pytest.fixture(scope="session")
def said(cohort, tmp_path_factory) -> Path:
    """Pairs of every group: the brighter image is preferred."""
    root, rng = tmp_path_factory.mktemp("said"), np.random.default_rng(0)
    groups, pairs = cohort.cohort.schema.groups(), []
    for i in range(48):
        group = groups[i % len(groups)]
        level = int(rng.integers(60, 180))
        for name, own in (("w", level + 40), ("l", level - 40)):
            image = rng.integers(own - 15, own + 15, (32, 32, 3)).astype(np.uint8)
            write_image(root / "images" / f"{i}{name}.png", image)
        text = cohort.prompts.render(group)
        images = (root / "images" / f"{i}{n}.png" for n in "wl")
        pairs.append(Preference(group, text, *images))
    write_preferences(root / "preferences.jsonl", pairs)
    return root / "preferences.jsonl"
