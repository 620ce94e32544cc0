"""Images brought into a folder by several processes; a killed run goes on where its notes end.

The journal holds one line an image, in the order of the images, so that its length says where to go
on.
"""

import json
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import NamedTuple

from fairgen.errors import CohortError, StudyError
from fairgen.files.atomic import write_errors
from fairgen.files.image import write_image
from fairgen.files.progress import progress_bar
from fairgen.intake.identity_text import burned_in_text
from fairgen.intake.nifti import Place
from fairgen.intake.pixels import Decoding, facts_of, fitted, read_pixels

JOURNAL = ".journal"
BATCH = 16


class Job(NamedTuple):
    """Says which image goes where.

    Attributes:
        path: The file.
        at: Which slice of a volume.
        image: Place in the cohort's folder.
    """

    path: Path
    at: Place | None
    image: str


class Outcome(NamedTuple):
    """Says what became of an image.

    Attributes:
        kept: Whether it is in its place.
        note: Why it is not, or why it seems to show words; empty if it does not.
    """

    kept: bool
    note: str = ""


def bring(root: Path, jobs: Sequence[Job], how: Decoding, workers: int) -> Iterator[Outcome]:
    """Yield what became of each image, in order; those of an earlier, killed call are not read.

    Args:
        root: Folder to fill.
        jobs: Images, in the same order at every call.
        how: How they are read.
        workers: Number of processes; with 1, or a handful of images, this one does it.

    Raises:
        MissingExtra: If a package is needed and not installed.
        StudyError: If something cannot be written, or a process dies.
    """
    journal = root / JOURNAL
    done = noted(journal)
    yield from done
    with progress_bar("import", len(jobs), len(done)) as advance:
        began, count = monotonic(), 0
        for found in outcomes(root, jobs[len(done) :], how, workers):
            note(journal, found)
            count += len(found)
            advance(len(found), f"{count / (monotonic() - began):.0f}/s")
            yield from found


def tidy(root: Path) -> None:
    """Remove the journal, and the half-written files of killed processes.

    Raises:
        StudyError: If they cannot be removed.
    """
    with write_errors(root):
        for left in (root / JOURNAL, *root.glob("images/.*.partial")):
            left.unlink(missing_ok=True)


def noted(journal: Path) -> list[Outcome]:
    """Return what a journal says, without a last line that a killed process left half-written."""
    with write_errors(journal):
        text = journal.read_text() if journal.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            os.truncate(journal, len(whole.encode()))
    return [Outcome(*json.loads(line)) for line in whole.splitlines()]


def note(journal: Path, found: Sequence[Outcome]) -> None:
    """Add what became of some images to a journal."""
    with write_errors(journal), journal.open("a") as lines:
        lines.writelines(f"{json.dumps(outcome)}\n" for outcome in found)


def outcomes(
    root: Path, jobs: Sequence[Job], how: Decoding, workers: int
) -> Iterator[list[Outcome]]:
    """Yield what became of the images, batch by batch and in order.

    Raises:
        MissingExtra: If a package is needed and not installed.
        StudyError: If something cannot be written, or a process dies.
    """
    do = partial(bring_batch, root, how)
    parts = (jobs[i : i + BATCH] for i in range(0, len(jobs), BATCH))
    if workers == 1 or len(jobs) <= BATCH:
        yield from map(do, parts)
        return
    with pool(workers) as processes:
        try:
            yield from processes.map(do, parts)
        except BrokenProcessPool as error:
            raise StudyError(
                "a process that reads images died, perhaps for want of memory; repeat the import "
                "with fewer workers, and it goes on from here"
            ) from error


@contextmanager
def pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yield processes that start afresh, and end with this one even if it is killed."""
    processes = ProcessPoolExecutor(workers, get_context("spawn"), initializer=follow_parent)
    try:
        yield processes
    finally:
        processes.shutdown(cancel_futures=True)


def follow_parent() -> None:
    """Leave Ctrl-C to the process that started this one, and end as soon as that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=end_after_parent, daemon=True).start()


def end_after_parent() -> None:
    """Wait for the end of the process that started this one, and end at once."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def bring_batch(root: Path, how: Decoding, jobs: Sequence[Job]) -> list[Outcome]:
    """Bring some images in and return what became of each."""
    return [bring_image(root, how, job) for job in jobs]


def bring_image(root: Path, how: Decoding, job: Job) -> Outcome:
    """Write an image's pixels anew, without its file's headers, and return what became of it.

    Raises:
        MissingExtra: If a package is needed and not installed.
        StudyError: If it cannot be written.
    """
    try:
        pixels = read_pixels(job.path, job.at, how)
        suspicion = burned_in_text(pixels, facts=facts_of(job.path)) if how.flag_text else None
        pixels = fitted(pixels, how)
    except CohortError as error:
        return Outcome(False, str(error))
    write_image(root / job.image, pixels)
    return Outcome(True, suspicion.reason if suspicion else "")
