"""The deep structures of the brain phantom: ventricles, basal ganglia, thalamus, hippocampus.

Each is a signed distance in sides (negative inside), in the frame of the head: x to the side, y
backwards; both sides are drawn at once from |x|.
"""

from dataclasses import dataclass

import numpy as np

from fairgen.phantoms.fields import Field
from fairgen.phantoms.mri_anatomy import Person, State

End = tuple[float, float, float]


@dataclass(frozen=True)
class Deep:
    """Holds signed distances to the deep structures.

    Attributes:
        ventricles: Lateral and third ventricle.
        horns: Temporal horns.
        grey: Caudate nucleus, putamen and thalamus.
        hippocampus: Hippocampus.
        cistern: Fluid around the midbrain.
        stem: Midbrain.
        vermis: Top of the cerebellum.
        tent: The same with the fluid around it.
        folia: Its grey leaves; they go on outside it.
    """

    ventricles: Field
    horns: Field
    grey: Field
    hippocampus: Field
    cistern: Field
    stem: Field
    vermis: Field
    tent: Field
    folia: Field


def capsule(x: Field, y: Field, start: End, end: End) -> Field:
    """Return the distance to a rod with round ends, each end (x, y, radius)."""
    ux, uy = end[0] - start[0], end[1] - start[1]
    px, py = x - np.float32(start[0]), y - np.float32(start[1])
    t = np.clip((px * np.float32(ux) + py * np.float32(uy)) / np.float32(ux * ux + uy * uy), 0, 1)
    thick = np.float32(start[2]) + t * np.float32(end[2] - start[2])
    return np.asarray(np.hypot(px - t * np.float32(ux), py - t * np.float32(uy)) - thick)


def ellipse(x: Field, y: Field, middle: tuple[float, float], half: tuple[float, float]) -> Field:
    """Return about the distance to an upright ellipse."""
    u, v = (x - np.float32(middle[0])) / half[0], (y - np.float32(middle[1])) / half[1]
    return np.asarray((np.hypot(u, v) - 1) * np.float32(min(half)))


def union(*parts: Field, soft: float = 0.006) -> Field:
    """Return the distance to the union of parts, rounded where they meet."""
    total = sum(np.exp(np.clip(-p / np.float32(soft), -80, 80)) for p in parts)
    return np.asarray(-np.float32(soft) * np.log(total + 1e-36))


def deep(x: Field, y: Field, patient: Person, state: State) -> Deep:
    """Return the deep structures.

    Args:
        x: Place of each pixel in the head, to the side.
        y: Backwards.
        patient: Whose head.
        state: Its state; what lies above the slice is drawn with a negative radius, that is, not.
    """
    scale = np.float32(patient.width / 0.365)
    side, back = np.abs(x) / scale, y / scale
    lean = np.float32(1) + np.float32(patient.lean) * np.tanh(x / 0.02)
    lateral = ventricles(side, back, state, lean)
    below = np.clip((state.drop - 0.5) / 0.3, 0, 1)
    hidden = (1 - below) * 0.12
    vermis = capsule(side, back, (0, 0.165, 0.018), (0, 0.235, 0.066)) + np.float32(hidden)
    return Deep(
        ventricles=scale * lateral,
        horns=scale * temporal_horn(side, back, state, hidden),
        grey=scale * nuclei(side, back, state),
        hippocampus=scale * hippocampus(side, back, state, hidden),
        cistern=scale * (ellipse(side, back, (0, 0.088), (0.072, 0.058)) + hidden),
        stem=scale
        * union(
            ellipse(side, back, (0, 0.1), (0.046, 0.04)),
            ellipse(side, back, (0.026, 0.062), (0.026, 0.026)),
        ),
        vermis=scale * vermis,
        tent=scale * (vermis - np.float32(0.4 * state.sulcus)),
        folia=scale * 0.004 * np.sin(260 * np.hypot(side, back - np.float32(0.13))),
    )


def ventricles(side: Field, back: Field, state: State, lean: Field) -> Field:
    """Return the lateral ventricles, the septum between them, and the third ventricle."""
    v, drop = state.vents, state.drop
    out = 0.012 * (v - 1)
    low = np.clip((drop - 0.32) / 0.48, 0, 1)
    front = 1.12 * v * (1 - 0.42 * low)
    rear = v - low * (v + 1.5)
    body = v * (1 - drop / 0.20)
    parts = [
        capsule(side, back, (0.018, -0.045, 0.008 * front), (0.026 + out, -0.19, 0.018 * front)),
        capsule(side, back, (0.026, -0.185, 0.016 * front), (0.072 + out, -0.226, 0.011 * front)),
        capsule(side, back, (0.045, 0.10, 0.008 * rear), (0.09 + out, 0.175, 0.021 * rear)),
        capsule(side, back, (0.09 + out, 0.175, 0.021 * rear), (0.122 + out, 0.25, 0.013 * rear)),
        capsule(side, back, (0.022, -0.05, 0.014 * body), (0.048, 0.11, 0.014 * body)),
    ]
    lateral = union(*parts) / lean
    septum = np.float32(0.003 + 0.002 / v) - side
    third = capsule(side, back, (0, -0.035, 0.0045 * v), (0, 0.045, 0.006 * v)) + 0.03 * (
        1 - np.clip((drop - 0.08) / 0.15, 0, 1)
    )
    return np.asarray(np.minimum(np.maximum(lateral, septum), third), np.float32)


def temporal_horn(side: Field, back: Field, state: State, hidden: float) -> Field:
    """Return the temporal horn, a crescent at the outer side of the hippocampus."""
    h = state.horn
    out = 0.004 * (h - 1)
    tip = capsule(side, back, (0.145 + out, -0.005, 0.009 * h), (0.178 + out, 0.05, 0.007 * h))
    tail = capsule(side, back, (0.178 + out, 0.05, 0.007 * h), (0.180 + out, 0.135, 0.006 * h))
    return np.asarray(np.minimum(tip, tail) + np.float32(hidden))


def hippocampus(side: Field, back: Field, state: State, hidden: float) -> Field:
    """Return the hippocampus, at the inner side of the temporal horn."""
    h = state.hippocampus
    return capsule(side, back, (0.128, 0.035, 0.028 * h), (0.147, 0.115, 0.022 * h)) + np.float32(
        hidden
    )


def nuclei(side: Field, back: Field, state: State) -> Field:
    """Return caudate nucleus, putamen and, below the ventricles' bodies, the thalamus."""
    out = 0.014 * (state.vents - 1)
    thalamus = 0.04 * (1 - np.clip((state.drop - 0.02) / 0.16, 0, 1))
    fade = 0.03 * np.clip((state.drop - 0.5) / 0.3, 0, 1)
    caudate = capsule(side, back, (0.075 + out, -0.165, 0.021), (0.062 + out, -0.07, 0.010))
    putamen = capsule(side, back, (0.155, -0.10, 0.022), (0.165, 0.0, 0.014))
    deep_nucleus = ellipse(side, back, (0.05, 0.04), (0.04, 0.058)) + np.float32(thalamus + fade)
    return np.asarray(np.minimum(np.minimum(caudate, putamen), deep_nucleus))
