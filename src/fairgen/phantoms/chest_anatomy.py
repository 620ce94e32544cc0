"""What the chest phantom knows about a patient, a radiograph and its findings before it draws them.

Lengths are fractions of the image's side, angles radians. Left and right are the patient's: the
left lung lies on the right of the picture. A height in the lung is 0 at the apex and 1 at the
costophrenic angle, a reach is 0 at the mediastinum and 1 at the ribs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from fairgen.cohort.seed import derive

Marks = Float[np.ndarray, "_ 5"]

# Mean and spread of the thorax's half width, and of the cardiothoracic ratio.
BUILDS: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {"female": (0.322, 0.022, 0.455, 0.042), "male": (0.350, 0.022, 0.435, 0.042)}
)


@dataclass(frozen=True)
class Person:
    """Describes what all images of one subject share.

    Attributes:
        width: Half of the inner width of the thorax.
        apex: Height of the lungs' tops in the image.
        base: Height of the costophrenic angles when the lungs are filled.
        dome: How far the diaphragm rises above them.
        ratio: Heart's width over the thorax's.
        tallness: Heart's height over its width.
        knob: Radius of the aortic arch.
        build: 0 slender, 1 obese: thickness and width of the soft tissue.
        breast: Size of the breasts, 0 none, 1 ample.
        sag: How low the breasts reach.
        ribs: Distance from rib to rib.
        slant: How steeply the ribs fall.
        bone: How dense the bones are, relative.
        bubble: Radius of the gas in the stomach; zero if none shows.
        tree: Seed of the vessels.
    """

    width: float
    apex: float
    base: float
    dome: float
    ratio: float
    tallness: float
    knob: float
    build: float
    breast: float
    sag: float
    ribs: float
    slant: float
    bone: float
    bubble: float
    tree: int


@dataclass(frozen=True)
class View:
    """Describes how one image is taken.

    Attributes:
        supine: Whether it is an anteroposterior view of a patient in bed; else posteroanterior.
        breath: How far the diaphragm stands above full inspiration.
        turn: Sideways displacement of the mediastinum by a turned patient.
        tilt: Rotation of the picture.
        shift: Displacement right and down.
        zoom: Magnification.
        middle: Thickness that is shown as middle grey.
        latitude: Thickness over which the film goes from dark to bright.
        black: Darkest grey, in [0, 1].
        white: Brightest grey, in [0, 1].
        haze: Scattered light, relative.
        blur: Standard deviation of the detector's blur.
        grain: Standard deviation of its noise, in grey levels of [0, 1].
        frame: Width of a black frame; zero if none.
        lines: Names of wires and tubes on the patient.
    """

    supine: bool
    breath: float
    turn: float
    tilt: float
    shift: tuple[float, float]
    zoom: float
    middle: float
    latitude: float
    black: float
    white: float
    haze: float
    blur: float
    grain: float
    frame: float
    lines: tuple[str, ...]


def no_patches() -> Marks:
    """Return an empty table of patches."""
    return np.zeros((0, 5), np.float32)


@dataclass(frozen=True)
class Lobe:
    """Describes a consolidated part of a lung.

    Attributes:
        left: Whether it is in the left lung.
        top: Height of its upper border.
        bottom: Height of its lower border.
        inner: Reach of its medial border.
        outer: Reach of its lateral border.
        density: Share of the air that is gone.
        soft: Width of its border; a fissure's is small.
    """

    left: bool
    top: float
    bottom: float
    inner: float
    outer: float
    density: float
    soft: float


@dataclass(frozen=True)
class Findings:
    """Describes what is wrong with a chest; a sign that is absent is zero or has no rows.

    Attributes:
        patches: Rows of (side: -1 right, 1 left; reach; height; radius; density).
        lobes: Consolidated parts.
        haze: Density of a perihilar haze, 0 to 1.
        spread: Radius of the haze.
        skew: How much denser it is on the left, -1 to 1.
        effusions: Height of the fluid on the right and on the left, share of the lung's height.
        heart: Factor on the heart's width.
        vessels: Factor on the vessels' strength.
        mottle: Unevenness of patches and consolidations, 0 to 1.
    """

    patches: Marks = field(default_factory=no_patches)
    lobes: tuple[Lobe, ...] = ()
    haze: float = 0.0
    spread: float = 0.18
    skew: float = 0.0
    effusions: tuple[float, float] = (0.0, 0.0)
    heart: float = 1.0
    vessels: float = 1.0
    mottle: float = 0.5


def person(subject: str, sex: str) -> Person:
    """Return the chest of a subject; it depends on the identifier and the sex alone."""
    rng = np.random.default_rng(derive(0, "chest person", subject))
    width, width_spread, ratio, ratio_spread = BUILDS[sex]
    return Person(
        width=float(np.clip(rng.normal(width, width_spread), 0.27, 0.41)),
        apex=float(rng.normal(0.115, 0.02)),
        base=float(np.clip(rng.normal(0.84, 0.035), 0.74, 0.92)),
        dome=float(rng.uniform(0.07, 0.14)),
        ratio=float(np.clip(rng.normal(ratio, ratio_spread), 0.34, 0.58)),
        tallness=float(rng.uniform(0.48, 0.66)),
        knob=float(rng.uniform(0.020, 0.046)),
        build=float(rng.beta(2.2, 2.8)),
        breast=_breast(rng, sex),
        sag=float(rng.uniform(0, 1)),
        ribs=float(rng.uniform(0.072, 0.092)),
        slant=float(rng.uniform(0.02, 0.16)),
        bone=float(rng.uniform(0.6, 1.4)),
        bubble=float(rng.uniform(0.03, 0.07)) if rng.random() < 0.5 else 0.0,
        tree=int(rng.integers(2**31)),
    )


def _breast(rng: np.random.Generator, sex: str) -> float:
    """Return the size of the breasts: small in one woman of six, seen in one man of fourteen."""
    size, rare, small = rng.beta(2.0, 2.0), rng.random(), rng.uniform(0.02, 0.22)
    if sex == "female":
        return float(small if rare < 0.16 else 0.15 + 0.85 * size)
    return float(0.10 + 0.35 * size) if rare < 0.07 else float(0.25 * small)


def view(rng: np.random.Generator, supine_chance: float) -> View:
    """Return how one image is taken.

    Args:
        rng: Source of randomness.
        supine_chance: Chance of an anteroposterior view in bed.
    """
    supine = bool(rng.random() < supine_chance)
    loose = 1.7 if supine else 1.0
    shift = rng.normal(0, 0.012 * loose, 2)
    return View(
        supine=supine,
        breath=float(abs(rng.normal(0.05 if supine else 0.01, 0.025))),
        turn=float(rng.normal(0, 0.007 * loose)),
        tilt=float(rng.normal(0, 0.018 * loose)),
        shift=(float(shift[0]), float(shift[1])),
        zoom=float(rng.normal(1.0 + 0.02 * supine, 0.03)),
        middle=float(rng.normal(0.72, 0.055)),
        latitude=float(rng.uniform(0.17, 0.25) * (1.1 if supine else 1.0)),
        black=float(rng.uniform(0.0, 0.10)),
        white=float(rng.uniform(0.84, 1.0)),
        haze=float(rng.uniform(0.0, 0.14 if supine else 0.07)),
        blur=float(0.004 * np.exp(rng.normal(0, 0.4)) * (1.25 if supine else 1.0)),
        grain=float(rng.uniform(0.002, 0.010) * (1.3 if supine else 1.0)),
        frame=float(rng.uniform(0.01, 0.05)) if rng.random() < 0.15 else 0.0,
        lines=_lines(rng, supine),
    )


def _lines(rng: np.random.Generator, supine: bool) -> tuple[str, ...]:
    """Return which wires and tubes lie on a patient: mostly on those in bed."""
    chances = (
        {"leads": 0.6, "tube": 0.25, "line": 0.35} if supine else {"leads": 0.06, "port": 0.05}
    )
    draws = rng.random(3)
    return tuple(
        name for (name, chance), u in zip(chances.items(), draws, strict=False) if u < chance
    )
