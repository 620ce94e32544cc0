"""Draws the README's picture from a finished demo run: real and generated images of one subgroup.

Usage: python scripts/demo_picture.py runs/demo docs/images/demo.png [SUBGROUP]
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fairgen.files.folder import CohortFolder, read_cohort
from fairgen.files.image import read_image

COLUMNS = 5


def strip(folder: CohortFolder, subgroup: str, label: str, split: str) -> np.ndarray:
    """Return the first images of a group side by side."""
    group = folder.cohort.schema.group(f"{subgroup}|{label}")
    chosen = [r for r in folder.cohort.records if r.group == group and r.split == split]
    images = [read_image(folder.path(r), size=64) for r in chosen[:COLUMNS]]
    blank = np.full((64, 64, 3), 255, np.uint8)
    return np.concatenate([*images, *[blank] * (COLUMNS - len(images))], axis=1)


def main(run: Path, out: Path, subgroup: str) -> None:
    """Write the picture."""
    real = read_cohort(run / "cohort")
    labels = real.cohort.schema.label.levels
    parts = {
        f"phantoms ({subgroup} skin)": (real, "train"),
        "sd": (read_cohort(run / "seed0/sd/synthetic"), ""),
        "fairgen": (read_cohort(run / "seed0/fairgen/synthetic"), ""),
    }
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    for axes, (title, (folder, split)) in zip(figure.subplots(1, 3), parts.items(), strict=True):
        rows = [strip(folder, subgroup, label, split) for label in labels]
        axes.imshow(np.concatenate(rows), interpolation="nearest")
        axes.set_title(title)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        if split:
            axes.set_yticks([32 + 64 * i for i in range(len(labels))], labels)
            axes.tick_params(length=0)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80, bbox_inches="tight")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "dark")
