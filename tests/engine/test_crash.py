"""Whatever ends a training, what it goes on to is what it would have been, to the last bit."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fairgen.cli import main
from fairgen.engine import resume as resume_module
from fairgen.engine import train as train_module
from fairgen.engine.interrupt import AGREE_EVERY
from fairgen.engine.train import train
from fairgen.errors import CheckpointError, Stopped, StudyError
from fairgen.methods import METHODS
from fairgen.objectives import Perturbation

FAIRGEN = METHODS["fairgen"].model_copy(update={"perturbation": Perturbation(window=2)})


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
    assert [k for k in first if as_bytes(first[k]) != as_bytes(second[k])] == []


def as_bytes(tensor):
    return tensor.contiguous().numpy().tobytes()  # nothing equals a NaN


def lines(out):
    """Return the lines of a log but for the speed."""
    found = [json.loads(text) for text in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in found]


def checkpoints(out):
    return sorted(p.name for p in (out / "checkpoints").iterdir())


def wait_for(seen, process):
    """Wait until something is seen, as closely as one can look."""
    while not seen():
        assert process.poll() is None, process.communicate()[1][-2000:]
        time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "least", "change"), [(20, 5, {}), (4, 0, {"lora_rank": 2})])
def test_a_training_killed_many_times_ends_as_one_that_never_was(
    kills, least, change, cohort, base, tmp_path
):
    out, dice = tmp_path / "killed", random.Random(4)  # noqa: S311 - when to kill
    folder, torn = out / "checkpoints", 0
    for number in range(kills):
        before = set(folder.glob("step-*"))
        process = started(command(cohort, base, out, steps=100, **change))
        wait_for(lambda: set(folder.glob("step-*")) - before, process)  # noqa: B023 - read at once
        if number % 2:
            wait_for(lambda: any(folder.glob(".step-*")), process)
        time.sleep(dice.uniform(0, 0.05 if number % 2 else 0.5))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        left = len(list(folder.glob(".step-*")))
        torn += left
        assert left <= 1
        assert len(list(folder.glob("step-*"))) <= 3  # the limit of two, and the newest
    assert torn >= least  # so many were killed while they wrote a checkpoint
    for name in ("killed", "whole"):
        finish(command(cohort, base, tmp_path / name, steps=100, **change))
    assert checkpoints(out) == ["step-000099", "step-000100"]
    assert_same(tmp_path / "whole", out)
    assert lines(tmp_path / "whole") == lines(out)


@pytest.fixture
def signalled(monkeypatch):
    """Return what runs a training that gets SIGTERM in the midst of the given steps."""
    heard = []
    previous = signal.signal(signal.SIGTERM, lambda *_: heard.append("too late or too early"))

    def run(start, *steps):
        plain = train_module.training_steps

        def terminated(training, first):
            for report in plain(training, first):
                if report.step + 1 in steps:
                    signal.raise_signal(signal.SIGTERM)
                yield report

        with monkeypatch.context() as patch:
            patch.setattr(train_module, "training_steps", terminated)
            return start()

    yield run
    own = signal.signal(signal.SIGTERM, previous)
    assert heard == []
    own()  # the handler of before the training was put back
    assert heard


@pytest.fixture
def start(cohort, base, quick, tmp_path):
    def run(name, **change):
        settings = quick.model_copy(update=change)
        return train(cohort, method=FAIRGEN, base=base, out=tmp_path / name, settings=settings)

    return run


@pytest.mark.parametrize("every", [0, 4])
def test_sigterm_saves_a_checkpoint_and_the_training_goes_on_from_it(
    every, start, signalled, tmp_path
):
    with pytest.raises(Stopped, match=r"b: stopped by SIGTERM at step 3; repeat the command"):
        signalled(lambda: start("b", checkpoint_every=every), 3)
    assert checkpoints(tmp_path / "b") == ["step-000003"]
    with pytest.raises(Stopped, match="at step 5"):
        signalled(lambda: start("b", checkpoint_every=every), 5)
    start("b", checkpoint_every=every)
    start("a", checkpoint_every=every)
    files = [f"pipeline/{part}/*.safetensors" for part in ("unet", "text_encoder", "vae")]
    for pattern in files:
        (one,), (two,) = (list((tmp_path / name).glob(pattern)) for name in "ab")
        assert one.read_bytes() == two.read_bytes()
    assert [line["step"] for line in lines(tmp_path / "b")] == [2, 3, 4, 5, 6]
    drawn = [[sum(line["draws"].values()) for line in lines(tmp_path / name)] for name in "ab"]
    assert sum(drawn[0]) == sum(drawn[1])


def test_sigterm_again_while_the_checkpoint_is_written_changes_nothing(
    start, signalled, tmp_path, monkeypatch
):
    plain = resume_module.save_checkpoint

    def interrupted(*given, **options):
        signal.raise_signal(signal.SIGTERM)
        done = plain(*given, **options)
        signal.raise_signal(signal.SIGTERM)
        return done

    monkeypatch.setattr(resume_module, "save_checkpoint", interrupted)
    with pytest.raises(Stopped, match="at step 2"):
        signalled(lambda: start("b"), 2)
    assert checkpoints(tmp_path / "b") == ["step-000002"]


def test_sigterm_in_the_last_step_finishes_the_training_first(start, signalled, tmp_path):
    with pytest.raises(Stopped, match="at step 6"):
        signalled(lambda: start("b", checkpoint_every=0), 6)
    assert (tmp_path / "b" / "manifest.json").is_file()
    assert not (tmp_path / "b" / "checkpoints").exists()
    assert start("b", checkpoint_every=0) == tmp_path / "b"


def test_outside_the_main_thread_sigterm_is_left_alone(start, tmp_path):
    before, seen = signal.getsignal(signal.SIGTERM), []
    plain = threading.Thread(target=lambda: seen.append(start("b")))
    plain.start()
    while plain.is_alive():
        assert signal.getsignal(signal.SIGTERM) is before
        time.sleep(0.01)
    assert seen == [tmp_path / "b"]


def test_a_stopped_command_ends_with_one_line_and_the_status_of_shells(
    cohort, base, signalled, tmp_path, capsys
):
    arguments = command(cohort, base, tmp_path / "m", steps=6)
    with pytest.raises(SystemExit) as ended:
        signalled(lambda: main(arguments[3:]), 2)
    assert ended.value.code == 143
    said = f"fairgen: {tmp_path}/m: stopped by SIGTERM at step 2; repeat the command to go on\n"
    assert capsys.readouterr().err == said


def test_processes_that_see_different_checkpoints_are_refused(start, monkeypatch):
    monkeypatch.setattr(
        "accelerate.Accelerator.gather", lambda _, own: torch.cat([own, own + 4])
    )  # fmt: skip
    with pytest.raises(CheckpointError, match="different checkpoints, from step 0 to 4; expected"):
        start("b")


def test_dropout_draws_after_a_resume_what_it_would_have_drawn(
    cohort, base, quick, tmp_path, cut_short
):
    shutil.copytree(base, tmp_path / "base")
    config = tmp_path / "base" / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dropout": 0.3}))

    def start(name, given=tmp_path / "base"):
        return train(
            cohort, method=FAIRGEN, base=given, out=tmp_path / name, settings=quick
        )  # fmt: skip

    state = torch.get_rng_state()
    cut_short(lambda: start("b"), 3)
    assert torch.equal(torch.get_rng_state(), state)
    start("b")
    start("a")
    assert_same(tmp_path / "a", tmp_path / "b")
    start("c", base)
    assert lines(tmp_path / "c")[0]["loss"] != lines(tmp_path / "a")[0]["loss"]


def test_a_resumed_training_lets_go_of_its_checkpoint(start, cut_short, monkeypatch, tmp_path):
    cut_short(lambda: start("b"), 3)
    plain, held = train_module.training_steps, []

    def watched(training, first):
        for report in plain(training, first):
            maps = Path("/proc/self/maps").read_text().splitlines()
            held.extend(line for line in maps if "step-0" in line)
            yield report

    monkeypatch.setattr(train_module, "training_steps", watched)
    start("b")
    assert held == []


def test_the_scale_of_half_precision_is_taken_up(start, cut_short, monkeypatch):
    scalers, prepare = [], train_module.prepare

    def prepared(*given, **named):
        training = prepare(*given, **named)
        scalers.append(torch.amp.GradScaler("cpu", init_scale=4.0 + len(scalers)))
        training.accelerator.scaler = scalers[-1]
        return training

    monkeypatch.setattr(train_module, "prepare", prepared)
    cut_short(lambda: start("b"), 3)
    start("b")
    assert [s.get_scale() for s in scalers] == [4.0, 4.0]


def test_a_log_that_cannot_be_written_is_told_in_one_line(start, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(StudyError, match=r"b: cannot be written \(No space left on device\)"):
        start("b")


FULL = """
mount -t tmpfs -o size=120m none {0} || exit 77
{1}; echo status $?; ls -A {0}/m/checkpoints
mount -o remount,size=400m {0}
{1}; echo status $?; cp -r {0}/m {2}
"""


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoints_and_the_training_goes_on(cohort, base, tmp_path):
    disk, given = tmp_path / "disk", {"steps": 5, "tracker": "tensorboard"}
    disk.mkdir()
    text = FULL.format(disk, " ".join(command(cohort, base, disk / "m", **given)), tmp_path / "m")
    process = started(["unshare", "-rm", "sh", "-c", text])
    told, errors = process.communicate()
    if "status" not in told:
        pytest.skip(f"a tmpfs cannot be mounted here: {errors}")
    assert told.split() == [
        "status", "2", "step-000001", "step-000002", str(disk / "m"), "status", "0",
    ]  # fmt: skip
    said = [line for line in errors.splitlines() if line.startswith("fairgen: ")]
    assert len(said) == 1
    assert f"{disk}/m/checkpoints/step-000003: cannot be written" in said[0]
    assert "No space left on device" in said[0]
    assert "Traceback" not in errors
    finish(command(cohort, base, tmp_path / "whole", **given))
    assert_same(tmp_path / "whole", tmp_path / "m")


def launched(arguments):
    """Start two processes that train together."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    return [started(arguments, RANK=str(r), LOCAL_RANK=str(r), **world) for r in range(2)]


def steps_done(out):
    return len(lines(out)) if (out / "log.jsonl").exists() else 0


@pytest.mark.slow
def test_two_processes_stop_at_one_step_whichever_of_them_gets_sigterm(cohort, base, tmp_path):
    out = tmp_path / "stopped"

    def launch(out):
        return launched(command(cohort, base, out, steps=60, checkpoint_every=60, batch_size=2))

    stops = []
    for gaps in ({1: 0.0}, {0: 0.0, 1: 0.3}, {1: 0.0, 0: 0.3}):
        both, before = launch(out), steps_done(out)
        wait_for(lambda: steps_done(out) > before + 2, both[0])  # noqa: B023 - read at once
        for rank, gap in gaps.items():
            time.sleep(gap)
            both[rank].send_signal(signal.SIGTERM)
        said = [p.communicate()[1].splitlines()[-1] for p in both]
        assert [p.returncode for p in both] == [143, 143], said
        assert said[0] == said[1]
        stops.append(int(said[0].split("at step ")[1].split(";")[0]))
        assert checkpoints(out)[-1] == f"step-{stops[-1]:06d}"
    assert all(step % AGREE_EVERY == 0 for step in stops)
    assert sorted(set(stops)) == stops
    for where in (out, tmp_path / "whole"):
        both = launch(where)
        assert [(p.communicate()[1], p.returncode)[1] for p in both] == [0, 0]
    assert_same(tmp_path / "whole", out)
    assert json.loads((out / "manifest.json").read_text())["global_batch"] == 4
    assert lines(tmp_path / "whole") == lines(out)
