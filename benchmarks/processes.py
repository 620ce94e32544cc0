"""Trains with one process and with two, in turns, and compares their images a second."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from fairgen.files.folder import CohortFolder


def speedup(folder: CohortFolder, base: str, batch: int, pairs: int) -> list[float]:
    """Return the images a second of two processes relative to one, a thread each, in each pair."""
    found = []
    for _ in range(pairs):
        one, two = (_images_per_second(folder, base, batch, count) for count in (1, 2))
        found.append(two / one)
    return found


def _images_per_second(folder: CohortFolder, base: str, batch: int, count: int) -> float:
    """Return the median of the log's windows, the first left out."""
    given = {
        "steps": 48, "batch_size": batch, "accumulation": 1, "log_every": 8,
        "probe_every": 0, "checkpoint_every": 0, "grid_columns": 0, "tracker": "none",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        command = [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(count),
            "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0",
            "-m", "fairgen", "train", "--method", "fairgen", "--cohort", str(folder.root),
            "--base", base, "--out", f"{place}/run",
            *(x for name, value in given.items() for x in ("--set", f"{name}={value}")),
        ]  # fmt: skip
        threads = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
        subprocess.run(command, env={**os.environ, **threads}, check=True, capture_output=True)  # noqa: S603 - our own program
        out = Path(place, "run")
        found = json.loads((out / "manifest.json").read_text())["global_batch"]
        if found != batch * count:
            raise RuntimeError(f"{found} images a step; expected {batch} of each of {count}")
        lines = [json.loads(t) for t in (out / "log.jsonl").read_text().splitlines()]
    return median(float(line["images_per_second"]) for line in lines[1:])
