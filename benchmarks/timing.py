"""Times programs in turns, so that a busy machine slows all of them alike."""

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch

BAR = re.compile(rb"Steps:[^\r\n]*?(\d+)/\d+ \[")  # the progress bar of diffusers' scripts


@dataclass(frozen=True)
class Spent:
    """Holds the seconds of one step: by the clock, and of the processor."""

    wall: float
    processor: float


Runner = Callable[[int], Spent]  # makes a step that is not timed, then times as many as asked for


@dataclass(frozen=True)
class Rounds:
    """Holds what a step of one program took in each round."""

    spent: tuple[Spent, ...]

    @property
    def fastest(self) -> float:
        """Return the seconds of a step in the fastest round."""
        return min(s.wall for s in self.spent)

    def over(self, other: "Rounds") -> tuple[float, float, float]:
        """Return this program's time relative to another's, in three ways.

        By the clock from each one's fastest round, by the clock in the median round, and by
        processor time in the median round.
        """
        pairs = list(zip(self.spent, other.spent, strict=True))
        return (
            self.fastest / other.fastest,
            median(own.wall / theirs.wall for own, theirs in pairs),
            median(own.processor / theirs.processor for own, theirs in pairs),
        )


def take_turns(runners: Mapping[str, Runner], rounds: int, steps: int) -> dict[str, Rounds]:
    """Return what each program's steps took, one program after the other in every round."""
    found: dict[str, list[Spent]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, run in runners.items():
            found[name].append(run(steps))
    return {name: Rounds(tuple(spent)) for name, spent in found.items()}


def here(step: Callable[[], object]) -> Runner:
    """Return what times a step of this process."""

    def run(count: int) -> Spent:
        step()
        wall, processor = _now(), time.process_time()
        for _ in range(count):
            step()
        return Spent((_now() - wall) / count, (time.process_time() - processor) / count)

    return run


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


@contextmanager
def paused(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Runner]:
    """Start a program that shows its steps by a bar, and let it stand still unless it is timed.

    Its start is not timed: it is stopped (SIGSTOP) after its second step, goes on (SIGCONT) for
    each round, and a round is timed from one line of its bar to another.
    """
    with subprocess.Popen(  # noqa: S603 - the user names the program
        command, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as child:
        try:
            bar = _Bar(child)
            bar.wait(2)
            child.send_signal(signal.SIGSTOP)
            yield partial(_run, child, bar)
        finally:
            child.kill()


def _run(child: "subprocess.Popen[bytes]", bar: "_Bar", count: int) -> Spent:
    first = bar.latest() + 1
    child.send_signal(signal.SIGCONT)
    clock = (~child.pid << 3) | 2  # Linux's clock of another process's processor time
    bar.wait(first)
    wall, processor = time.perf_counter(), time.clock_gettime(clock)
    bar.wait(first + count)
    spent = time.perf_counter() - wall, time.clock_gettime(clock) - processor
    child.send_signal(signal.SIGSTOP)
    return Spent(*(s / count for s in spent))


class _Bar:
    """Reads the number of steps that a program says it has done."""

    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        if child.stderr is None:
            raise RuntimeError("the program's messages are not read")
        self._pipe = child.stderr.fileno()
        self._text = b""
        self._done = 0

    def wait(self, step: int) -> None:
        """Return as soon as a step is done."""
        while self._done < step:
            self._read()

    def latest(self) -> int:
        """Return the last step that a program which stands still has told of."""
        while select.select([self._pipe], [], [], 0.05)[0]:
            self._read()
        return self._done

    def _read(self) -> None:
        more = os.read(self._pipe, 65536)
        if not more:
            raise RuntimeError(f"the program ended early:\n{self._text.decode(errors='replace')}")
        self._text = (self._text + more)[-4000:]
        if found := BAR.findall(self._text):
            self._done = int(found[-1])
