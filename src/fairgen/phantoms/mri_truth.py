"""The true anatomy of a brain phantom, read from its drawing before the scan."""

from collections.abc import Mapping

import numpy as np

from fairgen.phantoms.mri_anatomy import Scan, State
from fairgen.phantoms.mri_render import draw, scene
from fairgen.phantoms.mri_sheet import TISSUES, Shares, Sheet
from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.scaling import READING, area_weights, canvas


def visible(drawing: Sheet) -> Shares:
    """Return which share of each pixel is which tissue, at the size at which oracles read."""
    smaller = area_weights(drawing.side, READING)
    return np.asarray(smaller @ drawing.shares @ smaller.T)


def anatomy(specimen: Specimen) -> Mapping[str, float]:
    """Return the true anatomy of a specimen, under the names that ``measure`` uses.

    ``brain_area`` is the share of the image within the outline; ``ventricle_ratio`` (temporal
    horns included), ``parenchyma`` (all that is not fluid), ``hippocampus`` and ``temporal_horn``
    are shares of that area, and zero where the slice does not meet them; ``lesions`` is a share of
    the white matter. ``sulcal_width`` (mean by length) and ``cortical_thickness`` are percent of
    the image's side. ``grey_white_contrast`` is one less the cortex's brightness over white
    matter's.
    """
    patient, brain, taken = scene(specimen)
    return described(brain, taken, draw(specimen, patient, brain, taken, canvas(READING)))


def described(brain: State, taken: Scan, drawing: Sheet) -> dict[str, float]:
    """Return the anatomy of a slice that is drawn on a sheet."""
    return {
        **areas(visible(drawing)),
        "sulcal_width": 100 * drawing.width,
        "cortical_thickness": 100 * brain.cortex,
        "grey_white_contrast": 1 - taken.grey,
    }


def areas(shares: Shares) -> dict[str, float]:
    """Return what the areas of tissues are, as shares of one another."""
    mass = dict(zip(TISSUES, shares.mean(axis=(1, 2)).astype(float), strict=True))
    brain = max(1 - mass["outside"], 1e-3)
    lateral = mass["ventricles"] + mass["horns"]
    return {
        "brain_area": brain,
        "ventricle_ratio": lateral / brain,
        "parenchyma": 1 - (lateral + mass["sulci"]) / brain,
        "hippocampus": mass["hippocampus"] / brain,
        "temporal_horn": mass["horns"] / brain,
        "lesions": mass["lesions"] / max(mass["lesions"] + mass["white"], 1e-3),
    }
