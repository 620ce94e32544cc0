"""Draws the signs of a lesion: each changes the sheet's colour, height and gloss."""

from math import cos, sin, sqrt

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from fairgen.phantoms.fields import (
    Field,
    Marks,
    axis,
    cellular,
    discs,
    fractal,
    noise,
    polygons,
    step,
    strokes,
)
from fairgen.phantoms.skin_anatomy import Lesion, Person
from fairgen.phantoms.skin_sheet import Sheet, rgb


def plaque_depth(lesion: Lesion, rng: np.random.Generator, n: int) -> tuple[Field, Field]:
    """Return the signed distance to the outline, and the first plaque's radius coordinate."""
    u = axis(n)
    warp_x, warp_y = noise(rng, n, 4), noise(rng, n, 4)
    rough = fractal(rng, n, 9, 2, 0.6)
    c, s = cos(lesion.turn), sin(lesion.turn)
    stretch = sqrt(lesion.aspect)
    distance = np.full((n, n), 1.0, np.float32)
    first = np.full((n, n), 9.0, np.float32)
    for i, (px, py, radius) in enumerate(lesion.plaques):
        bend = lesion.wobble * 0.35 * radius
        dx = u[None, :] - px + bend * warp_x
        dy = u[:, None] - py + bend * warp_y
        q = np.hypot((c * dx + s * dy) / stretch, (c * dy - s * dx) * stretch) / radius
        q = q + 0.10 * lesion.wobble * rough
        first = q if i == 0 else first
        distance = np.minimum(distance, (q - 1) * radius)
    return distance.astype(np.float32), first.astype(np.float32)


def inflame(sheet: Sheet, lesion: Lesion, distance: Field, rng: np.random.Generator) -> Sheet:
    """Colour the plaques, unevenly where patchy, and a diffuse halo around them."""
    n = sheet.side
    body = step(distance, lesion.soft)
    patches = fractal(rng, n, 6, 3, 0.7) if lesion.patchy else np.zeros_like(body)
    even = np.clip(1 + lesion.patchy * (0.75 * patches - 0.25), 0.05, 1.5)
    near = np.exp(-np.clip(distance, 0, None) / 0.07) * (1 - body)
    lightness, a, b = lesion.shift
    sheet = sheet.tint(lesion.halo * near, (0.4 * lightness, 0.8 * a, 0.4 * b))
    sheet = sheet.tint(body * even, lesion.shift)
    return sheet.mark("lesion", body * np.clip(even, 0, 1))


def raise_plaque(sheet: Sheet, lesion: Lesion, distance: Field, radius: Field) -> Sheet:
    """Give the plaques a plateau or a dome."""
    edge = max(lesion.soft, 0.012)
    plateau = step(distance + edge, edge)
    dome = np.sqrt(np.clip(1 - radius * radius, 0, 1))
    return sheet.lift(lesion.height * ((1 - lesion.dome) * plateau + lesion.dome * dome))


def pearl(
    sheet: Sheet, lesion: Lesion, person: Person, radius: Field, rng: np.random.Generator
) -> Sheet:
    """Add the rolled, translucent, shiny border of a basal cell carcinoma."""
    if lesion.pearl == 0:
        return sheet
    n = sheet.side
    beads = (1 - 0.35 * person.melanin) * np.clip(
        0.75 + 0.45 * fractal(rng, n, 8, 2, 0.9), 0.05, 1.4
    )
    ring = np.exp(-(((radius - 0.80) / 0.17) ** 2)) * lesion.pearl * beads
    lightness, a, b = person.colour
    shine = rgb(min(lightness + 12 - 4 * person.melanin, 90), a + 3, b - 9)
    sheet = sheet.cover(np.clip(0.55 * ring, 0, 1), shine)
    return sheet.lift(0.020 * ring, 0.22 * ring)


def globules(sheet: Sheet, lesion: Lesion, rng: np.random.Generator) -> Sheet:
    """Add brown globules of pigment within the first plaque."""
    if lesion.pigment == 0:
        return sheet
    x, y, radius = map(float, lesion.plaques[0])
    k = lesion.pigment
    places = np.array([x, y]) + rng.normal(0, 0.42 * radius, (k, 2))
    marks = np.column_stack([places, rng.uniform(0.008, 0.022, k), rng.uniform(0.4, 1, k)])
    dark = strokes(marks, sheet.side) * sheet.signs["lesion"]
    return sheet.cover(0.75 * dark, rgb(20, 6, 2))


def papules(sheet: Sheet, lesion: Lesion, person: Person, rng: np.random.Generator) -> Sheet:
    """Add flat-topped polygonal papules with fine white lines."""
    k, n = len(lesion.papules), sheet.side
    if k == 0:
        return sheet
    turns = np.linspace(0, 2 * np.pi, 6, endpoint=False) + rng.normal(0, 0.2, (k, 6))
    turns += rng.uniform(0, np.pi, (k, 1))
    reach = rng.uniform(0.72, 1.05, (k, 6))
    distance = polygons(lesion.papules, turns, reach, n)
    body = step(distance, 0.09)
    flat = step(distance + 0.12, 0.09)
    u = axis(n)
    seam, _ = cellular(rng, np.broadcast_to(u, (n, n)), np.broadcast_to(u[:, None], (n, n)), 36)
    lines = np.exp(-((seam / 0.16) ** 2)) * flat * lesion.striae
    near = np.exp(-np.clip(distance, 0, None) / 0.5) * (1 - body) * (distance < 1)
    lightness, a, b = lesion.papule_shift
    sheet = sheet.tint(lesion.halo * near, (0.3 * lightness, 0.8 * a, 0.3 * b))
    sheet = sheet.tint(body, lesion.papule_shift)
    sheet = sheet.cover(0.70 * lines, rgb(min(person.colour[0] + 18, 88), 6, 1))
    sheet = sheet.lift(0.013 * flat, 0.16 * flat)
    return sheet.mark("papules", body)


def scale(sheet: Sheet, lesion: Lesion, person: Person, rng: np.random.Generator) -> Sheet:
    """Add dry, silvery flakes on the plaques."""
    if lesion.scale == 0:
        return sheet
    n = sheet.side
    u = axis(n)
    warp = 0.02 * noise(rng, n, 12)
    x, y = np.broadcast_to(u, (n, n)) + warp, np.broadcast_to(u[:, None], (n, n)) - warp
    seam, tile = cellular(rng, x, y, lesion.scale_tiles)
    grainy = fractal(rng, n, 10, 4, 0.9)
    order = 0.7 * fractal(rng, n, 4, 3, 0.7) + 0.7 * (tile - 0.5) + 0.55 * grainy
    body = np.maximum(sheet.signs["lesion"], sheet.signs.get("papules", 0.0))
    core = gaussian_filter(body, 0.011 * n, truncate=2.5)
    inside = np.clip(3.0 * core - 1.7, 0, 1) * body
    threshold = _quantile(order, inside, 1 - lesion.scale)
    flake = step(threshold - order, 0.16) * inside
    edge = np.clip(seam / 0.2, 0, 1)
    silver = rgb(np.clip(person.colour[0] + 22, 60, 88), 3.0, 4.0)
    thick = flake * (0.55 + 0.30 * edge + 0.30 * (tile - 0.5) + 0.10 * grainy)
    sheet = sheet.cover(np.clip(thick, 0, 0.92), silver)
    rough = (0.5 * edge + 0.5 * tile + 0.2 * grainy) * flake
    return sheet.lift(0.007 * rough, 0.05 * flake).mark("scale", flake)


def _quantile(values: Field, inside: Field, q: float) -> float:
    """Return the quantile of the values within a mask."""
    chosen = values[inside > 0.5]
    return float(np.quantile(chosen, q)) if chosen.size else float("inf")


def ulcer(sheet: Sheet, lesion: Lesion, radius: Field, rng: np.random.Generator) -> Sheet:
    """Add a moist red hollow in the middle of the lesion."""
    if lesion.ulcer == 0:
        return sheet
    ragged = radius + 0.16 * fractal(rng, sheet.side, 6, 2, 0.8)
    hole = step(ragged - lesion.ulcer, 0.035)
    sheet = sheet.cover(0.85 * hole, rgb(33, 32, 17))
    return sheet.lift(-0.025 * hole, 0.22 * hole).mark("ulcer", hole)


def crust(sheet: Sheet, lesion: Lesion, person: Person, rng: np.random.Generator) -> Sheet:
    """Add a crust: dark and bloody, or thick, yellow and horny."""
    if lesion.crust == 0:
        return sheet
    n = sheet.side
    u = axis(n)
    x, y, radius = map(float, lesion.plaques[0])
    off = rng.normal(0, 0.12 * radius, 2).astype(np.float32)
    warp = 0.03 * noise(rng, n, 9)
    dx, dy = u[None, :] - x - off[0] + warp, u[:, None] - y - off[1] - warp
    ragged = np.hypot(dx, dy) / radius + 0.22 * fractal(rng, n, 5, 3, 0.8)
    seam, tile = cellular(rng, dx + 0.5, dy + 0.5, 22)
    lumps = fractal(rng, n, 8, 4, 0.8)
    body = step(ragged - lesion.crust, 0.045)
    k, m = lesion.keratin, person.melanin
    deep = rgb(22 + 24 * k, 16, 12 + 14 * k)
    pale = rgb(38 + 38 * k - 8 * m, 17 - 9 * k, 18 + 8 * k)
    colour = deep + (pale - deep) * np.clip(0.45 + 0.5 * (tile - 0.5) + 0.28 * lumps, 0, 1.1)
    colour = colour - np.exp(-((seam / 0.12) ** 2)) * rgb(9, -4, -1)
    sheet = sheet.cover(0.93 * body, colour)
    thick = body * (0.75 + 0.25 * tile + 0.22 * lumps + 0.1 * np.clip(seam / 0.3, 0, 1))
    return sheet.lift((0.010 + 0.020 * k) * thick, 0.05 * body).mark("crust", body)


def vessels(sheet: Sheet, lesion: Lesion, person: Person, rng: np.random.Generator) -> Sheet:
    """Add branching dilated vessels that creep from the border inwards."""
    if lesion.vessels == 0:
        return sheet
    x, y, radius = map(float, lesion.plaques[0])
    k, steps = lesion.vessels, 40
    angle = rng.uniform(0, 2 * np.pi, k)
    start = np.stack([x + 0.9 * radius * np.cos(angle), y + 0.9 * radius * np.sin(angle)], 1)
    trunk = _walk(rng, start, angle + np.pi + rng.normal(0, 0.6, k), 0.8 * radius, steps)
    forks = rng.integers(8, 26, (k, 2))
    roots = trunk[np.arange(k)[:, None], forks].reshape(-1, 2)
    heading = np.repeat(angle + np.pi, 2) + np.tile([0.9, -0.9], k)
    twigs = _walk(rng, roots, heading, 0.4 * radius, steps)
    lines = np.concatenate([trunk, twigs]).reshape(-1, 2)
    width = np.repeat([0.0036, 0.0022], [k * steps, 2 * k * steps])
    cover = strokes(np.column_stack([lines, width, np.full(len(lines), 0.8)]), sheet.side)
    cover = cover * (1 - sheet.signs.get("crust", 0.0)) * (0.1 + 0.9 * sheet.signs["lesion"])
    m = person.melanin
    sheet = sheet.tint(cover, (-19 + 9 * m, 21 - 13 * m, 1 - 3 * m))
    return sheet.mark("vessels", cover)


def _walk(
    rng: np.random.Generator, start: Marks, heading: np.ndarray, length: float, steps: int
) -> Float[np.ndarray, "k steps 2"]:
    """Return wandering paths from the starts along the headings."""
    turns = np.cumsum(rng.normal(0, 0.16, (len(start), steps)), axis=1) + heading[:, None]
    move = np.stack([np.cos(turns), np.sin(turns)], axis=2) * (length / steps)
    return start[:, None, :] + np.cumsum(move, axis=1)


def vesicles(sheet: Sheet, lesion: Lesion, person: Person) -> Sheet:
    """Add small tense blisters: a clear shiny dome, a red rim."""
    if len(lesion.vesicles) == 0:
        return sheet
    distance = discs(lesion.vesicles, sheet.side)
    body = step(distance, 0.12)
    rim = np.exp(-(((distance - 0.30) / 0.28) ** 2)) * (distance < 1)
    dome = np.sqrt(np.clip(1 - np.clip(1 + distance, 0, 1) ** 2, 0, 1))
    lightness, a, b = person.colour
    sheet = sheet.tint(rim, (-6.0, 6.0 - 3 * person.melanin, 0.0))
    fluid = rgb(min(lightness + 12, 87), 0.75 * a, b + 1)
    sheet = sheet.cover(0.62 * body, fluid)
    return sheet.lift(0.022 * dome, 0.38 * body).mark("vesicles", body)
