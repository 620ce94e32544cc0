"""Whatever ends a training, what it goes on to is what it would have been, to the last bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from fairgen.methods import METHODS
from fairgen.objectives import Perturbation

FAIRGEN = METHODS["fairgen"].model_copy(update={"perturbation": Perturbation(window=2)})
KILLS = 20


def command(cohort, base, out, *, python=(), **settings):
    """Return the command of a small training whose method keeps state, checkpointed often."""
    given = {
        "batch_size": 4, "accumulation": 1, "learning_rate": 1e-3, "checkpoint_every": 1,
        "log_every": 1, "probe_every": 0, "grid_columns": 0, "tracker": "none",
        "method.perturbation.window": 2,
    } | settings  # fmt: skip
    sets = [text for key, value in given.items() for text in ("--set", f"{key}={value}")]
    return [
        sys.executable, *python, "-m", "fairgen", "train", "--method", "fairgen",
        "--cohort", str(cohort.root), "--base", base, "--out", str(out), *sets,
    ]  # fmt: skip


def started(arguments, **environment):
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "ACCELERATE_USE_CPU": "1", **environment},
    )  # fmt: skip


def finish(arguments):
    process = started(arguments)
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-2000:]


def tensors(out):
    """Return every tensor of a training's pipeline, adapters and last checkpoint, by file."""
    last = max((out / "checkpoints").glob("step-*"))
    files = [*out.glob("pipeline/**/*.safetensors"), *out.glob("lora/*.safetensors")]
    found = {str(p.relative_to(out)): load_file(p) for p in [*files, *last.glob("*.safetensors")]}
    assert {"model", "ema", "optimizer", "adaptive"} <= {p.stem for p in last.iterdir()}
    return {(file, name): t for file, own in found.items() for name, t in own.items()}


def assert_same(one, two):
    first, second = tensors(one), tensors(two)
    assert first.keys() == second.keys()
    assert [k for k in first if not torch.equal(first[k], second[k])] == []


def lines(out):
    """Return the lines of a log but for the speed."""
    found = [json.loads(text) for text in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in found]


def wait_for(seen, process):
    """Wait until something is seen, as closely as one can look."""
    while not seen():
        assert process.poll() is None, process.communicate()[1][-2000:]
        time.sleep(0.001)


@pytest.mark.slow
def test_a_training_killed_twenty_times_ends_as_one_that_never_was(cohort, base, tmp_path):
    out, dice = tmp_path / "killed", random.Random(4)
    folder = out / "checkpoints"
    finish(command(cohort, base, tmp_path / "whole", steps=100))
    torn = 0
    for number in range(KILLS):
        process = started(command(cohort, base, out, steps=100))
        before = set(folder.glob("step-*"))
        wait_for(lambda: set(folder.glob("step-*")) - before, process)  # noqa: B023 - read at once
        if number % 2:
            wait_for(lambda: any(folder.glob(".step-*")), process)
            time.sleep(dice.uniform(0, 0.05))
        else:
            time.sleep(dice.uniform(0, 0.5))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (out / "manifest.json").exists()
        left = list(folder.glob(".step-*"))
        torn += len(left)
        assert len(left) <= 1
        assert len(list(folder.glob("step-*"))) <= 3  # the limit of two, and the newest
    assert torn >= KILLS // 4
    finish(command(cohort, base, out, steps=100))
    assert sorted(p.name for p in folder.iterdir()) == ["step-000099", "step-000100"]
    assert_same(tmp_path / "whole", out)
    assert lines(tmp_path / "whole") == lines(out)
