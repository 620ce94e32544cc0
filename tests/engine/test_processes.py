"""Two processes do what one with a batch twice as large does."""

import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fairgen.engine.pairs import Feedback
from fairgen.engine.settings import TrainSettings
from fairgen.engine.train import train
from fairgen.files.image import read_image
from fairgen.methods import METHODS
from fairgen.objectives import Alignment, Diversity, Perturbation

CONFIGS = Path(__file__).parents[2] / "configs" / "accelerate"
SETTINGS = {
    "steps": 5, "accumulation": 1, "learning_rate": 1e-3, "log_every": 1, "probe_every": 0,
    "checkpoint_every": 0, "grid_columns": 0, "tracker": "none",
}  # fmt: skip
EXECUTED = {"ddp_cpu", "fsdp_cpu", "deepspeed_zero2_cpu"}
WATCHED = """
import sys

import torch
from safetensors.torch import save_file

from fairgen.cli import main
from fairgen.engine import train

finish = train._finish

def watched(training, *more):
    assert training.accelerator.num_processes == 2
    state = {f"adaptive.{k}": v for k, v in training.adaptive.tensors().items()}
    state |= {f"last.{i}": p.detach() for i, p in enumerate(training.parameters)}
    state |= {f"averaged.{i}": p for i, p in enumerate(training.ema.shadow_params)}
    state["seed"] = torch.tensor(torch.initial_seed() % 2**31)
    path = f"{sys.argv[1]}/{training.accelerator.process_index}.safetensors"
    save_file({k: v.contiguous() for k, v in state.items()}, path)
    finish(training, *more)

train._finish = watched
main(sys.argv[2:])
"""

LEAVING = """
import os
import sys

import torch
from torch.nn.parallel import DistributedDataParallel

from fairgen.engine import processes


def work():
    processes.this_process()
    model = DistributedDataParallel(torch.nn.Linear(64, 64))
    model(torch.ones(4, 64)).sum().backward()
    sys.setswitchinterval(60)  # other threads get Python's lock only where this one waits
    for _ in range(9):
        torch.distributed.all_reduce(torch.ones(3))
    processes.wait_for_all()
    processes.leave()


for port in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        os.environ["MASTER_PORT"] = port
        work()
        break
    assert os.waitpid(child, 0)[1] == 0
"""


def lines(out):
    return [json.loads(t) for t in (out / "log.jsonl").read_text().splitlines()]


def together(cohort, base, out, *, settings, by="ddp_cpu", more=(), run=("-m", "fairgen")):
    """Train `fairgen` by the two processes that a file of `configs/accelerate` starts."""
    command = [
        sys.executable, "-m", "accelerate.commands.launch",
        "--config_file", str(CONFIGS / f"{by}.yaml"), *run, "train",
        "--method", "fairgen", "--cohort", str(cohort.root), "--base", base, "--out", str(out),
        *more, *(f"--set={key}={value}" for key, value in settings.items()),
    ]  # fmt: skip
    env = {k: v for k, v in os.environ.items() if k != "ACCELERATE_USE_CPU"}
    env |= {"DS_ACCELERATOR": "cpu"} if "deepspeed" in by else {"ACCELERATE_USE_CPU": "1"}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["processes"] == 2
    assert manifest["sharded"] == ("fsdp" in by)
    return out


def farthest(*outs):
    """Return the largest difference of two trainings' weights."""
    first, second = (
        load_file(out / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors") for out in outs
    )
    return max((first[k] - second[k]).abs().max().item() for k in first)


def assert_processes_hold_the_same(folder):
    first, second = (load_file(folder / f"{rank}.safetensors") for rank in range(2))
    assert first.pop("seed") != second.pop("seed")  # of what networks draw by themselves
    assert {"adaptive.window.sums", "adaptive.perturbation.sigma", "averaged.0"} <= first.keys()
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(first["averaged.0"], first["last.0"])


def test_each_file_for_a_launcher_says_first_whether_it_was_tested():
    firsts = {p.stem: p.read_text().splitlines()[0] for p in CONFIGS.glob("*.yaml")}
    assert {n for n, first in firsts.items() if first.startswith("# Executed by ")} == EXECUTED
    assert all(t.startswith("# Untested: ") for n, t in firsts.items() if n not in EXECUTED)
    assert {n.removesuffix("_cpu") for n in EXECUTED} <= {"ddp", *firsts}


def test_two_processes_agree_with_one_on_draws_difficulty_and_perturbation(cohort, base, tmp_path):
    recipe = METHODS["fairgen"].model_copy(
        update={"perturbation": Perturbation(window=2), "diversity": Diversity(gamma=0.25)}
    )
    alone = train(
        cohort, method=recipe, base=base, out=tmp_path / "one",
        settings=TrainSettings(**SETTINGS, batch_size=4),
    )  # fmt: skip
    given = {**SETTINGS, "batch_size": 2}
    given |= {"method.perturbation.window": 2, "method.diversity.gamma": 0.25}
    (tmp_path / "watched.py").write_text(WATCHED)
    watched = (str(tmp_path / "watched.py"), str(tmp_path))
    both = together(cohort, base, tmp_path / "two", settings=given, run=watched)
    assert_processes_hold_the_same(tmp_path)
    manifests = [json.loads((out / "manifest.json").read_text()) for out in (alone, both)]
    assert [m["global_batch"] for m in manifests] == [4, 4]
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
    given = {**settings, "batch_size": 2, "method.alignment.pairs": 2}
    given |= {"method.alignment.weight": 3, "method.alignment.safeguard": safeguard}
    both = together(
        cohort, base, tmp_path / "two", settings=given, more=("--preferences", str(said))
    )
    for one, two in zip(lines(alone), lines(both), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-3)
        told = ("winner_error", "loser_error", "implicit_accuracy")
        assert [one["preference"][k] for k in told] == pytest.approx(
            [two["preference"][k] for k in told], rel=1e-3
        )
    assert farthest(alone, both) < (2e-3 if safeguard else 1e-4)  # each safeguards its own batch


SHARDED = {
    **SETTINGS, "batch_size": 2, "accumulation": 2, "learning_rate": 1e-4, "max_grad_norm": 0.5,
    "ema_decay": 0.9, "probe_every": 2, "grid_every": 3, "grid_columns": 1,
    "method.diversity.gamma": 0.25, "method.alignment.pairs": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def single(cohort, base, said, tmp_path_factory):
    """Train in one process what two do with half of its batch each."""
    return train(
        cohort,
        method=METHODS["fairgen"].model_copy(
            update={
                "diversity": Diversity(gamma=0.25),
                "alignment": METHODS["fairgen"].alignment.model_copy(update={"pairs": 2}),
            }
        ),
        base=base,
        out=tmp_path_factory.mktemp("single") / "one",
        settings=TrainSettings(
            **{k: v for k, v in SHARDED.items() if "." not in k} | {"batch_size": 4}
        ),
        feedback=Feedback(said),
    )


def assert_same_training(alone, both):
    """Assert that what is logged, drawn, averaged and saved agrees up to rounding."""
    for one, two in zip(lines(alone), lines(both), strict=True):
        assert one["draws"] == two["draws"]
        assert one.keys() == two.keys()
        for key in ("loss", "grad_norm"):
            assert one[key] == pytest.approx(two[key], rel=1e-5)
        for key in ("parts", "hardness", "preference", "condition_strength", "preference_probe"):
            assert one.get(key, {}) == pytest.approx(two.get(key, {}), rel=1e-3, abs=1e-6)
    assert farthest(alone, both) < 5e-5
    grids = [sorted(p.name for p in (out / "grids").iterdir()) for out in (alone, both)]
    assert grids[0] == grids[1] == ["step-000003.png", "step-000005.png"]
    images = [read_image(out / "grids" / grids[0][0]).astype(int) for out in (alone, both)]
    assert abs(images[0] - images[1]).max() <= 1


@pytest.mark.slow
def test_two_processes_with_sharded_weights_agree_with_one_and_resume_bit_for_bit(
    single, cohort, base, said, tmp_path
):
    settings, more = {**SHARDED, "checkpoint_every": 2}, ("--preferences", str(said))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    how = {"by": "fsdp_cpu", "settings": settings, "more": more}
    together(cohort, base, whole, **how)
    assert_same_training(single, whole)
    shutil.copytree(whole, broken)
    for part in ("pipeline", "grids", "checkpoints/step-000005"):
        shutil.rmtree(broken / part)
    (broken / "manifest.json").unlink()
    together(cohort, base, broken, **how)
    last = "checkpoints/step-000005"
    files = sorted(p.name for p in (whole / last).glob("*.safetensors"))
    assert files == [f"{n}.safetensors" for n in ("adaptive", "ema", "model", "optimizer")]
    for file in files:
        assert (whole / last / file).read_bytes() == (broken / last / file).read_bytes()
    assert lines(whole)[-1]["loss"] == lines(broken)[-1]["loss"]
    assert farthest(whole, broken) == 0


@pytest.mark.slow
def test_two_processes_under_deepspeed_agree_with_one(single, cohort, base, said, tmp_path):
    pytest.importorskip("deepspeed")
    more = ("--preferences", str(said))
    both = together(
        cohort, base, tmp_path / "two", by="deepspeed_zero2_cpu", settings=SHARDED, more=more
    )
    assert_same_training(single, both)


@pytest.mark.slow
def test_processes_that_leave_right_after_a_meeting_neither_abort_nor_wait_for_ever():
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("localhost", 0))) for _ in range(20)]
        ports = [str(s.getsockname()[1]) for s in held]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", LEAVING, *ports], stderr=subprocess.PIPE, text=True,
            env={
                **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "ACCELERATE_USE_CPU": "1",
            },
        )
        for rank in range(2)
    ]  # fmt: skip
    for process in both:
        _, told = process.communicate(timeout=300)
        assert process.returncode == 0, told[-1000:]
