"""Work divided among the processes that a launcher such as ``accelerate launch`` started.

Alone, a process does all of the work. Each function here is called by every process, with the same
arguments, in the same order.
"""

import atexit
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, parse_flag_from_env

from fairgen.files.progress import progress_bar

T = TypeVar("T")
R = TypeVar("R")
PAUSE = 0.5  # seconds


@cache
def this_process() -> PartialState:
    """Return this process's number, its device and how many there are, joined on the first call.

    By itself, accelerate joins no processes that lack a GPU.
    """
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    if cpu and parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
        state = PartialState(backend="gloo")  # told of a CPU, it would leave DeepSpeed out
    else:
        state = PartialState(cpu=cpu)
    atexit.register(leave)  # gloo may abort if it lives on past the end
    return state


def let_go() -> None:
    """Give the threads of gloo time to free what they did last, before their group is destroyed.

    That needs Python's lock. With PyTorch 2.13 a group that is destroyed meanwhile aborts, or waits
    for its threads while they wait for the lock.
    """
    if torch.distributed.is_initialized():
        time.sleep(PAUSE)


def leave() -> None:
    """Leave the other processes."""
    let_go()
    this_process().destroy_process_group()


def own_share(items: Sequence[T]) -> Sequence[T]:
    """Return the items that fall to this process, dealt out in turn."""
    state = this_process()
    return items[state.process_index :: state.num_processes]


def shared(items: Sequence[T], work: Callable[[T], R], *, what: str) -> list[R]:
    """Return what ``work`` gives for each item, in order; each process works on its share.

    Args:
        items: What to work on.
        work: What is done with one.
        what: The same in a word or two, for the progress bar.
    """
    own, found = own_share(items), []
    with progress_bar(what, len(own)) as advance:
        for item in own:
            found.append(work(item))
            advance(1, "")
    parts = gather_object([found])
    return [parts[i % len(parts)][i // len(parts)] for i in range(len(items))]


def by_main(work: Callable[[], R]) -> R:
    """Return, on every process, what ``work`` gives on the main one, which alone does it."""
    state = this_process()
    found = [work() if state.is_main_process else None]
    return broadcast_object_list(found)[0]  # type: ignore[no-any-return]


def wait_for_all() -> None:
    """Return when every process has come this far."""
    this_process().wait_for_everyone()
