"""Work done in threads beside the main one, such as writing files while the next are computed."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

THREADS = 2


@contextmanager
def background(waiting: int) -> Iterator[Callable[..., None]]:
    """Yield ``submit(work, *args)``, which has work done in a thread; all is done at the end.

    An error that work raises is raised by a later ``submit`` or at the end of the block. Work that
    was submitted is finished even then.

    Args:
        waiting: Most pieces of work that are under way; with more, ``submit`` waits for the oldest.
    """
    pending: deque[Future[Any]] = deque()

    def submit(work: Callable[..., object], *args: object) -> None:
        pending.append(pool.submit(work, *args))
        while pending and (len(pending) > waiting or pending[0].done()):
            pending.popleft().result()

    with ThreadPoolExecutor(THREADS) as pool:
        yield submit
        for future in pending:
            future.result()
