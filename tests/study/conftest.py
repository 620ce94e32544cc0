"""A study so small that every stage of it runs in seconds."""

import pytest

from fairgen.engine.backbone import save_pipeline
from fairgen.engine.tiny import tiny_backbone

SMALL = """
name = "small"
methods = ["sd", "fairgen"]

[data.phantom]
count = 400
size = 32

[split]
fractions = [0.4, 0.2, 0.4]

[train]
steps = 3
batch_size = 4
accumulation = 1
grid_columns = 1
tracker = "none"
empty_groups = "allow"

[extractor]
dimension = 2
size = 32
widths = [4, 8]
steps = 3
evaluations = 1

[generate]
per_group = 2
guidance = [1.0, 2.0]
trial = 4
sample = { steps = 2 }

[downstream.settings]
steps = 3
size = 32
width = 16
depth = 1
evaluations = 1

[score]
replicates = 20
fidelity_replicates = 20
anatomy_reference = 10
"""


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    root = tmp_path_factory.mktemp("base") / "tiny"
    save_pipeline(tiny_backbone(size=32), root)
    return str(root)


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path
