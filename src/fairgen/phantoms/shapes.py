"""Generic pictures for pretraining: textures, outlines, every hue and brightness; no anatomy.

They teach a small model how pictures look (edges, gradients, grain, branching lines) and that a
prompt matters. They show no disease, no tone and no patient: each word names a hue or an outline.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter

from fairgen.cohort.schema import Attribute, Group, Schema
from fairgen.cohort.seed import derive
from fairgen.phantoms.phantom import Phantom, Specimen
from fairgen.phantoms.shapes_mask import MASKS
from fairgen.phantoms.shapes_texture import COLOURS, GREYS, draw_colour, fractal, grid, layer

SCHEMA = Schema(
    attributes=(Attribute("colour", COLOURS), Attribute("ground", COLOURS)),
    label=Attribute("shape", tuple(MASKS)),
)
TEMPLATE = "a {colour} {shape} on a {ground} ground"
GREY_SHARE = 0.25  # of the pictures, so that X-rays and brain slices are met as well
LEAST_CONTRAST = 0.18  # between outline and ground, in mean absolute RGB difference


def specimens(count: int, seed: int) -> tuple[Specimen, ...]:
    """Return ``count`` pictures to draw, one a subject, about a quarter of them without colour."""
    return tuple(_specimen(index, seed) for index in range(count))


def _specimen(index: int, seed: int) -> Specimen:
    own = derive(seed, "shapes", index)
    rng = np.random.default_rng(own)
    words = tuple(GREYS) if rng.random() < GREY_SHARE else COLOURS
    colour, ground = (words[rng.integers(len(words))] for _ in range(2))
    shape = tuple(MASKS)[rng.integers(len(MASKS))]
    return Specimen(Group((colour, ground), shape), f"shape-{index:06d}", index, own)


def anatomy(specimen: Specimen) -> Mapping[str, float]:
    """Return what ``measure`` finds in the specimen's picture: there is no anatomy to know."""
    return dict(measure(render(specimen, 64)) or {})


def _pose(specimen: Specimen) -> Mapping[str, float]:
    """Return place, radius (half a picture is 1), angle (radians) and softness of the outline."""
    rng = np.random.default_rng(derive(specimen.seed, "pose"))
    return {
        "x": rng.uniform(-0.45, 0.45),
        "y": rng.uniform(-0.45, 0.45),
        "radius": rng.uniform(0.25, 0.8),
        "angle": rng.uniform(-np.pi, np.pi),
        "softness": float(np.exp(rng.uniform(np.log(0.01), np.log(0.6)))),
    }


def render(specimen: Specimen, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Return the picture of a specimen.

    Args:
        specimen: What to draw.
        size: Side in pixels, at least 16.
    """
    rng = np.random.default_rng(derive(specimen.seed, "render"))
    colour, ground = _colours(rng, specimen.group)
    grey = set(specimen.group.levels) <= set(GREYS)
    covered = _mask(rng, specimen, size)[..., None] * rng.uniform(0.6, 1.0)
    front = layer(rng, size, colour, grey=grey)
    back = layer(rng, size, ground, grey=grey)
    picture = _light(rng, back + covered * (front - back))
    return np.asarray(np.clip(picture * 255.0 + 0.5, 0.0, 255.0), dtype=np.uint8)


def _colours(
    rng: np.random.Generator, group: Group
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Draw both colours; of twenty tries keep the first that can be told apart, else the best."""
    tries = [tuple(draw_colour(rng, word) for word in group.levels) for _ in range(20)]
    contrast = [np.abs(a - b).mean() for a, b in tries]
    seen = next((i for i, c in enumerate(contrast) if c >= LEAST_CONTRAST), None)
    colour, ground = tries[int(np.argmax(contrast)) if seen is None else seen]
    return colour, ground


def _mask(
    rng: np.random.Generator, specimen: Specimen, size: int
) -> Float[np.ndarray, "size size"]:
    pose = _pose(specimen)
    x, y = grid(size)
    x, y = (x - pose["x"]) / pose["radius"], (y - pose["y"]) / pose["radius"]
    cos, sin = np.cos(pose["angle"]), np.sin(pose["angle"])
    softness = max(pose["softness"], 3.0 / size) / pose["radius"]
    return MASKS[specimen.group.label](rng, cos * x + sin * y, cos * y - sin * x, softness)


def _light(
    rng: np.random.Generator, picture: Float[np.ndarray, "size size 3"]
) -> Float[np.ndarray, "size size 3"]:
    """Shade a picture unevenly, then blur it a little and add grain, as a camera would."""
    size = len(picture)
    x, y = grid(size)
    slope = rng.normal(0.0, 0.08, 2)
    shade = 1.0 + slope[0] * x + slope[1] * y - rng.uniform(0.0, 0.15) * (x**2 + y**2)
    picture = picture * shade[..., None]
    if rng.random() < 0.4:
        spread = rng.uniform(0.3, 0.9) * size / 64.0
        picture = gaussian_filter(picture, (spread, spread, 0.0))
    if rng.random() < 0.5:
        grain = fractal(rng, size, power=rng.uniform(0.0, 0.5))
        picture = picture + grain[..., None] * rng.uniform(0.0, 0.03)
    return np.asarray(picture)


def measure(image: UInt8[np.ndarray, "h w c"]) -> Mapping[str, float] | None:
    """Return brightness, contrast and chroma in [0, 1]; a blank picture cannot be measured."""
    scaled = image.astype(np.float64) / 255.0
    if np.ptp(scaled) == 0.0:
        return None
    return {
        "brightness": float(scaled.mean()),
        "contrast": float(scaled.mean(axis=2).std()),
        "chroma": float((scaled.max(axis=2) - scaled.min(axis=2)).mean()),
    }


SHAPES = Phantom(
    name="shapes",
    modality="generic",
    schema=SCHEMA,
    specimens=specimens,
    render=render,
    anatomy=anatomy,
    measure=measure,
    template=TEMPLATE,
)
