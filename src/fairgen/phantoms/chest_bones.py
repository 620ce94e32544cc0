"""Draws what a chest radiograph shows beside lungs and heart: bones, vessels, breasts, wires."""

import numpy as np

from fairgen.phantoms.chest_anatomy import Person, View
from fairgen.phantoms.chest_frame import HILUM, Frame, edge
from fairgen.phantoms.fields import Field, dots, strokes


def ribs(frame: Frame, patient: Person) -> Field:
    """Return posterior ribs, and fainter anterior ones that fall towards the middle."""
    width, apex, _ = frame.chest
    out = np.abs(frame.x) / np.float32(width)
    arc = patient.slant * (out - 0.35) + 0.16 * out**4 - 0.02 * out
    back = _bands((frame.y - apex - arc) / patient.ribs, 0.62)
    fall = (0.16 + patient.slant) * (0.9 - out)
    front = _bands((frame.y - apex - 0.03 - fall) / (1.25 * patient.ribs), 0.78)
    front = front * np.clip((out - 0.25) / 0.3, 0, 1)
    inside = edge(np.abs(frame.x) - width * 1.02, 0.012)
    height = np.clip(frame.height * 20, 0, 1) * (frame.height < 1.05)
    return np.asarray((back + 0.55 * front) * inside * height)


def _bands(phase: np.ndarray, gap: float) -> np.ndarray:
    """Return periodic bands with brighter rims, leaving the given share of each period dark."""
    wave = np.cos(np.float32(2 * np.pi) * phase.astype(np.float32))
    over = np.clip((wave - np.float32(np.cos(np.pi * (1 - gap)))) * 2.2, 0, 1)
    return np.asarray(over * (1.25 - 0.45 * over))


def skeleton(frame: Frame, patient: Person) -> Field:
    """Return spine, collarbones, shoulders and the wall of the chest."""
    _, apex, _ = frame.chest
    distance = np.abs(frame.x)
    discs = 1 + 0.22 * np.cos(2 * np.pi * frame.y / (0.55 * patient.ribs))
    spine = np.exp(-((distance / 0.032) ** 4)) * discs * (0.6 + 0.4 * frame.y)
    height = apex + 0.095 - 0.28 * (distance - 0.03) + 0.35 * (distance - 0.2) ** 2
    collar = np.exp(-(((frame.y - height) / 0.012) ** 2))
    collar = collar * np.clip((distance - 0.025) / 0.02, 0, 1) * edge(distance - 0.36, 0.02)
    head = np.hypot(distance - 0.455, frame.y - apex - 0.05) - 0.062
    blade = np.hypot((distance - 0.355) / 0.55, (frame.y - apex - 0.16) / 1.5) - 0.09
    shoulder = 0.9 * edge(head, 0.01) + 0.4 * edge(blade.astype(np.float32), 0.02)
    return np.asarray((0.5 * spine + 0.85 * collar + shoulder).astype(np.float32))


def vessels(frame: Frame, patient: Person) -> Field:
    """Return the branching vessels of both lungs; they belong to the patient."""
    rng = np.random.default_rng(patient.tree)
    count, knots = 18, 9
    side = np.where(np.arange(count) % 2, 1.0, -1.0)[:, None]
    angle = np.linspace(-1.15, 1.35, count)[:, None] + rng.normal(0, 0.12, (count, 1))
    bend = rng.normal(0, 0.35, (count, 1))
    along = np.linspace(0.02, 1, knots)[None, :]
    length = rng.uniform(0.14, 0.26, (count, 1))
    course = angle + bend * along
    x = frame.middle + side * (HILUM - 0.01 + length * along * np.cos(course))
    y = frame.hilum + length * along * 1.15 * np.sin(course)
    thick = np.broadcast_to(0.0135 - 0.0085 * along, x.shape)
    marks = np.stack([x, y, thick, np.broadcast_to(0.75 - 0.45 * along, x.shape)], axis=-1)
    roots = np.array([[frame.middle + s * HILUM, frame.hilum + d, 0.026, 0.6] for s, d in ROOTS])
    return np.asarray(dots(np.concatenate([marks.reshape(-1, 4), roots]), frame.side))


ROOTS = ((-1, 0.0), (-1, 0.05), (1, -0.025), (1, 0.02))
"""Side and depth of the knots of vessels at the lungs' roots."""


def breasts(frame: Frame, patient: Person) -> Field:
    """Return how thick the breasts are, 1 for ample ones: clear lower borders, faint upper ones."""
    if patient.breast < 0.01:
        return np.zeros((frame.side, frame.side), np.float32)
    width, apex, base = frame.chest
    radius = 0.085 + 0.075 * patient.breast
    low = apex + (0.80 + 0.16 * patient.sag * patient.breast) * (base - apex)
    across = (np.abs(frame.x) - 0.66 * width) / (1.25 * radius)
    down = (frame.y - low + radius) / radius
    stretched = np.where(down < 0, 0.62 * down, down)
    inside = np.clip(1 - across**2 - stretched**2, 0, 1)
    return np.asarray((patient.breast**0.7 * np.sqrt(inside)).astype(np.float32))


def devices(frame: Frame, camera: View, rng: np.random.Generator) -> Field:
    """Return wires, tubes and ports."""
    marks = [_course(name, rng) for name in camera.lines]
    if not marks:
        return np.zeros((frame.side, frame.side), np.float32)
    return strokes(np.concatenate(marks).astype(np.float32), frame.side)


def _course(name: str, rng: np.random.Generator) -> np.ndarray:
    """Return a wire or tube as a chain of dots."""
    jitter = rng.normal(0, 0.02, (4, 2))
    if name == "leads":
        ends = np.array([(0.22, 0.30), (0.78, 0.30), (0.76, 0.70)]) + jitter[:3]
        wires = [_chain(end, (0.5 + jitter[3, 0] * 4, 1.02), 0.06, 0.0035) for end in ends]
        return np.concatenate([*wires, np.column_stack([ends, np.full((3, 2), (0.013, 1.6))])])
    if name == "tube":
        return _chain((0.5, -0.02), (0.5 + jitter[0, 0] / 2, 0.34 + jitter[0, 1]), 0.0, 0.005)
    start = (0.30, 0.20) if name == "port" else (0.36 + jitter[0, 0], -0.02)
    line = _chain(start, (0.455, 0.46 + jitter[1, 1]), -0.05, 0.0035)
    disc = [[*start, 0.02, 1.5]] if name == "port" else []
    return np.concatenate([line, np.array(disc).reshape(-1, 4)])


def _chain(
    start: tuple[float, float] | np.ndarray, end: tuple[float, float], sag: float, thick: float
) -> np.ndarray:
    """Return dots along a sagging line."""
    u = np.linspace(0, 1, 48)[:, None]
    places = np.asarray(start) + u * (np.asarray(end) - np.asarray(start))
    places = places + sag * np.sin(np.pi * u) * np.array([1.0, 0.4])
    return np.column_stack([places, np.full((48, 2), (thick, 0.8))])
