"""Progress bars on the terminal; silent where there is none."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def progress_bar(what: str, total: int, done: int = 0) -> Iterator[Callable[[int, str], None]]:
    """Yield ``advance(count, note)``, which moves a bar on stderr if that is a terminal.

    Args:
        what: What is being done, in a word or two.
        total: Number of units when finished.
        done: Units already done by an earlier run.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(
        *columns, console=Console(stderr=True), disable=not sys.stderr.isatty()
    ) as progress:
        task = progress.add_task(what, total=total, completed=done, note="")

        def advance(count: int, note: str = "") -> None:
            progress.update(task, advance=count, note=note)

        yield advance
