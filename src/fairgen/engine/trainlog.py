"""The training's log: one JSON line a window of steps, and the same to the tracker."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fairgen.cohort.schema import Group
from fairgen.engine.loop import StepReport
from fairgen.engine.tracker import tell
from fairgen.engine.training import Training
from fairgen.files.atomic import write_text

logger = logging.getLogger(__name__)


class TrainLog:
    """Gathers the reports of a window of steps and writes their means.

    Values stay tensors until a window ends, so that no step waits for the device.
    """

    def __init__(self, path: Path, training: Training, groups: Sequence[Group]) -> None:
        self._path = path
        self._training = training
        self._keys = [g.key for g in groups]
        self._sums: dict[str, Any] = {}
        self._steps = 0
        self._draws = torch.zeros(len(groups), dtype=torch.long)
        self._expected = torch.zeros(len(groups), dtype=torch.float64)
        self._since = time.monotonic()
        self._timed = 0
        self._reported = 0
        self.note = ""

    def add(self, report: StepReport) -> None:
        """Take up one step's report."""
        seen = {"loss": report.loss, "grad_norm": report.grad_norm}
        seen |= {f"parts.{name}": value for name, value in report.parts.items()}
        seen |= {f"preference.{name}": value for name, value in report.figures.items()}
        for name, value in seen.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        groups = self._training.rows.groups[report.rows]
        self._draws += torch.bincount(groups, minlength=len(self._draws))
        self._expected += len(report.rows) * report.shares
        self._steps += 1
        self._timed += 1
        self._rate = report.learning_rate

    def flush(self, done: int, probed: Mapping[str, Mapping[str, float]]) -> None:
        """Write the window's means as the line of step ``done`` and begin a new window.

        Args:
            done: Steps done.
            probed: What was measured now; empty where nothing was.
        """
        accelerator = self._training.accelerator
        keys = list(self._sums)
        stacked = torch.stack([torch.as_tensor(self._sums[k]).float() for k in keys])
        means = accelerator.reduce(stacked.to(accelerator.device), "mean") / self._steps
        values = dict(zip(keys, means.tolist(), strict=True))
        speed = self._timed * self._training.global_batch / (time.monotonic() - self._since)
        line: dict[str, Any] = {
            "step": done,
            "loss": values["loss"],
            "parts": _under("parts.", values),
            "lr": self._rate,
            "grad_norm": values["grad_norm"],
            "images_per_second": round(speed, 2),
            "draws": dict(zip(self._keys, self._draws.tolist(), strict=True)),
            "expected_draws": self._by_group(self._expected),
            **{name: dict(found) for name, found in probed.items()},
        }
        hard = self._training.adaptive.hardness()
        if hard is not None:
            line["hardness"] = self._by_group(hard)
        if told := _under("preference.", values):
            line["preference"] = told
        self.note = _note(line)
        self._write(line)
        self._sums, self._steps, self._timed = {}, 0, 0
        self._draws = torch.zeros_like(self._draws)
        self._expected = torch.zeros_like(self._expected)
        self._since = time.monotonic()

    def _by_group(self, values: Tensor) -> dict[str, float]:
        return {k: round(v, 4) for k, v in zip(self._keys, values.tolist(), strict=True)}

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._training.accelerator.is_main_process:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        if line["step"] > self._reported:
            tell(self._training.accelerator, line)

    def restore(self, step: int, *, reported: bool = False) -> None:
        """Drop the lines written after the checkpoint of ``step``, and those that are damaged.

        Args:
            step: Steps done.
            reported: Whether the tracker has the lines; it then gets none of those steps again.
        """
        if not (self._path.is_file() and self._training.accelerator.is_main_process):
            return
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        whole = [t for t in lines if t.endswith("\n")]  # a kill leaves at most half a last line
        steps = {text: _step_of(text) for text in whole}
        for number, text in enumerate(whole, start=1):
            if steps[text] is None:
                logger.warning("%s: line %d is damaged; dropped", self._path, number)
        if reported:
            self._reported = max((s for s in steps.values() if s is not None), default=0)
        write_text(self._path, "".join(t for t in whole if (steps[t] or inf) <= step))


def _note(line: Mapping[str, Any]) -> str:
    """Return the figures of a line in short."""
    parts = " + ".join(f"{name} {value:.3g}" for name, value in line["parts"].items())
    return (
        f"loss {line['loss']:.4f} = {parts}  rate {line['lr']:.2e}  "
        f"gradient {line['grad_norm']:.3g}  {line['images_per_second']:.3g} images/s"
    )


def _under(prefix: str, values: Mapping[str, float]) -> dict[str, float]:
    """Return the values whose name begins with the prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}


def _step_of(line: str) -> int | None:
    """Return the step of a line, or nothing if it is none of the log."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    step = found.get("step") if isinstance(found, dict) else None
    return step if isinstance(step, int) else None
