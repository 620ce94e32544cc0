"""The drawing of the brain phantom: which share of each pixel is which tissue."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fairgen.phantoms.fields import Field, axis, dots, noise
from fairgen.phantoms.mri_anatomy import Person, Scan, State
from fairgen.phantoms.mri_deep import Deep, deep
from fairgen.phantoms.mri_folds import REACH, Segments, folds, nearness, radius

TISSUES = (
    "outside",
    "ventricles",
    "horns",
    "sulci",
    "hippocampus",
    "cortex",
    "nuclei",
    "lesions",
    "white",
)
"""What a pixel may show; ``sulci`` is all fluid outside the ventricles, cisterns included."""

SPOTS = 16
"""Most lesions apart from the ventricles."""

Shares = Float[np.ndarray, "9 n n"]


@dataclass(frozen=True)
class Sheet:
    """Holds a drawing before it is scanned.

    Attributes:
        shares: Share of each pixel that each tissue has; they sum to 1.
        width: Mean width of the sulci, in sides.
        texture: Unevenness of the tissue, relative.
    """

    shares: Shares
    width: float
    texture: Field

    @property
    def side(self) -> int:
        """Return the pixels a side."""
        return int(self.shares.shape[1])


def sheet(patient: Person, state: State, pose: Scan, rng: np.random.Generator, n: int) -> Sheet:
    """Return the slice of a brain, ``n`` pixels a side."""
    x, y = _head(pose, n)
    spots = _lesions(rng, patient, state, pose, n)
    texture = 0.02 * noise(rng, n, 24) + 0.025 * noise(rng, n, 9)
    inside = radius(patient, np.arctan2(y, x)).astype(np.float32) - np.hypot(x, y)
    furrows = folds(patient, state)
    gap = nearness(_placed(furrows.pieces, pose), n)
    below = deep(x, y, patient, state)
    layers = _layers(inside, gap, below, state, n)
    layers["lesions"] = 1 - (1 - spots) * (1 - _halo(rng, state, below.ventricles, y))
    return Sheet(_stacked(layers), furrows.width, texture)


def _head(pose: Scan, n: int) -> tuple[Field, Field]:
    """Return each pixel's place in the head."""
    u = axis(n) - np.float32(0.5)
    px, py = u - np.float32(pose.shift[0]), (u - np.float32(pose.shift[1]))[:, None]
    c, s = np.float32(np.cos(pose.turn)), np.float32(np.sin(pose.turn))
    return c * px + s * py, c * py - s * px


def _placed(pieces: Segments, pose: Scan) -> Segments:
    """Return pieces of the head's frame on the unit square of the image."""
    c, s = np.cos(pose.turn), np.sin(pose.turn)
    turn = np.array([[c, s], [-s, c]])
    middle = np.array(pose.shift) + 0.5
    ends = [pieces[:, i : i + 2] @ turn + middle for i in (0, 2)]
    return np.concatenate([*ends, pieces[:, 4:]], axis=1).astype(np.float32)


def _layers(inside: Field, gap: Field, below: Deep, state: State, n: int) -> dict[str, Field]:
    """Return how far each tissue covers what lies under it, the uppermost first."""
    deepest = np.minimum.reduce([below.ventricles, below.grey, below.hippocampus, below.horns])
    gap = np.minimum(gap, inside - np.float32(state.rim))
    ring = np.maximum(below.cistern, -below.stem)
    edge = np.maximum(below.tent, -below.vermis)
    fluid = np.minimum(np.minimum(ring, edge), np.where(deepest < 0.004, np.float32(REACH), gap))
    mantle = np.minimum(gap, fluid) - np.float32(state.cortex)
    return {
        "outside": _cover(inside, n),
        "ventricles": _cover(below.ventricles, n),
        "horns": _cover(below.horns, n),
        "sulci": _cover(fluid, n),
        "hippocampus": _cover(below.hippocampus, n),
        "nuclei": _cover(np.minimum(below.grey, np.maximum(below.vermis, below.folia)), n),
        "cortex": _cover(np.maximum(mantle, 0.002 - np.minimum(below.stem, below.vermis)), n),
    }


def _cover(distance: Field, n: int) -> Field:
    """Return the share of each pixel that lies within a signed distance of zero."""
    return np.asarray(np.clip(np.float32(0.5) - distance * np.float32(n), 0, 1))


def _lesions(rng: np.random.Generator, patient: Person, state: State, pose: Scan, n: int) -> Field:
    """Return spots in the white matter; there are always as many draws, whatever the number."""
    spots = rng.uniform((0.06, 0.09), (0.205, 0.28), (SPOTS, 2)) * rng.choice((-1, 1), (SPOTS, 2))
    height = np.clip(state.lesions - np.arange(SPOTS), 0, 1) * rng.uniform(0.6, 1.1, SPOTS)
    c, s = np.cos(pose.turn), np.sin(pose.turn)
    places = patient.width / 0.365 * spots @ np.array([[c, s], [-s, c]]) + pose.shift + 0.5
    marks = np.column_stack([places, rng.uniform(0.012, 0.026, SPOTS), height])
    return np.asarray(1 - np.exp(-2.0 * dots(marks, n)))


def _halo(rng: np.random.Generator, state: State, lateral: Field, y: Field) -> Field:
    """Return lesions along the ventricles, widest at their ends."""
    n = len(lateral)
    reach = 0.008 + 0.022 * state.caps * (0.3 + np.clip(np.abs(y + 0.01) / 0.2, 0, 1.3))
    uneven = 1 + 0.35 * noise(rng, n, 6)
    depth = np.clip(lateral, 0, None) / (reach * np.clip(uneven, 0.3, 2))
    return np.asarray(np.clip(1.3 * state.caps, 0, 1) * np.exp(-(depth**2)), np.float32)


def _stacked(layers: dict[str, Field]) -> Shares:
    """Return the visible shares of layers, the uppermost first; white matter is the rest."""
    rest = np.ones_like(layers["outside"])
    seen = {}
    for name, cover in layers.items():
        seen[name] = rest * cover
        rest = rest - seen[name]
    seen["white"] = rest
    return np.stack([seen[name] for name in TISSUES])
