"""How the five diseases of the skin phantom look: each draws a lesion from its own distribution.

The distributions overlap on purpose: mild cases, superficial tumours, scaly dermatitis and plaques
of lichen planus resemble another disease, and every sign has less contrast on dark skin.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from fairgen.phantoms.skin_anatomy import Lesion, Marks, no_marks


def between(
    melanin: float, light: tuple[float, float, float], dark: tuple[float, float, float]
) -> np.ndarray:
    """Return a colour change between that on light and that on dark skin."""
    return np.asarray(np.asarray(light) + melanin * (np.asarray(dark) - np.asarray(light)))


def _outline(rng: np.random.Generator, low: float, high: float) -> Lesion:
    """Return one plaque near the centre, as yet without signs."""
    x, y = rng.normal(0.5, 0.07, 2)
    return Lesion(
        plaques=np.array([[x, y, rng.uniform(low, high)]], np.float32),
        aspect=float(np.exp(abs(rng.normal(0, 0.28)))),
        turn=float(rng.uniform(0, np.pi)),
    )


def _shift(
    rng: np.random.Generator, severity: float, colour: np.ndarray
) -> tuple[float, float, float]:
    """Return a colour change scaled by severity, with variation of its own."""
    lightness, a, b = severity * colour + rng.normal(0, (1.3, 1.3, 1.3))
    return float(lightness), float(a), float(b)


def _around(
    rng: np.random.Generator, count: int, spread: float, radius: tuple[float, float]
) -> Marks:
    """Return marks in one or two loose clusters; no two lie closer than their radii allow."""
    hubs = rng.normal(0.5, 0.11, (2, 2))
    which = rng.random(count) < 0.65
    places = np.where(which[:, None], hubs[0], hubs[1]) + rng.normal(0, spread, (count, 2))
    sizes = rng.uniform(*radius, count)
    kept: list[int] = []
    for i in range(count):
        gaps = np.hypot(*(places[kept] - places[i]).T) - 0.86 * (sizes[kept] + sizes[i])
        if np.all(gaps > 0) and np.all(np.abs(places[i] - 0.5) < 0.44):
            kept.append(i)
    return np.column_stack([places, sizes])[kept].astype(np.float32)


def psoriasis(rng: np.random.Generator, melanin: float) -> Lesion:
    """Draw sharply bordered plaques with silvery scale: salmon on light, violaceous on dark."""
    severity = rng.uniform(0.35, 1.2)
    colour = between(melanin, (-10, 19, 6), (-9, 3, -11))
    lesion = replace(
        _outline(rng, 0.14, 0.30),
        wobble=float(rng.uniform(0.2, 0.55)),
        soft=float(0.006 + 0.026 * rng.beta(1, 3)),
        shift=_shift(rng, severity, colour),
        patchy=float(rng.uniform(0, 0.35)),
        halo=float(rng.uniform(0, 0.15)),
        height=float(rng.uniform(0.006, 0.02)),
        scale=float(rng.beta(1.3, 2.0) * 0.9),
        scale_tiles=int(rng.integers(14, 30)),
    )
    count = int(rng.choice([0, 1, 2, 3, 8], p=[0.35, 0.25, 0.15, 0.10, 0.15]))
    small = rng.uniform(0.03, 0.10, count)
    places = rng.uniform(0.08, 0.92, (count, 2))
    plaques = lesion.plaques.copy()
    plaques[0, 2] *= 0.45 if count == 8 else 1 - 0.06 * count
    satellites = np.column_stack([places, small])
    return replace(lesion, plaques=np.vstack([plaques, satellites]).astype(np.float32))


def lichen_planus(rng: np.random.Generator, melanin: float) -> Lesion:
    """Draw flat-topped violaceous polygonal papules with fine white lines, or a scaly plaque."""
    severity = rng.uniform(0.35, 1.2)
    colour = between(melanin, (-14, 13, -12), (-11, 3, -11))
    merged = rng.random() < 0.28
    count = int(rng.integers(2, 14) if merged else rng.integers(6, 60))
    base = _outline(rng, 0.12, 0.22)
    return replace(
        base,
        plaques=base.plaques if merged else no_marks(),
        wobble=0.4,
        soft=float(rng.uniform(0.008, 0.022)),
        shift=_shift(rng, 0.8 * severity, colour),
        height=0.012,
        halo=float(rng.uniform(0, 0.25)),
        papules=_around(rng, count, 0.12, (0.030, 0.066)),
        papule_shift=_shift(rng, severity, colour),
        striae=float(rng.uniform(0.1, 1.0)),
        scale=float(rng.uniform(0, 0.45)) if merged else 0.0,
    )


def contact_dermatitis(rng: np.random.Generator, melanin: float) -> Lesion:
    """Draw ill-defined, patchy redness with grouped vesicles; on dark skin darker than red."""
    severity = rng.uniform(0.35, 1.2)
    colour = between(melanin, (-7, 17, 3), (-10, 4, -5))
    chronic = rng.random() < 0.3
    count = int(rng.integers(0, 8)) if chronic else int(rng.integers(6, 60))
    return replace(
        _outline(rng, 0.17, 0.34),
        wobble=float(rng.uniform(0.4, 0.8)),
        soft=float(rng.uniform(0.015, 0.07)),
        shift=_shift(rng, severity, colour),
        patchy=float(rng.uniform(0.2, 0.8)),
        halo=float(rng.uniform(0.1, 0.35)),
        height=float(rng.uniform(0.0, 0.01)),
        scale=float(rng.uniform(0.1, 0.45)) if chronic else float(rng.uniform(0, 0.08)),
        crust=float(rng.uniform(0.2, 0.45)) if rng.random() < 0.18 else 0.0,
        keratin=1.0,
        vesicles=_around(rng, count, 0.10, (0.012, 0.026)),
    )


def basal_cell_carcinoma(rng: np.random.Generator, melanin: float) -> Lesion:
    """Draw a pearly nodule: rolled border, branching vessels, often an ulcer or crust within.

    One in five is superficial: a thin, slightly scaly plaque with a faint border.
    """
    colour = between(melanin, (-3, 10, -1), (-12, 1, -6))
    thin = rng.random() < 0.2
    ulcerated = rng.random() < (0.2 if thin else 0.6)
    pigmented = rng.random() < 0.25 + 0.5 * melanin
    return replace(
        _outline(rng, 0.12, 0.25),
        wobble=float(rng.uniform(0.1, 0.5)),
        soft=float(rng.uniform(0.008, 0.028)),
        shift=_shift(rng, rng.uniform(0.5, 1.3), colour),
        halo=float(rng.uniform(0, 0.25)),
        height=float(rng.uniform(0.006, 0.016) if thin else rng.uniform(0.025, 0.06)),
        dome=0.2 if thin else float(rng.uniform(0.5, 1.0)),
        pearl=float(rng.uniform(0.05, 0.3) if thin else rng.uniform(0.15, 1.0)),
        pigment=int(rng.poisson(1 + 10 * melanin)) if pigmented else 0,
        scale=float(rng.uniform(0.05, 0.35)) if thin else 0.0,
        ulcer=float(rng.uniform(0.2, 0.5)) if ulcerated else 0.0,
        crust=float(rng.uniform(0.2, 0.55)) if rng.random() < 0.5 * ulcerated else 0.0,
        keratin=float(rng.uniform(0, 0.7)),
        vessels=int(rng.integers(0, 5) if thin else rng.integers(2, 9)),
    )


def squamous_cell_carcinoma(rng: np.random.Generator, melanin: float) -> Lesion:
    """Draw a firm red nodule under a thick horny crust, sometimes bleeding.

    Somewhat more than one in four is in situ: a flat, scaly red plaque with little or no crust.
    """
    colour = between(melanin, (-9, 15, 3), (-9, 3, -6))
    flat = rng.random() < 0.28
    small_crust = rng.uniform(0.15, 0.35) if rng.random() < 0.5 else 0.0
    return replace(
        _outline(rng, 0.13, 0.26),
        wobble=float(rng.uniform(0.3, 0.7)),
        soft=float(rng.uniform(0.008, 0.03)),
        shift=_shift(rng, rng.uniform(0.4, 1.2), colour),
        patchy=float(rng.uniform(0.05, 0.4)),
        halo=float(rng.uniform(0.05, 0.35)),
        height=float(rng.uniform(0.008, 0.02) if flat else rng.uniform(0.025, 0.06)),
        dome=0.1 if flat else float(rng.uniform(0.4, 0.9)),
        pearl=float(rng.uniform(0, 0.3)),
        scale=float(rng.uniform(0.1, 0.5)) if flat else float(rng.uniform(0, 0.25)),
        scale_tiles=int(rng.integers(12, 28)),
        ulcer=float(rng.uniform(0.2, 0.45)) if rng.random() < 0.4 else 0.0,
        crust=float(small_crust if flat else rng.uniform(0.3, 0.85)),
        keratin=float(rng.uniform(0.3, 1.0)),
        vessels=int(rng.integers(0, 4)) if rng.random() < 0.4 else 0,
    )


LESIONS: Mapping[str, Callable[[np.random.Generator, float], Lesion]] = MappingProxyType(
    {
        "allergic contact dermatitis": contact_dermatitis,
        "basal cell carcinoma": basal_cell_carcinoma,
        "lichen planus": lichen_planus,
        "psoriasis": psoriasis,
        "squamous cell carcinoma": squamous_cell_carcinoma,
    }
)
