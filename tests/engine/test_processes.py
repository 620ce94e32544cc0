"""Two processes do what one with a batch twice as large does."""

import json
import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from fairgen.engine.pairs import Feedback
from fairgen.engine.settings import TrainSettings
from fairgen.engine.train import train
from fairgen.methods import METHODS
from fairgen.objectives import Alignment, Diversity, Perturbation

SETTINGS = {
    "steps": 5, "accumulation": 1, "learning_rate": 1e-3, "log_every": 1, "probe_every": 0,
    "checkpoint_every": 0, "grid_columns": 0, "tracker": "none",
}  # fmt: skip


def lines(out):
    return [json.loads(t) for t in (out / "log.jsonl").read_text().splitlines()]


def together(cohort, base, out, *, settings, more=()):
    """Train `fairgen` by two processes."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "fairgen", "train",
        "--method", "fairgen", "--cohort", str(cohort.root), "--base", base, "--out", str(out),
        *more, *(x for part in settings for x in ("--set", part)),
    ]  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, "ACCELERATE_USE_CPU": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((out / "manifest.json").read_text())["global_batch"] == 4
    return out


def farthest(*outs):
    """Return the largest difference of two trainings' weights."""
    first, second = (
        load_file(out / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors") for out in outs
    )
    return max((first[k] - second[k]).abs().max().item() for k in first)


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
    both = together(cohort, base, tmp_path / "two", settings=parts)
    assert json.loads((alone / "manifest.json").read_text())["global_batch"] == 4
    for one, two in zip(lines(alone), lines(both), strict=True):
        assert one["draws"] == two["draws"]
        assert one["expected_draws"] == pytest.approx(two["expected_draws"], rel=1e-3)
        assert one["hardness"] == pytest.approx(two["hardness"], rel=1e-3)
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-3)
        assert one["parts"]["diversity"] == pytest.approx(two["parts"]["diversity"], rel=1e-2)
    assert any(v != 1 for v in lines(both)[-1]["hardness"].values())
    assert farthest(alone, both) < 1e-3


@pytest.mark.parametrize("safeguard", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_processes_agree_with_one_on_preferences(safeguard, cohort, base, said, tmp_path):
    settings = {**SETTINGS, "learning_rate": 1e-4}
    alignment = Alignment(pairs=4, weight=3.0, safeguard=safeguard)
    alone = train(
        cohort, method=METHODS["fairgen"].model_copy(update={"alignment": alignment}), base=base,
        out=tmp_path / "one", settings=TrainSettings(**settings, batch_size=4),
        feedback=Feedback(said),
    )  # fmt: skip
    parts = [f"{k}={v}" for k, v in {**settings, "batch_size": 2}.items()]
    parts += ["method.alignment.pairs=2", "method.alignment.weight=3"]
    parts += [f"method.alignment.safeguard={str(safeguard).lower()}"]
    both = together(
        cohort, base, tmp_path / "two", settings=parts, more=("--preferences", str(said))
    )
    for one, two in zip(lines(alone), lines(both), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-3)
        told = ("winner_error", "loser_error", "implicit_accuracy")
        assert [one["preference"][k] for k in told] == pytest.approx(
            [two["preference"][k] for k in told], rel=1e-3
        )
    assert farthest(alone, both) < (2e-3 if safeguard else 1e-4)  # each safeguards its own batch
