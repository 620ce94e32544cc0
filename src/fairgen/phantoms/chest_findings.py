"""How the five findings of the chest phantom look: each draws signs from its own distribution.

The distributions overlap on purpose: mild oedema resembles a normal chest, one-sided COVID-19 a
lung opacity, a low effusion with a basal opacity either of the two, and failing hearts have all.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from fairgen.phantoms.chest_anatomy import Findings, Lobe, Marks

# Side (0 right, 1 left), heights and reaches of the parts of lungs that consolidate.
LOBES = (
    (0, (0.06, 0.42), (0.0, 1.1)),
    (0, (0.48, 0.74), (-0.1, 0.75)),
    (0, (0.62, 1.1), (0.0, 1.1)),
    (1, (0.06, 0.50), (0.0, 1.1)),
    (1, (0.62, 1.1), (0.0, 1.1)),
)


def patches(
    rng: np.random.Generator,
    sides: np.ndarray,
    reach: tuple[float, float],
    height: tuple[float, float],
    density: tuple[float, float],
) -> Marks:
    """Return patches at random places within bounds, one on each of ``sides``."""
    count = len(sides)
    columns = [
        2 * sides - 1.0,
        rng.uniform(*reach, count),
        rng.uniform(*height, count),
        rng.uniform(0.04, 0.095, count),
        rng.uniform(*density) * rng.uniform(0.7, 1.3, count),
    ]
    return np.column_stack(columns).astype(np.float32)


def lobe(rng: np.random.Generator, density: tuple[float, float], which: int) -> Lobe:
    """Return a consolidation of most of a lobe."""
    side, (top, bottom), (inner, outer) = LOBES[which]
    middle, share = (top + bottom) / 2, rng.uniform(0.7, 1.05)
    return Lobe(
        left=bool(side),
        top=float(middle + (top - middle) * share),
        bottom=float(middle + (bottom - middle) * share),
        inner=float(inner + rng.uniform(0, 0.2)),
        outer=float(outer - rng.uniform(0, 0.2)),
        density=float(rng.uniform(*density)),
        soft=float(rng.uniform(0.012, 0.05)),
    )


def small_effusions(rng: np.random.Generator, chance: float, most: float) -> tuple[float, float]:
    """Return low fluid on either side, each with the same chance."""
    heights = rng.uniform(0.04, most, 2) * (rng.random(2) < chance)
    return float(heights[0]), float(heights[1])


def normal(rng: np.random.Generator) -> Findings:
    """Draw a chest without a finding; old hearts are large and some vessels crowded."""
    return Findings(
        heart=float(np.exp(rng.normal(0, 0.05))),
        vessels=float(rng.uniform(0.6, 1.4)),
        haze=float(rng.uniform(0, 0.16)) if rng.random() < 0.35 else 0.0,
        spread=float(rng.uniform(0.14, 0.20)),
        patches=patches(
            rng, rng.integers(0, 2, int(rng.random() < 0.12)), (0.2, 0.9), (0.3, 0.95), (0.10, 0.25)
        ),
        effusions=small_effusions(rng, 0.05, 0.08),
    )


def covid(rng: np.random.Generator) -> Findings:
    """Draw ground-glass patches, peripheral, basal and bilateral; one in five on one side only."""
    one_sided = rng.random() < 0.2
    count = int(rng.integers(1, 4) if one_sided else rng.integers(4, 13))
    sides = np.full(count, rng.integers(0, 2)) if one_sided else rng.permutation(count) % 2
    return Findings(
        patches=patches(rng, sides, (0.55, 0.95), (0.28, 0.97), (0.30, 0.85)),
        heart=float(np.exp(rng.normal(0, 0.05))),
        vessels=float(rng.uniform(0.7, 1.4)),
        haze=float(rng.uniform(0.05, 0.3)) if rng.random() < 0.25 else 0.0,
        mottle=float(rng.uniform(0.3, 1.0)),
        effusions=small_effusions(rng, 0.05, 0.1),
    )


def oedema(rng: np.random.Generator) -> Findings:
    """Draw perihilar haze with blurred vessels and a large heart; one in four is mild."""
    mild = rng.random() < 0.25
    return Findings(
        haze=float(rng.uniform(0.10, 0.30) if mild else rng.uniform(0.35, 0.95)),
        spread=float(rng.uniform(0.16, 0.28)),
        skew=float(rng.normal(0, 0.2)),
        heart=float(np.exp(rng.normal(0.06 if mild else 0.14, 0.07))),
        vessels=float(rng.uniform(1.0, 2.0)),
        effusions=small_effusions(rng, 0.1 if mild else 0.3, 0.16),
        patches=patches(
            rng, rng.integers(0, 2, rng.integers(0, 3)), (0.1, 0.8), (0.3, 0.9), (0.10, 0.35)
        ),
    )


def opacity(rng: np.random.Generator) -> Findings:
    """Draw a consolidated lobe or a few patches; one in six on both sides, some with fluid."""
    kind = rng.choice(["lobe", "patches", "both sides"], p=[0.55, 0.30, 0.15])
    lobes: tuple[Lobe, ...] = ()
    if kind == "lobe":
        lobes = (lobe(rng, (0.45, 1.0), int(rng.integers(len(LOBES)))),)
    count = {"lobe": rng.integers(0, 2), "patches": rng.integers(1, 4)}.get(
        str(kind), rng.integers(2, 6)
    )
    sides = (
        rng.permutation(count) % 2 if kind == "both sides" else np.full(count, rng.integers(0, 2))
    )
    return Findings(
        lobes=lobes,
        patches=patches(rng, sides, (0.1, 0.85), (0.15, 0.95), (0.45, 0.95)),
        heart=float(np.exp(rng.normal(0.02, 0.06))),
        vessels=float(rng.uniform(0.7, 1.5)),
        haze=float(rng.uniform(0.05, 0.3)) if rng.random() < 0.25 else 0.0,
        effusions=small_effusions(rng, 0.12, 0.14),
        mottle=float(rng.uniform(0.2, 0.8)),
    )


def effusion(rng: np.random.Generator) -> Findings:
    """Draw fluid with a meniscus, one- or two-sided; one in four is low, some hide an opacity."""
    low = rng.random() < 0.25
    first = rng.uniform(0.06, 0.15) if low else rng.uniform(0.16, 0.62)
    second = rng.uniform(0.04, 0.3) if rng.random() < 0.3 else 0.0
    sides = (first, second) if rng.random() < 0.55 else (second, first)
    base = Findings(
        effusions=(float(sides[0]), float(sides[1])),
        heart=float(np.exp(rng.normal(0.05, 0.08))),
        vessels=float(rng.uniform(0.7, 1.6)),
        haze=float(rng.uniform(0.05, 0.35)) if rng.random() < 0.35 else 0.0,
        spread=float(rng.uniform(0.14, 0.24)),
    )
    if rng.random() >= 0.25:
        return base
    left = bool(sides[1] > sides[0])
    return replace(base, lobes=(lobe(rng, (0.2, 0.6), 4 if left else 2),))


FINDINGS: Mapping[str, Callable[[np.random.Generator], Findings]] = MappingProxyType(
    {
        "COVID-19": covid,
        "lung oedema": oedema,
        "lung opacity": opacity,
        "pleural effusion": effusion,
        "normal": normal,
    }
)

SUPINE: Mapping[str, float] = MappingProxyType(
    {
        "COVID-19": 0.50,
        "lung oedema": 0.60,
        "lung opacity": 0.45,
        "pleural effusion": 0.45,
        "normal": 0.25,
    }
)
"""Chance of a view in bed, by finding."""
