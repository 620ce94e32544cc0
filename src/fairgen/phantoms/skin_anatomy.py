"""What the skin phantom knows about a patient, a photograph and a lesion before it draws them.

Lengths are fractions of the image's side, colours CIELAB, angles radians.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from fairgen.cohort.seed import derive

Marks = Float[np.ndarray, "_ 3"]

# Mean, spread and bounds of the Individual Typology Angle, in degrees.
TONE_ANGLES: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {"light": (43, 8.5, 22, 60), "medium": (15, 9.5, -8, 36), "dark": (-27, 13, -58, 4)}
)


@dataclass(frozen=True)
class Person:
    """Describes what all images of one subject share.

    Attributes:
        ita: Individual Typology Angle of the healthy skin, degrees.
        colour: CIELAB of the healthy skin.
        relief: Furrow tiles a side: how closely the skin is seen.
        furrows: Depth of the furrows, relative.
        mottling: Strength of the uneven colour.
        pores: Strength of the pores.
        freckles: Number of freckles.
        hairs: Number of hairs.
        hair_angle: Their common direction.
        sheen: Gloss of the skin.
    """

    ita: float
    colour: tuple[float, float, float]
    relief: int
    furrows: float
    mottling: float
    pores: float
    freckles: int
    hairs: int
    hair_angle: float
    sheen: float

    @property
    def melanin(self) -> float:
        """Return 0 for the lightest and 1 for the darkest skin."""
        return float(np.clip((55 - self.ita) / 95, 0, 1))


@dataclass(frozen=True)
class View:
    """Describes the light and the camera of one image.

    Attributes:
        light: Direction from which light falls.
        slope: Change of illumination across the image, relative.
        vignette: Loss of light in the corners, relative.
        gains: Exposure times white balance of red, green and blue.
        blur: Standard deviation of the lens's blur.
        grain: Standard deviation of the sensor's noise, in sRGB units of [0, 1].
    """

    light: float
    slope: float
    vignette: float
    gains: tuple[float, float, float]
    blur: float
    grain: float


def no_marks() -> Marks:
    """Return an empty table of marks."""
    return np.zeros((0, 3), np.float32)


@dataclass(frozen=True)
class Lesion:
    """Describes a lesion by its signs; a sign that is absent is zero or has no marks.

    Attributes:
        plaques: Rows of (x, y, radius).
        aspect: Length over width.
        turn: Direction of the long axis.
        wobble: Irregularity of the outline.
        soft: Width of the border.
        shift: Change of colour inside, CIELAB.
        patchy: Uneven inflammation, 0 to 1.
        halo: Diffuse redness around, 0 to 1.
        height: Elevation of the plaques.
        dome: 0 a plateau, 1 a dome.
        pearl: Strength of a rolled, pearly border.
        pigment: Number of brown globules.
        scale: Wanted coverage by scale, 0 to 1.
        scale_tiles: Scale flakes a side.
        ulcer: Radius of an ulcer, relative to the lesion's.
        crust: Radius of a crust, relative to the lesion's.
        keratin: 0 a dark, bloody crust, 1 a yellow, horny one.
        vessels: Number of dilated vessels.
        papules: Rows of (x, y, radius).
        papule_shift: Change of colour of the papules.
        striae: Strength of fine white lines on the papules.
        vesicles: Rows of (x, y, radius).
    """

    plaques: Marks
    aspect: float
    turn: float
    wobble: float = 0.3
    soft: float = 0.01
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    patchy: float = 0.0
    halo: float = 0.0
    height: float = 0.0
    dome: float = 0.0
    pearl: float = 0.0
    pigment: int = 0
    scale: float = 0.0
    scale_tiles: int = 20
    ulcer: float = 0.0
    crust: float = 0.0
    keratin: float = 0.0
    vessels: int = 0
    papules: Marks = field(default_factory=no_marks)
    papule_shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    striae: float = 0.0
    vesicles: Marks = field(default_factory=no_marks)


def person(subject: str, tone: str) -> Person:
    """Return the skin of a subject; it depends on the identifier alone."""
    rng = np.random.default_rng(derive(0, "skin person", subject))
    mean, spread, low, high = TONE_ANGLES[tone]
    ita = float(np.clip(rng.normal(mean, spread), low, high))
    dark = np.clip((55 - ita) / 95, 0, 1)
    b = 14.5 + 9 * np.sin(np.pi * (0.12 + 0.78 * dark)) + rng.normal(0, 0.8) - 2.5 * dark
    lightness = 50 + b * np.tan(np.radians(ita))
    a = 10.5 + 4.5 * np.sin(np.pi * dark) + rng.normal(0, 1.3)
    light_skin = 1 - dark
    return Person(
        ita=ita,
        colour=(float(lightness), float(a), float(b)),
        relief=int(rng.integers(17, 34)),
        furrows=float(rng.uniform(0.4, 1.2)),
        mottling=float(rng.uniform(0.6, 1.4)),
        pores=float(rng.uniform(0.2, 1.0)),
        freckles=int(rng.poisson(9 * light_skin)) if rng.random() < 0.4 else 0,
        hairs=int(rng.integers(3, 20)) if rng.random() < 0.3 else 0,
        hair_angle=float(rng.uniform(0, 2 * np.pi)),
        sheen=float(rng.uniform(0.1, 0.5) + 0.35 * dark),
    )


def view(rng: np.random.Generator) -> View:
    """Return the light and camera of one image."""
    exposure = np.exp(np.clip(rng.normal(-0.01, 0.055), -0.13, 0.10))
    gains = exposure * np.exp(rng.normal(0, (0.018, 0.008, 0.025)))
    return View(
        light=float(rng.uniform(0, 2 * np.pi)),
        slope=float(abs(rng.normal(0, 0.12))),
        vignette=float(rng.uniform(0, 0.22)),
        gains=(float(gains[0]), float(gains[1]), float(gains[2])),
        blur=float(0.003 * np.exp(rng.normal(0, 0.6))),
        grain=float(rng.uniform(0.003, 0.014)),
    )
