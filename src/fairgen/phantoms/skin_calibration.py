"""How the skin oracle turns pixels into estimates, and what it learns from phantoms of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter, maximum_filter

from fairgen.cohort.schema import Group
from fairgen.cohort.seed import derive
from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.reader import PixelReader, fit_lines, fit_reader
from fairgen.phantoms.scaling import READING, canvas
from fairgen.phantoms.skin_anatomy import TONE_ANGLES
from fairgen.phantoms.skin_colour import lab_from_pixels, typology_angle
from fairgen.phantoms.skin_diseases import LESIONS
from fairgen.phantoms.skin_pixels import Lab, readings, skin_surface
from fairgen.phantoms.skin_render import develop, draw, scene
from fairgen.phantoms.skin_truth import (
    SIGNS,
    Shares,
    areas,
    contrast,
    described,
    sharpness,
    visible,
)
from fairgen.phantoms.wear import worn

EXAMPLES = 10
"""Phantoms of each group on which the oracle is calibrated; no cohort has their seeds."""

PIXELS = 200
"""Pixels of each of them."""


@dataclass(frozen=True)
class Calibration:
    """Holds what the oracle learned from phantoms of its own.

    Attributes:
        reader: Tells signs in pixels.
        lines: Offset and slope, by quantity, that turn a reading into an estimate.
    """

    reader: PixelReader
    lines: Mapping[str, tuple[float, float]]


def estimates(lab: Lab, surface: Lab, reader: PixelReader) -> dict[str, float]:
    """Return the measures of an image before calibration."""
    shares = reader.shares(readings(lab, surface))
    change = lab - surface
    lightness, _, b = surface.mean(axis=(1, 2))
    return {
        "ita": typology_angle(float(lightness), float(b)),
        **areas(shares),
        **contrast(change, shares),
        "border_sharpness": sharpness(np.sqrt((1 - shares[-1]) * relief(change, shares)), 0.6),
        "papule_count": peaks(shares[SIGNS.index("papules")], 1.0, 0.30, 0.40),
        "vesicle_count": peaks(shares[SIGNS.index("vesicles")], 0.6, 0.05, 0.30),
    }


def relief(change: Lab, shares: Shares) -> Float[np.ndarray, "n n"]:
    """Return how far each pixel differs from skin, as a share of what the lesion does."""
    size = np.sqrt(np.sum(gaussian_filter(change, (0, 1, 1)) ** 2, axis=0))
    weight = (1 - shares[-1]) ** 2
    typical = float((weight * size).sum() / max(float(weight.sum()), 1.0))
    return np.asarray(np.clip(size / max(typical, 1.0) - 0.25, 0, 0.75) / 0.75)


def peaks(share: Float[np.ndarray, "n n"], blur: float, faint: float, clear: float) -> float:
    """Return how many separate places show a sign; one between faint and clear counts in part."""
    smooth = gaussian_filter(share, blur)
    window = 5 if blur >= 1 else 3
    top = smooth == maximum_filter(smooth, window)
    return float(np.sum(top * np.clip((smooth - faint) / (clear - faint), 0, 1)))


@lru_cache(maxsize=1)
def calibration() -> Calibration:
    """Return the calibration; the first call renders phantoms for it, which takes seconds."""
    rows, truths, weights, seen = [], [], [], []
    for specimen, rng in _examples():
        patient, lesion, camera = scene(specimen)
        sheet = draw(specimen, patient, lesion, canvas(READING))
        lab = lab_from_pixels(worn(develop(sheet, camera, READING, specimen.seed), rng))
        surface, _ = skin_surface(lab)
        truth = visible(sheet)
        weight = (1.08 - truth[-1]).ravel()
        chosen = rng.choice(weight.size, PIXELS, replace=False, p=weight / weight.sum())
        rows.append(readings(lab, surface).reshape(-1, weight.size)[:, chosen].T)
        truths.append(truth.reshape(len(SIGNS), -1)[:, chosen].T)
        weights.append(1 / weight[chosen])
        seen.append((lab, surface, described(patient, lesion, sheet)))
    reader = fit_reader(np.concatenate(rows), np.concatenate(truths), np.concatenate(weights))
    found = [(estimates(lab, surface, reader), truth) for lab, surface, truth in seen]
    return Calibration(reader, fit_lines(found))


def _examples() -> Iterator[tuple[Specimen, np.random.Generator]]:
    """Yield the phantoms of the calibration."""
    for tone in TONE_ANGLES:
        for disease in LESIONS:
            for i in range(EXAMPLES):
                seed = derive(0, "skin calibration", tone, disease, i)
                subject = f"calibration-{tone}-{disease}-{i}"
                yield (
                    Specimen(Group((tone,), disease), subject, i, seed),
                    np.random.default_rng(seed),
                )
