import csv

import numpy as np
import pytest

from fairgen.files.image import write_image
from fairgen.intake.spec import TableSettings, parse_attribute, parse_label

ROWS = [
    {
        "file": f"p{i}.png",
        "patient": str(i // 2),
        "tone": str(i % 6),
        "dx": "BCC" if i % 3 else "NV",
    }
    for i in range(12)
]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "pictures"
    for i in range(12):
        rng = np.random.default_rng(i)
        write_image(folder / f"p{i}.png", rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    return folder


@pytest.fixture
def make_table(tmp_path):
    """Return a function that writes the rows, some of them changed, as a CSV file."""

    def make(*changes, rows=ROWS):
        changed = [dict(r) for r in rows]
        for number, values in changes:
            changed[number].update(values)
        path = tmp_path / "table.csv"
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(changed[0]))
            writer.writeheader()
            writer.writerows(changed)
        return path

    return make


@pytest.fixture
def make_spec(images):
    """Return a function that gives the settings of that table, some of them changed."""

    def make(**changed):
        values = {
            "images": images,
            "attributes": dict([parse_attribute("tone:dark=0,1,2;light=3,4,5")]),
            "label": parse_label("diagnosis=dx"),
            "file_column": "file",
            "subject_column": "patient",
            "modality": "skin",
        }
        return TableSettings(**{**values, **changed})

    return make
