"""Draws findings: how much of the air is gone, pixel by pixel, for each kind of sign."""

import numpy as np

from fairgen.phantoms.chest_anatomy import Findings, Lobe
from fairgen.phantoms.chest_frame import HILUM, Frame, edge, outer
from fairgen.phantoms.fields import Field, dots, fractal


def opacities(frame: Frame, findings: Findings, rng: np.random.Generator) -> Field:
    """Return the density of patches and consolidations, in [0, 1]."""
    uneven = fractal(rng, frame.side, 9, 3, 0.8)
    depth = np.zeros((frame.side, frame.side), np.float32)
    if len(findings.patches):
        depth = depth + patched(frame, findings, uneven)
    for part in findings.lobes:
        depth = np.maximum(depth, consolidated(frame, part))
    if not depth.any():
        return depth
    rough = np.clip(1 + 0.45 * findings.mottle * uneven, 0.1, 1.8)
    return np.asarray(np.clip(depth * rough, 0, 0.97))


def patched(frame: Frame, findings: Findings, uneven: Field) -> Field:
    """Return the density of patches, ragged as an uneven field says; they melt together."""
    side, reach, height, radius, density = findings.patches.T
    width, apex, base = frame.chest
    out = 0.045 + reach * (outer(height) * width - 0.045)
    places = [frame.middle + side * out, apex + height * (base - apex), 0.8 * radius]
    there, dense = (
        dots(np.column_stack([*places, strength]), frame.side)
        for strength in (np.ones_like(density), density)
    )
    ragged = there * np.clip(1 + 0.5 * uneven, 0.3, 1.9)
    return np.asarray(edge(0.45 - ragged, 0.12) * dense / np.maximum(there, 1e-3))


def consolidated(frame: Frame, part: Lobe) -> Field:
    """Return the density of a consolidated lobe; its borders are as soft as the fissure is."""
    ends = edge(part.top - frame.height, part.soft) * edge(frame.height - part.bottom, part.soft)
    across = edge(part.inner - frame.reach, 0.06) * edge(frame.reach - part.outer, 0.06)
    return np.asarray(part.density * ends * across * (frame.left == part.left))


def hazed(frame: Frame, findings: Findings, rng: np.random.Generator) -> Field:
    """Return the density of the haze around the lungs' roots, thinner towards the ribs."""
    uneven = fractal(rng, frame.side, 4, 3, 0.7)
    if findings.haze == 0:
        return np.zeros((frame.side, frame.side), np.float32)
    out = (np.abs(frame.x) - HILUM) / findings.spread
    up = (frame.y - frame.hilum - 0.03) / (1.25 * findings.spread)
    wing = np.exp(-(out**2) - up**2)
    sides = 1 + findings.skew * np.where(frame.left, 1, -1)
    density = findings.haze * (0.15 + wing) * sides * np.clip(1 + 0.28 * uneven, 0.3, 1.7)
    return np.asarray(np.clip(density, 0, 0.92).astype(np.float32))


def fluid(frame: Frame, findings: Findings, supine: bool) -> Field:
    """Return where fluid stands in the pleural space: higher at the ribs, hazy in bed."""
    level = np.where(frame.left, findings.effusions[1], findings.effusions[0])
    if not level.any():
        return np.zeros((frame.side, frame.side), np.float32)
    reach = np.clip(frame.reach, 0, 1.1)
    climb = level * (0.82 + 0.42 * reach**3) + 0.015
    soft = np.where(level > 0, 0.012 + (0.05 if supine else 0.0) * np.clip(3 * level, 0, 1), 0.01)
    rise = 1 - frame.height - climb
    filled = edge(rise / soft, 1.0)
    return np.asarray(np.where(level > 0, filled, 0).astype(np.float32))
