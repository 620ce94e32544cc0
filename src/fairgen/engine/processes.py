"""Work divided among the processes that a launcher such as ``accelerate launch`` started.

Alone, a process does all of the work. Each function here is called by every process, with the same
arguments, in the same order.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

T = TypeVar("T")
R = TypeVar("R")


def own_share(items: Sequence[T]) -> Sequence[T]:
    """Return the items that fall to this process, dealt out in turn."""
    state = PartialState()
    return items[state.process_index :: state.num_processes]


def shared(items: Sequence[T], work: Callable[[T], R]) -> list[R]:
    """Return what ``work`` gives for each item, in order; each process works on its share."""
    parts = gather_object([[work(item) for item in own_share(items)]])
    return [parts[i % len(parts)][i // len(parts)] for i in range(len(items))]


def by_main(work: Callable[[], R]) -> R:
    """Return, on every process, what ``work`` gives on the main one, which alone does it."""
    state = PartialState()
    found = [work() if state.is_main_process else None]
    return broadcast_object_list(found)[0]  # type: ignore[no-any-return]


def wait_for_all() -> None:
    """Return when every process has come this far."""
    PartialState().wait_for_everyone()
