import csv

import numpy as np
import pytest
from PIL import Image

from fairgen.intake.sources import SOURCES


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "release"
    folder.mkdir()
    return folder


@pytest.fixture
def put(root):
    """Return a function that writes rows as a CSV file of the release."""

    def write(name, rows, encoding="utf-8"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding=encoding) as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


@pytest.fixture
def picture(root):
    """Return a function that writes a made-up picture into the release."""

    def write(name, seed=0, size=(20, 16), **save):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, **save)
        return path

    return write


@pytest.fixture
def planned(root):
    """Return a function that plans a source's import of the release."""

    def run(name, preset="", **options):
        source = SOURCES[name]
        return source.plan(root, source.settings(preset, options))

    return run


def groups(plan):
    """Return the number of images of each group that has some."""
    keys = [f"{'|'.join(i.levels)}|{i.label}" for i in plan.items]
    return {key: keys.count(key) for key in dict.fromkeys(keys)}
