"""SIGTERM, which clusters send before they take a machine: acted on between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator

AGREE_EVERY = 10
"""Steps after which several processes ask each other; on a GPU each time waits for the device."""


@dataclass
class Stop:
    """Says whether SIGTERM has come to this process; asked again, nothing more happens.

    Attributes:
        asked: Whether it has.
    """

    asked: bool = False

    def agreed(self, accelerator: Accelerator, done: int) -> bool:
        """Return whether all processes are to stop after ``done`` steps; the same for each of them.

        One process stops after the step in which it was asked to; several stop, if any of them was
        asked, after the next step whose number ``AGREE_EVERY`` divides.
        """
        if accelerator.num_processes == 1:
            return self.asked
        if done % AGREE_EVERY:
            return False
        asked = torch.tensor([float(self.asked)], device=accelerator.device)
        return bool(accelerator.reduce(asked, "sum").item() > 0)


@contextmanager
def terminations() -> Iterator[Stop]:
    """Yield what SIGTERM sets while the block lasts; outside the main thread it is left alone."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(*_: Any) -> None:  # noqa: ANN401 - the signal and where it struck
        stop.asked = True

    previous = signal.signal(signal.SIGTERM, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if previous is None else previous)
