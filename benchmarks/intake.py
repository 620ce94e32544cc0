"""Times an import of many small images with one process and two, and measures its memory.

    python benchmarks/intake.py [ROWS] [SIDE]

The images are a thousand different ones under as many names as there are rows (hard links), in a
temporary folder. Memory is what the processes hold together, sampled ten times a second; pages that
they share count once for each. The last line kills an import in the middle and repeats it.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairgen.files.image import write_image

DIFFERENT = 1000
KIB = os.sysconf("SC_PAGE_SIZE") / 1024


@dataclass(frozen=True)
class Spent:
    """Holds a run's seconds by the clock and of the processor, and the most MiB that it held.

    The first process alone, and all of them together.
    """

    seconds: float
    processor: float
    first: float
    together: float


def make_release(root: Path, rows: int, side: int) -> None:
    """Write images and their table."""
    lines = ["file,patient,sex,finding"]
    for i in range(min(rows, DIFFERENT)):
        values = np.random.default_rng(i).normal(120, 30, (side // 4, side // 4))
        smooth = np.kron(values, np.ones((4, 4))).clip(0, 255).astype(np.uint8)
        write_image(root / "images" / f"{i}.png", smooth[:, :, None])
    for i in range(rows):
        if i >= DIFFERENT:
            (root / "images" / f"{i}.png").hardlink_to(root / "images" / f"{i % DIFFERENT}.png")
        lines.append(f"{i}.png,p{i // 4},{'FM'[i % 2]},finding {i % 5}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")


def resident(pid: int) -> list[float]:
    """Return the MiB of a process and of those that it started."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        own = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pages * KIB / 1024, *(m for child in own for m in resident(int(child)))]


def run(root: Path, out: str, workers: int, stop_after: float | None = None) -> Spent:
    """Import the release; kill the import if it takes longer than wished."""
    command = (
        *(sys.executable, "-m", "fairgen", "import", "table", str(root / "table.csv")),
        *("--images", str(root / "images"), "--file-column", "file", "--subject-column"),
        *("patient", "--attribute", "sex", "--label", "finding", "--modality", "chest"),
        *("--workers", str(workers), "--out", str(root / out)),
    )
    began, worked, first, together = time.perf_counter(), processor(), 0.0, 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:  # noqa: S603
        while child.poll() is None:
            found = resident(child.pid)
            first, together = max(first, *found[:1], 0), max(together, sum(found))
            if stop_after is not None and time.perf_counter() - began > stop_after:
                child.kill()
            time.sleep(0.1)
    if child.returncode and stop_after is None:
        raise RuntimeError(f"the import ended with status {child.returncode}")
    return Spent(time.perf_counter() - began, processor() - worked, first, together)


def processor() -> float:
    """Return the seconds of a processor that ended processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(rows: int = 100_000, side: int = 64) -> None:
    """Print rows a second and memory for one process and two, and after a kill."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_release(root, rows, side)
        took = 0.0
        for workers in (1, 2):
            spent = run(root, f"out{workers}", workers)
            took = spent.seconds
            sys.stdout.write(
                f"{workers} process{'es' * (workers > 1)}: {rows / took:,.0f} rows/s "
                f"({took:.0f} s, {spent.processor:.0f} s of a processor), "
                f"{spent.first:,.0f} MiB, with its helpers {spent.together:,.0f}\n"
            )
            sys.stdout.flush()
        killed = run(root, "again", 2, stop_after=took / 2)
        again = run(root, "again", 2)
        sys.stdout.write(
            f"killed after {killed.seconds:.0f} s, repeated: {again.seconds:.0f} s more\n"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
