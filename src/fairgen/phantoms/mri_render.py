"""Renders the brain phantom: draws the slice and scans it."""

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter

from fairgen.cohort.seed import derive
from fairgen.phantoms.fields import Field, axis
from fairgen.phantoms.mri_anatomy import Person, Scan, State, person, scan, state
from fairgen.phantoms.mri_sheet import TISSUES, Sheet, sheet
from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.scaling import area_weights, canvas


def render(specimen: Specimen, size: int) -> UInt8[np.ndarray, "size size 1"]:
    """Return the scan of a specimen.

    Args:
        specimen: Whose brain, and whether it is demented.
        size: Pixels a side, 32 to 512; the same scene at every size.

    Raises:
        CohortError: If the size is outside that range.
    """
    patient, brain, taken = scene(specimen)
    return develop(draw(specimen, patient, brain, taken, canvas(size)), taken, size, specimen.seed)


def scene(specimen: Specimen) -> tuple[Person, State, Scan]:
    """Return the patient, the state of the brain, and the scan of a specimen."""
    patient = person(specimen.subject, specimen.group.levels[0])
    rng = np.random.default_rng(derive(specimen.seed, "mri scene"))
    return patient, state(rng, patient, specimen.group.label), scan(rng)


def draw(specimen: Specimen, patient: Person, brain: State, taken: Scan, n: int) -> Sheet:
    """Return the slice of a specimen, ``n`` pixels a side."""
    rng = np.random.default_rng(derive(specimen.seed, "mri texture"))
    return sheet(patient, brain, taken, rng, n)


def intensities(taken: Scan) -> Float[np.ndarray, " 9"]:
    """Return how bright each tissue is, relative to white matter."""
    grey, fluid = taken.grey, taken.fluid
    bright = {
        "outside": 0.0,
        "ventricles": fluid,
        "horns": fluid,
        "sulci": fluid,
        "hippocampus": grey + 0.02,
        "cortex": grey,
        "nuclei": grey + 0.10,
        "lesions": grey - 0.10,
        "white": 1.0,
    }
    return np.array([bright[name] for name in TISSUES], np.float32)


def signal(drawing: Sheet, taken: Scan) -> Field:
    """Return the signal of a slice before blur and noise, in grey levels."""
    u = 2 * axis(drawing.side) - 1
    tissue = np.tensordot(intensities(taken), drawing.shares, 1) * (1 + drawing.texture)
    across = taken.slope[0] * u + taken.slope[1] * u[:, None]
    bowl = taken.bowl * (u**2 + u[:, None] ** 2)
    return np.asarray(taken.white * tissue * (1 + across + bowl), np.float32)


def develop(drawing: Sheet, taken: Scan, size: int, seed: int) -> UInt8[np.ndarray, "size size 1"]:
    """Return the image of a slice that is drawn at ``size`` or larger."""
    seen = signal(drawing, taken)
    if drawing.side > size:
        smaller = area_weights(drawing.side, size)
        seen = smaller @ seen @ smaller.T
    seen = gaussian_filter(seen, taken.blur * size)
    rng = np.random.default_rng(derive(seed, "mri grain", size))
    strength = taken.grain * min(1.0, (size / 64) ** 0.5) * np.minimum(seen / 20, 1)
    noisy = seen + strength * rng.standard_normal(seen.shape, dtype=np.float32)
    return np.asarray(np.clip(noisy + 0.5, 0, 255).astype(np.uint8)[..., None])
