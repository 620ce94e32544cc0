"""How far long work has come: a bar on a terminal, elsewhere a line of the log now and then."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

logger = logging.getLogger(__name__)
EVERY = 30.0
"""Seconds between lines of the log."""
BRIEF = 2.0
"""Seconds of work that leave no bar behind."""
SPAN = 3600.0
"""Seconds over which the rate is taken, so that steps of minutes have one too."""


class RateColumn(ProgressColumn):
    """Shows how many units a second are done."""

    def render(self, task: Task) -> Text:
        """Return the rate."""
        return Text(rate(task))


def rate(task: Task) -> str:
    """Return how many units a second are done; empty before the second one."""
    return "" if task.speed is None else f"{task.speed:.3g}/s"


@contextmanager
def progress_bar(what: str, total: int, done: int = 0) -> Iterator[Callable[[int, str], None]]:
    """Yield ``advance(count, note)``, which says how far the work has come.

    A terminal's stderr shows a bar; without one, this module's logger tells the same at most every
    ``EVERY`` seconds. Of several processes the first alone does.

    Args:
        what: What is being done, in a word or two.
        total: Number of units when finished.
        done: Units already done by an earlier run.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        RateColumn(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", table_column=Column()),  # it alone may break into lines
    )
    first = os.environ.get("RANK", "0") == "0"
    shown = first and sys.stderr.isatty()
    with Progress(
        *columns,
        console=Console(stderr=True),
        disable=not shown,
        speed_estimate_period=SPAN,
        get_time=time.monotonic,  # the clock of the lines below
    ) as progress:
        number = progress.add_task(what, total=total, completed=done, note="")
        began = told = time.monotonic()

        def advance(count: int, note: str = "") -> None:
            nonlocal told
            progress.update(number, advance=count, note=note)
            if first and not shown and time.monotonic() - told >= EVERY:
                told = time.monotonic()
                logger.info("%s", _line(progress.tasks[0]))

        yield advance
        progress.live.transient = time.monotonic() - began < BRIEF


def _line(task: Task) -> str:
    """Return what a bar would show, in words."""
    left = "" if task.time_remaining is None else f", {_clock(task.time_remaining)} left"
    parts = (
        f"{task.description}: {task.completed:.0f} of {task.total:.0f}",
        rate(task),
        f"{_clock(task.elapsed or 0)} gone{left}",
        task.fields["note"],
    )
    return "  ".join(p for p in parts if p)


def _clock(seconds: float) -> timedelta:
    return timedelta(seconds=round(seconds))
