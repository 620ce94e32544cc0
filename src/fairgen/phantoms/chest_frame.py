"""Where the organs of a chest lie: outlines of body, lungs, heart and diaphragm on a grid."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

from fairgen.phantoms.chest_anatomy import Person, View
from fairgen.phantoms.fields import Field, axis

HILUM = 0.075
"""Distance of the lungs' roots from the midline."""

RIGHT_DOME = 0.022
"""How much higher the diaphragm stands on the right, over the liver."""


@dataclass(frozen=True)
class Frame:
    """Holds a chest's outlines; every map is 1 inside and 0 outside.

    Attributes:
        x: Distance from the mediastinum's midline; the patient's left is positive.
        y: Height in the image, from the top.
        left: Which columns show the patient's left side.
        reach: 0 at the mediastinum, 1 at the ribs.
        height: 0 at the apex of the lung, 1 at the costophrenic angle.
        lungs: Pleural spaces, also where heart or fluid hides them.
        heart: Heart and mediastinum above the diaphragm.
        body: The patient.
        below: Under the diaphragm.
        chest: Half the thorax's width, apex and base: the scale of it all.
    """

    x: Float[np.ndarray, "1 n"]
    y: Float[np.ndarray, "n 1"]
    left: Bool[np.ndarray, "1 n"]
    reach: Field
    height: Float[np.ndarray, "n 1"]
    lungs: Field
    heart: Field
    body: Field
    below: Field
    chest: tuple[float, float, float]

    @property
    def side(self) -> int:
        """Return the pixels a side."""
        return int(self.body.shape[0])

    @property
    def middle(self) -> float:
        """Return the place of the mediastinum's midline in the image."""
        return 0.5 / self.side - float(self.x[0, 0])

    @property
    def hilum(self) -> float:
        """Return the height of the lungs' roots in the image."""
        _, apex, base = self.chest
        return apex + 0.46 * (base - apex)


def edge(distance: np.ndarray, soft: float) -> np.ndarray:
    """Return 1 inside (negative distance), 0 outside, for a map, a row or a column of pixels."""
    return np.asarray(expit(np.clip(distance / -soft, -30, 30).astype(np.float32)))


def outer(height: np.ndarray) -> np.ndarray:
    """Return half the thorax's width at a height in the lung, as a share of its greatest."""
    return np.asarray(np.sqrt(1 - 0.93 * (1 - np.clip(height, 0, 1)) ** 3))


def frame(patient: Person, camera: View, heart: float, n: int) -> Frame:
    """Return the outlines of a patient's chest in a view, ``n`` pixels a side.

    Args:
        patient: Whose chest.
        camera: The view; in bed the heart is magnified and the diaphragm high.
        heart: Factor on the heart's width.
        n: Pixels a side.
    """
    width = patient.width * (1.02 if camera.supine else 1.0)
    apex, base = patient.apex, patient.base - camera.breath
    x = axis(n)[None, :] - np.float32(0.5 + camera.turn)
    y = axis(n)[:, None]
    left = x > 0
    height = ((y - apex) / (base - apex)).astype(np.float32)
    side = width + camera.turn * np.where(left, -1, 1)
    wall = (outer(height) * side).astype(np.float32)
    distance = np.abs(x)
    reach = (distance - 0.045) / (wall - 0.045)
    floor = diaphragm(patient, reach, left, base)
    top = apex + 1.1 * (distance - 0.45 * wall) ** 2
    within = edge(distance - wall, 0.005)
    below = edge(floor - y, 0.006)
    lungs = within * edge(top - y, 0.006) * (1 - below)
    size = heart * patient.ratio * (1.10 if camera.supine else 1.0) * 2 * width
    middle = pump(patient, x, y, base - patient.dome - RIGHT_DOME, size)
    central = np.maximum(middle, mediastinum(patient, x, height))
    cut = np.where(height > 0.3, 1 - below, 1)
    trunk = body(patient, distance, y, width)
    belly = below * edge(distance - wall - 0.03, 0.02)
    return Frame(
        *(x, y, left, reach.astype(np.float32), height, lungs, central * cut, trunk, belly),
        chest=(width, apex, base),
    )


def diaphragm(
    patient: Person,
    reach: Float[np.ndarray, "n n"],
    left: Bool[np.ndarray, "1 n"],
    base: float,
) -> Field:
    """Return the height of the diaphragm: a dome that falls to the angle at the ribs."""
    from_top = np.clip((reach - 0.35) / 0.65, -1, 1.2)
    fall = np.where(from_top > 0, from_top**2, 0.35 * from_top**2)
    rise = patient.dome + np.where(left, 0.0, RIGHT_DOME)
    return np.asarray((base - rise * (1 - fall)).astype(np.float32))


def pump(
    patient: Person,
    x: Float[np.ndarray, "1 n"],
    y: Float[np.ndarray, "n 1"],
    floor: float,
    size: float,
) -> Field:
    """Return the heart: two thirds of its width lie left, and its apex is low."""
    half = np.where(x > 0, 0.64, 0.36) * size
    tall = patient.tallness * max(size, 0.24)
    centre = floor - 0.26 * tall + 0.34 * x
    upper = np.where(y < centre, tall, 0.62 * tall)
    radius = np.sqrt(np.abs(x / half) ** 2.2 + np.abs((y - centre) / upper) ** 1.7)
    return edge((radius - 1) * 0.36 * size, 0.006)


def mediastinum(
    patient: Person, x: Float[np.ndarray, "1 n"], height: Float[np.ndarray, "n 1"]
) -> Field:
    """Return the column of great vessels, with the aortic arch on the left."""
    half = 0.050 + 0.016 * np.exp(-(((height - 0.05) / 0.18) ** 2))
    column = edge(np.abs(x) - half, 0.007)
    arch = np.hypot(x - 0.042, (height - 0.27) * 0.7) - patient.knob
    return np.asarray(np.maximum(column, edge(arch, 0.005)))


def body(
    patient: Person,
    distance: Float[np.ndarray, "1 n"],
    y: Float[np.ndarray, "n 1"],
    width: float,
) -> Field:
    """Return neck, shoulders and trunk."""
    trunk = width + 0.035 + 0.11 * patient.build
    flare = 0.5 * (1 + np.tanh((y - 0.075) / 0.045))
    arms = 0.21 * np.exp(-(((y - 0.24) / 0.17) ** 2))
    half = 0.115 + (trunk - 0.115) * flare + arms + 0.05 * patient.build * np.clip(y - 0.6, 0, 1)
    low = 0.60 + 0.06 * patient.sag
    bulge = 0.05 * patient.breast * np.exp(-(((y - low) / 0.09) ** 2))
    return edge(distance - half - bulge, 0.006)
