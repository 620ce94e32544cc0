"""The sheet on which the skin phantom is drawn, healthy skin, and the hairs over all."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from fairgen.phantoms.fields import Field, axis, cellular, dots, fractal, noise, strokes
from fairgen.phantoms.skin_anatomy import Person

SKIN_GLOSS = 0.06


@dataclass(frozen=True)
class Sheet:
    """Holds a drawing before light falls on it.

    Attributes:
        lab: Colour.
        height: Elevation, in fractions of the side.
        gloss: How much light is mirrored, relative.
        signs: What was drawn where, each in [0, 1]: ``lesion`` (the plaques), ``papules``,
            ``scale``, ``ulcer``, ``crust``, ``vessels``, ``vesicles``.
    """

    lab: Float[np.ndarray, "3 n n"]
    height: Field
    gloss: Field
    signs: dict[str, Field]

    @property
    def side(self) -> int:
        """Return the pixels a side."""
        return int(self.height.shape[0])

    def mark(self, name: str, mask: Field) -> "Sheet":
        """Return the sheet with a sign noted."""
        return replace(self, signs={**self.signs, name: mask})

    def tint(self, mask: Field, shift: tuple[float, float, float] | np.ndarray) -> "Sheet":
        """Return the sheet with its colour changed by ``shift`` where the mask is 1."""
        change = np.asarray(shift, np.float32)[:, None, None]
        return replace(self, lab=self.lab + mask * change)

    def cover(self, mask: Field, colour: np.ndarray) -> "Sheet":
        """Return the sheet painted over: opaque where the mask is 1."""
        return replace(self, lab=self.lab + mask * (colour - self.lab))

    def lift(self, height: Field, gloss: Field | float = 0.0) -> "Sheet":
        """Return the sheet raised, and glossier."""
        return replace(self, height=self.height + height, gloss=self.gloss + gloss)


def rgb(*lab: float) -> Float[np.ndarray, "3 1 1"]:
    """Return a CIELAB colour ready to be broadcast over a sheet."""
    return np.array(lab, np.float32)[:, None, None]


def skin(person: Person, rng: np.random.Generator, n: int) -> Sheet:
    """Return healthy skin: uneven colour, furrows, pores, freckles."""
    u = axis(n)
    x, y = np.broadcast_to(u, (n, n)), np.broadcast_to(u[:, None], (n, n))
    warp = 0.012 * noise(rng, n, 8)
    seam, tile = cellular(rng, x + warp, y - warp, person.relief)
    fine = fractal(rng, n, 16, 3, 0.8)
    wide = fractal(rng, n, 3, 3, 0.6)
    red = fractal(rng, n, 4, 3, 0.7)
    furrow = np.exp(-((seam / 0.16) ** 2)) * person.furrows
    amount = person.mottling
    lab = rgb(*person.colour) + np.stack(
        [
            1.5 * amount * wide + 0.9 * fine - 2.2 * furrow + 1.6 * (tile - 0.5) - 0.8 * red,
            1.1 * amount * red + 0.25 * fine + 0.5 * furrow,
            0.7 * amount * wide - 0.3 * red,
        ]
    )
    height = 0.0030 * (0.4 * fine - furrow + 0.5 * tile)
    sheet = Sheet(lab, height, np.full((n, n), SKIN_GLOSS * person.sheen, np.float32), {})
    return _speckle(sheet, person, rng)


def _speckle(sheet: Sheet, person: Person, rng: np.random.Generator) -> Sheet:
    """Add pores and freckles."""
    n = sheet.side
    pores = np.column_stack(
        [rng.random((140, 2)), rng.uniform(0.002, 0.004, 140), rng.uniform(0.2, 1, 140)]
    )
    freckles = np.column_stack(
        [
            rng.random((person.freckles, 2)),
            rng.uniform(0.006, 0.014, person.freckles),
            rng.uniform(0.2, 1, person.freckles),
        ]
    )
    sheet = sheet.tint(person.pores * dots(pores, n), (-6.0, 2.0, 1.0))
    return sheet.tint(dots(freckles, n), (-7.0, 2.5, 4.0))


def hairs(sheet: Sheet, person: Person, rng: np.random.Generator) -> Sheet:
    """Add hairs that lie over everything."""
    k, steps = person.hairs, 90
    if k == 0:
        return sheet
    heading = rng.normal(person.hair_angle, 0.35, k)
    bend = rng.normal(0, 0.009, (k, 1)) * np.arange(steps) + heading[:, None]
    move = np.stack([np.cos(bend), np.sin(bend)], 2) * (rng.uniform(0.15, 0.4, (k, 1, 1)) / steps)
    points = (rng.random((k, 1, 2)) + np.cumsum(move, axis=1)).reshape(-1, 2)
    marks = np.column_stack([points, np.full((len(points), 2), (0.0018, 0.9))])
    colour = rgb(30 - 14 * person.melanin, 6, 9)
    return sheet.cover(0.75 * strokes(marks, sheet.side), colour)
