"""Between two lines of the log a training step never waits for its device.

The device here is PyTorch's ``meta``: its tensors hold no values, so that whatever would make the
host wait for one (``item``, ``tolist``, ``cpu``, a condition, indexing by a mask) raises an error,
while host tensors stay what they are. What it would let pass, host tensors that enter the device's
work without ``moved``, a dispatch mode sees: each would be a copy that the host waits for.
"""

import inspect
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import PartialState
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fairgen.engine import adaptive, pairs
from fairgen.engine import prepare as prepare_module
from fairgen.engine.device import OnItsWay, moved
from fairgen.engine.latents import embedded, encode
from fairgen.engine.loop import training_steps
from fairgen.engine.pairs import Feedback
from fairgen.engine.prepare import prepare
from fairgen.engine.trainlog import TrainLog
from fairgen.methods import METHODS
from fairgen.objectives import Alignment, Diversity

HOST, DEVICE = torch.device("cpu"), torch.device("meta")
NAMES = ("sd", "cbrs", "sqrs", "cbdm", "fairgen")


def method(name, **change):
    return METHODS[name].model_copy(update=change)


CASES = {
    **{name: (METHODS[name].without_preferences, {}) for name in NAMES},
    **{
        f"{name}, pairs": (method(name, alignment=Alignment(reward="margin")), {}) for name in NAMES
    },
    "fused": (method("fairgen", diversity=Diversity(gamma=0.25, relative=True, rare=True)), {}),
    "safeguard": (method("sd", alignment=Alignment(reward="none", safeguard=True)), {}),
    "dpo": (method("sd", alignment=Alignment(variant="diffusion-dpo", reward="none")), {}),
    "options": (
        method("fairgen", alignment=Alignment(variant="diffusion-dpo", reward="none")),
        {"accumulation": 2, "min_snr_gamma": 5.0, "lora_rank": 2, "prediction": "v_prediction"},
    ),
}


class Crossings(TorchDispatchMode):
    """Notes operations that take a host tensor, more than one number, to the device."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        found = operation(*args, **(kwargs or {}))
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        away = [t for t in (*given, *tree_leaves(found)) if getattr(t, "device", HOST) == DEVICE]
        if away and any(t.device == HOST and t.ndim for t in given) and not inside(moved):
            self.seen.append(f"{operation} in {place()}")
        return found


def inside(function):
    own, frame = inspect.unwrap(function).__code__, sys._getframe()
    while frame is not None and frame.f_code is not own:
        frame = frame.f_back
    return frame is not None


def place():
    """Return where in this project the host is now."""
    frame = sys._getframe(2)
    while "/fairgen/" not in frame.f_code.co_filename:
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


@pytest.fixture
def on_device(cohort, base, quick, said, tmp_path, monkeypatch):
    """Return what prepares a training on the device; only encoders work on the host."""

    def at_home(work):
        return lambda what, given, how: work(what, given, replace(how, device=HOST))

    def run(method, **change):
        PartialState()
        monkeypatch.setitem(PartialState._shared_state, "device", DEVICE)
        monkeypatch.setattr(prepare_module, "encode", at_home(encode))
        monkeypatch.setattr(prepare_module, "embedded", at_home(embedded))
        monkeypatch.setattr(pairs, "encode", at_home(encode))
        # a copy that nobody waits for: its arrival is awaited one step later
        monkeypatch.setattr(adaptive, "sent", lambda t: OnItsWay(torch.zeros(t.shape)))
        settings = quick.model_copy(update={"optimizer": "adamw-plain", **change})
        return prepare(
            cohort, method=method, base=base, settings=settings, seed=0, out=tmp_path,
            feedback=None if method.alignment is None else Feedback(said),
        )  # fmt: skip

    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)  # the optimizer's stay the model's
    yield run
    torch.__future__.set_swap_module_params_on_conversion(before)


@pytest.mark.parametrize("name", CASES)
def test_no_step_waits_for_the_device(name, on_device, cohort, tmp_path):
    recipe, change = CASES[name]
    training = on_device(recipe, **change)
    log = TrainLog(tmp_path / "log.jsonl", training, cohort.cohort.schema.groups())
    with Crossings() as crossings:
        for report in training_steps(training, 4):
            log.add(report)
    assert crossings.seen == []
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        log.flush(6, {})  # the line itself does wait
