"""Two processes do what one with a batch twice as large does."""

import json
import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from fairgen.engine.settings import TrainSettings
from fairgen.engine.train import train
from fairgen.methods import METHODS
from fairgen.objectives import Diversity, Perturbation

SETTINGS = {
    "steps": 5, "accumulation": 1, "learning_rate": 1e-3, "log_every": 1, "probe_every": 0,
    "checkpoint_every": 0, "grid_columns": 0, "tracker": "none",
}  # fmt: skip


def lines(out):
    return [json.loads(t) for t in (out / "log.jsonl").read_text().splitlines()]


def test_two_processes_agree_with_one_on_draws_difficulty_and_perturbation(cohort, base, tmp_path):
    recipe = METHODS["fairgen"].model_copy(
        update={"perturbation": Perturbation(window=2), "diversity": Diversity(gamma=0.25)}
    )
    alone = train(
        cohort, method=recipe, base=base, out=tmp_path / "one",
        settings=TrainSettings(**SETTINGS, batch_size=4),
    )  # fmt: skip
    given = {**SETTINGS, "batch_size": 2}
    parts = [f"{k}={v}" for k, v in given.items()]
    parts += ["method.perturbation.window=2", "method.diversity.gamma=0.25"]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "fairgen", "train",
        "--method", "fairgen", "--cohort", str(cohort.root), "--base", base,
        "--out", str(tmp_path / "two"), *(x for part in parts for x in ("--set", part)),
    ]  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, "ACCELERATE_USE_CPU": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    together = tmp_path / "two"
    assert json.loads((together / "manifest.json").read_text())["global_batch"] == 4
    assert json.loads((alone / "manifest.json").read_text())["global_batch"] == 4
    for one, two in zip(lines(alone), lines(together), strict=True):
        assert one["draws"] == two["draws"]
        assert one["expected_draws"] == pytest.approx(two["expected_draws"], rel=1e-3)
        assert one["hardness"] == pytest.approx(two["hardness"], rel=1e-3)
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-3)
        assert one["parts"]["diversity"] == pytest.approx(two["parts"]["diversity"], rel=1e-2)
    assert any(v != 1 for v in lines(together)[-1]["hardness"].values())
    first, second = (
        load_file(out / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors")
        for out in (alone, together)
    )
    assert max((first[k] - second[k]).abs().max().item() for k in first) < 1e-3
