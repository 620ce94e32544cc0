"""Draws the contact sheets of the built-in cohorts for docs/phantoms.

python scripts/phantom_picture.py docs/images
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from fairgen.phantoms import PHANTOMS
from fairgen.phantoms.phantom import Phantom, balanced

ACROSS = 5  # images of each group
SIZE = 96


def sheet(phantom: Phantom) -> Figure:
    """Return one row a label and one block a subgroup."""
    schema = phantom.schema
    shown = {g.key: [] for g in schema.groups()}
    for specimen in balanced(schema, ACROSS, "contact sheet"):
        shown[specimen.group.key].append(phantom.render(specimen, SIZE))
    labels, subgroups = schema.label.levels, schema.subgroups()
    figure = Figure(figsize=(0.62 * ACROSS * len(subgroups) + 1.9, 0.62 * len(labels) + 0.3))
    axes = figure.subplots(len(labels), len(subgroups), squeeze=False)
    for row, label in enumerate(labels):
        for column, subgroup in enumerate(subgroups):
            place = axes[row][column]
            place.imshow(
                np.concatenate(shown[f"{subgroup}|{label}"], axis=1).squeeze(), cmap="gray"
            )
            place.set_xticks([])
            place.set_yticks([])
            place.spines[:].set_visible(False)
            if row == 0:
                place.set_title(subgroup.replace("|", " / "), fontsize=9)
        axes[row][0].set_ylabel(
            label.replace(" ", "\n", 1), rotation=0, ha="right", va="center", fontsize=8
        )
    figure.tight_layout(pad=0.3, h_pad=0.1, w_pad=0.4)
    return figure


def main(folder: Path) -> None:
    """Write one picture a phantom that has anatomy."""
    mpl.rcParams["font.family"] = "DejaVu Sans"
    for phantom in PHANTOMS.values():
        if phantom.quantities:
            sheet(phantom).savefig(folder / f"phantom-{phantom.name}.png", dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
