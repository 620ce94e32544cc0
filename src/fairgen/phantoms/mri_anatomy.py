"""What the brain phantom knows about a patient, a session and a scan before it draws them.

Lengths are fractions of the image's side, angles radians, intensities shares of white matter's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from fairgen.cohort.seed import derive

YOUNGER, OLDER = "75 and under", "over 75"
HEALTHY, ILL = "nondemented", "demented"

# Mean, spread and bounds of the age in each band, in years.
AGES: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {YOUNGER: (69.0, 4.5, 60, 75), OLDER: (83.0, 5.0, 76, 96)}
)


@dataclass(frozen=True)
class Person:
    """Describes what all images of one subject share.

    Attributes:
        age: Years.
        frailty: How much older than its age the brain looks, in standard deviations.
        width: Half the width of the head.
        length: Half its length.
        egg: How much wider it is behind than in front.
        bumps: Strength and phase of the outline's second, third and fifth harmonic.
        lean: How much larger the right side's spaces are than the left's, relative.
        vents: Inborn size of the ventricles, relative.
        furrows: Inborn width of the sulci, relative.
        mantle: Inborn thickness of the cortex, relative.
        memory: Inborn size of the hippocampus, relative.
        folds: Decides the pattern of the sulci.
    """

    age: float
    frailty: float
    width: float
    length: float
    egg: float
    bumps: tuple[tuple[float, float], ...]
    lean: float
    vents: float
    furrows: float
    mantle: float
    memory: float
    folds: int


@dataclass(frozen=True)
class State:
    """Describes a brain at one session, in one slice.

    Attributes:
        drop: How low the slice lies: 0 bodies of the ventricles, 1 hippocampus and midbrain.
        vents: Size of the ventricles, relative.
        sulcus: Mean width of the sulci.
        rim: Width of the space between cortex and outline.
        cortex: Thickness of the cortex.
        hippocampus: Size of the hippocampus, relative.
        horn: Size of the temporal horns, relative.
        lesions: Number of spots in the white matter; the last may be a faint one.
        caps: Strength of the lesions along the ventricles, 0 to 1.
    """

    drop: float
    vents: float
    sulcus: float
    rim: float
    cortex: float
    hippocampus: float
    horn: float
    lesions: float
    caps: float


@dataclass(frozen=True)
class Scan:
    """Describes how one image was taken.

    Attributes:
        turn: Rotation of the head.
        shift: Where its middle lies, from the image's.
        white: Intensity of white matter, of 255.
        grey: Intensity of the cortex, relative to white matter.
        fluid: Intensity of cerebrospinal fluid, relative to white matter.
        slope: Direction and strength of the uneven sensitivity across the image.
        bowl: How much brighter the rim is than the middle, relative.
        blur: Standard deviation of the blur.
        grain: Standard deviation of the noise, of 255.
    """

    turn: float
    shift: tuple[float, float]
    white: float
    grey: float
    fluid: float
    slope: tuple[float, float]
    bowl: float
    blur: float
    grain: float


def person(subject: str, band: str) -> Person:
    """Return the head of a subject; it depends on the identifier and the age band alone."""
    rng = np.random.default_rng(derive(0, "mri person", subject, band))
    mean, spread, low, high = AGES[band]
    size = np.exp(np.clip(rng.normal(0, 0.035), -0.09, 0.07))
    aspect = np.exp(np.clip(rng.normal(0, 0.025), -0.06, 0.06))
    vents, furrows, mantle, memory = np.exp(rng.normal(0, (0.17, 0.11, 0.05, 0.08)))
    return Person(
        age=float(np.clip(rng.normal(mean, spread), low, high)),
        frailty=float(rng.normal(0, 0.5)),
        width=float(0.360 * size * aspect),
        length=float(min(0.437 * size / aspect, 0.458)),
        egg=float(rng.normal(0.13, 0.03)),
        bumps=tuple((float(rng.normal(0, 0.008)), float(rng.uniform(0, 6.3))) for _ in range(3)),
        lean=float(rng.normal(0, 0.07)),
        vents=float(vents),
        furrows=float(furrows),
        mantle=float(mantle),
        memory=float(memory),
        folds=derive(0, "mri folds", subject, band),
    )


def severity(rng: np.random.Generator, label: str, age: float) -> float:
    """Return how far disease has gone; without dementia there may be a little, unnoticed.

    The older the patient, the less disease goes with dementia.

    Reference:
        Savva et al., "Age, neuropathology, and dementia", NEJM 360, 2009.
    """
    if label == HEALTHY:
        return float(abs(rng.normal(0, 0.16)))
    fading = np.clip(1.28 - 0.024 * (age - 69), 0.7, 1.5)
    return float(fading * np.clip(rng.gamma(5.0, 0.2), 0.25, 2.2))


def state(rng: np.random.Generator, patient: Person, label: str) -> State:
    """Return a brain at one session: shrunken by age, by frailty, and more by dementia."""
    ill = severity(rng, label, patient.age)
    aging = 0.55 * (patient.age - 72) / 10 + patient.frailty
    worn = aging + 1.9 * ill
    noise = np.exp(rng.normal(0, (0.05, 0.05, 0.02, 0.05, 0.10)))
    low = rng.random() < LOW_SLICES
    sulcus = 0.0098 * patient.furrows * np.exp(0.19 * worn) * noise[1]
    spots = rng.gamma(2.0, 1.1) * np.exp(0.6 * aging + 0.25 * ill)
    return State(
        drop=float(rng.uniform(0.8, 1.0) if low else rng.uniform(0.0, 0.32)),
        vents=float(np.clip(patient.vents * np.exp(0.21 * worn) * noise[0], 0.45, 2.6)),
        sulcus=float(np.clip(sulcus, 0.005, 0.024)),
        rim=float(np.clip(0.004 * np.exp(0.30 * worn), 0.001, 0.016)),
        cortex=float(0.0185 * patient.mantle * np.exp(-0.035 * aging - 0.15 * ill) * noise[2]),
        hippocampus=float(patient.memory * np.exp(-0.06 * aging - 0.30 * ill) * noise[3]),
        horn=float(np.clip(np.exp(0.22 * aging + 0.65 * ill) * noise[4], 0.4, 3.2)),
        lesions=float(min(spots, 16.0)),
        caps=float(np.clip(0.30 + 0.24 * aging + 0.12 * ill + rng.normal(0, 0.2), 0, 1)),
    )


LOW_SLICES = 0.38
"""Share of the slices that show hippocampus and midbrain; ours."""


def scan(rng: np.random.Generator) -> Scan:
    """Return how one image was taken."""
    dx, dy = np.clip(rng.normal(0, 0.007, 2), -0.014, 0.014)
    sx, sy = rng.normal(0, 0.06, 2)
    return Scan(
        turn=float(np.clip(rng.normal(0, 0.045), -0.11, 0.11)),
        shift=(float(dx), float(dy)),
        white=float(rng.uniform(195, 235)),
        grey=float(np.clip(rng.normal(0.69, 0.035), 0.58, 0.79)),
        fluid=float(rng.uniform(0.17, 0.27)),
        slope=(float(sx), float(sy)),
        bowl=float(rng.normal(0.03, 0.05)),
        blur=float(0.0036 * np.exp(rng.normal(0, 0.3))),
        grain=float(rng.uniform(1.5, 6.0)),
    )
