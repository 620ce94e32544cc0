"""Checkpoints are written whole or not at all, and read only if they are whole and fit."""

import json
import logging
import resource
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from fairgen.engine import checkpoint as module
from fairgen.engine.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from fairgen.engine.export import export_pipeline
from fairgen.engine.train import train
from fairgen.errors import CheckpointError, StudyError
from fairgen.files.digest import file_digest
from fairgen.methods import METHODS
from fairgen.objectives import Perturbation

FAIRGEN = METHODS["fairgen"].model_copy(update={"perturbation": Perturbation(window=2)})


def small(step, key="key"):
    tensors = {"model": {"w": torch.full((4, 300), float(step))}, "ema": {"0": torch.zeros(3)}}
    return Checkpoint(step, key, tensors, {"ema_steps": step})


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def edit_state(path, **change):
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps(state | change))


def edit_tensors(name, change, path):
    """Let a checkpoint hold other tensors, with the digest that they have."""
    tensors = {k: v.clone() for k, v in load_file(path / name).items()}
    change(tensors)
    save_file(tensors, path / name)
    files = json.loads((path / "state.json").read_text())["files"]
    edit_state(path, files=files | {name: file_digest(path / name)})


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


DAMAGES = {
    "a missing file": (
        lambda p: (p / "ema.safetensors").unlink(),
        "ema.safetensors is missing or damaged",
    ),
    "a truncated file": (
        lambda p: truncate(p / "model.safetensors"),
        "model.safetensors is missing or damaged",
    ),
    "no state": (lambda p: (p / "state.json").unlink(), "state.json cannot be read"),
    "garbage for a state": (
        lambda p: (p / "state.json").write_bytes(b"\xff\x00{"),
        "state.json cannot be read",
    ),
    "another format": (lambda p: edit_state(p, format=2), "format is not 1"),
    "another step": (lambda p: edit_state(p, step=9), "step is 9; expected that of the folder"),
    "a file that is no safetensors": (
        lambda p: (
            (p / "ema.safetensors").write_bytes(b"x" * 50),
            edit_state(p, files={"ema.safetensors": file_digest(p / "ema.safetensors")}),
        ),
        "its tensors cannot be read",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_with_its_reason(kind, tmp_path, caplog):
    damage, reason = DAMAGES[kind]
    for step in (2, 4):
        save_checkpoint(tmp_path, small(step), keep=2)
    damage(tmp_path / "step-000004")
    found = load_checkpoint(tmp_path, key="key")
    assert found.step == 2
    assert torch.equal(found.tensors["model"]["w"], small(2).tensors["model"]["w"])
    assert len(caplog.records) == 1
    assert reason in caplog.text
    assert "step-000004" in caplog.text


def test_that_no_checkpoint_is_whole_is_said(tmp_path, caplog):
    assert load_checkpoint(tmp_path, key="key") is None
    assert not caplog.records
    save_checkpoint(tmp_path, small(2), keep=2)
    truncate(tmp_path / "step-000002" / "model.safetensors")
    assert load_checkpoint(tmp_path, key="key") is None
    assert caplog.messages[-1] == f"{tmp_path}: no checkpoint can be used"


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    save_checkpoint(tmp_path, small(2), keep=2)
    with pytest.raises(CheckpointError, match="other settings, data or base"):
        load_checkpoint(tmp_path, key="another")


MISFITS = (
    ("model", lambda t: t.pop("unet.conv_out.bias"), "'model': lacks unet.conv_out.bias"),
    ("model", lambda t: t.update(odd=torch.zeros(1)), "'model': unknown odd"),
    ("ema", lambda t: t.pop("0"), "'ema': lacks 0"),
    ("ema", lambda t: t.update({"0": torch.zeros(1)}), "'ema': 0 has shape (1,); expected (32, 4,"),
    ("optimizer", lambda t: t.pop("0.exp_avg"), "'optimizer': lacks 0.exp_avg"),
    ("adaptive", lambda t: t.pop("window.sums"), "'adaptive': lacks window.sums"),
)


def test_a_checkpoint_that_does_not_fit_is_passed_over_with_its_reason(
    cohort, base, quick, tmp_path, cut_short, caplog
):
    settings = quick.model_copy(update={"checkpoint_every": 1})

    def start(name):
        return train(cohort, method=FAIRGEN, base=base, out=tmp_path / name, settings=settings)

    def weights(name):
        return load_file(tmp_path / name / "checkpoints" / "step-000006" / "model.safetensors")

    cut_short(lambda: start("cut"), 3)
    changes = [(partial(edit_tensors, f"{file}.safetensors", c), r) for file, c, r in MISFITS]
    changes.append((lambda p: edit_state(p, values={}), "state.json: 'ema_steps' is missing"))
    for number, (change, reason) in enumerate(changes):
        shutil.copytree(tmp_path / "cut", tmp_path / str(number))
        change(tmp_path / str(number) / "checkpoints" / "step-000003")
        caplog.clear()
        with caplog.at_level(logging.INFO, "fairgen"):
            cut_short(partial(start, str(number)), 3)
        assert f"step-000003: {reason}" in caplog.text
        assert "resuming at step 2" in caplog.text
    start("0")
    start("whole")
    first, second = weights("whole"), weights("0")
    assert all(torch.equal(first[k], second[k]) for k in first)
    edit_tensors(
        "ema.safetensors", lambda t: t.pop("0"), tmp_path / "0" / "checkpoints" / "step-000006"
    )
    with pytest.raises(CheckpointError, match="does not fit the base: 'ema': lacks 0"):
        export_pipeline(tmp_path / "0", tmp_path / "out")


def test_old_checkpoints_go_only_once_the_new_one_is_whole(tmp_path, monkeypatch):
    for step in (1, 2):
        save_checkpoint(tmp_path, small(step), keep=1)
    assert names(tmp_path) == ["step-000002"]
    seen = []
    monkeypatch.setattr(module.shutil, "rmtree", lambda p, **_: seen.append(names(tmp_path)))
    save_checkpoint(tmp_path, small(3), keep=1)
    assert seen[-1] == ["step-000002", "step-000003"]
    assert load_checkpoint(tmp_path, key="key").step == 3


def test_what_a_kill_before_pruning_left_is_removed_by_the_next_save(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, small(step), keep=3)
    (tmp_path / ".step-000007.partial").mkdir()
    (tmp_path / "step-000002" / "state.json").unlink()  # killed while it was being removed
    save_checkpoint(tmp_path, small(4), keep=2)
    assert names(tmp_path) == ["step-000003", "step-000004"]


def test_a_torn_checkpoint_of_a_later_step_does_not_drive_out_the_whole_ones(tmp_path):
    for step in (2, 9):
        save_checkpoint(tmp_path, small(step), keep=2)
    truncate(tmp_path / "step-000009" / "model.safetensors")
    assert load_checkpoint(tmp_path, key="key").step == 2
    save_checkpoint(tmp_path, small(3), keep=2)
    assert names(tmp_path) == ["step-000002", "step-000003"]


def test_a_file_of_a_checkpoints_name_is_no_checkpoint(tmp_path):
    (tmp_path / "step-000001").write_text("a note")
    save_checkpoint(tmp_path, small(2), keep=1)
    assert load_checkpoint(tmp_path, key="key").step == 2
    assert names(tmp_path) == ["step-000001", "step-000002"]


@pytest.fixture
def small_files():
    """Let files grow to 4 KB only: the error is that of a full disk but for its number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, small_files):
    save_checkpoint(tmp_path, replace(small(1), tensors={"model": {}}), keep=1)
    with pytest.raises(StudyError, match=r"step-000002: cannot be written \(.*File too large"):
        save_checkpoint(tmp_path, small(2), keep=1)
    assert names(tmp_path) == ["step-000001"]
    assert load_checkpoint(tmp_path, key="key").step == 1
