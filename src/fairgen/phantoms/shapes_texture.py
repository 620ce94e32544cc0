"""Colours and textures of the generic pretraining pictures."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

Field = Float[np.ndarray, "size size"]
Colour = Float[np.ndarray, "3"]

# A word fixes the hue alone (degrees); saturation and brightness are drawn apart, so that no word
# stands for a tone of anything.
HUES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "red": (-18.0, 14.0),
        "orange": (14.0, 42.0),
        "yellow": (42.0, 70.0),
        "green": (70.0, 160.0),
        "teal": (160.0, 195.0),
        "blue": (195.0, 255.0),
        "purple": (255.0, 342.0),
    }
)
GREYS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"black": (0.0, 0.2), "grey": (0.25, 0.7), "white": (0.75, 1.0)}
)
COLOURS = (*HUES, *GREYS)


def from_hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return the RGB colour in [0, 1] of a hue in degrees, a saturation and a value."""
    k = (np.array([5.0, 3.0, 1.0]) + hue / 60.0) % 6.0
    return np.asarray(value * (1.0 - saturation * np.clip(np.minimum(k, 4.0 - k), 0.0, 1.0)))


def draw_colour(rng: np.random.Generator, word: str) -> Colour:
    """Return a colour that the word names, RGB in [0, 1]; greys have no hue at all."""
    if word in GREYS:
        return np.full(3, rng.uniform(*GREYS[word]))
    return from_hsv(rng.uniform(*HUES[word]), rng.uniform(0.15, 1.0), rng.uniform(0.15, 1.0))


def grid(size: int) -> tuple[Field, Field]:
    """Return the pixel centres' x and y, both from -1 to 1."""
    line = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
    x, y = np.meshgrid(line, line)
    return x, y


def fractal(rng: np.random.Generator, size: int, *, power: float, stretch: float = 1.0) -> Field:
    """Return noise with zero mean, unit spread and a 1 / f^power amplitude spectrum.

    Args:
        rng: Source of the draws.
        size: Side in pixels.
        power: Zero is white noise; 2 and more is smooth.
        stretch: Above one, the noise runs in fibres of a random direction.
    """
    down = np.fft.fftfreq(size)[:, None]
    right = np.fft.rfftfreq(size)[None, :]
    angle = rng.uniform(0.0, np.pi)
    along = np.cos(angle) * right + np.sin(angle) * down
    across = np.cos(angle) * down - np.sin(angle) * right
    frequency = np.sqrt((stretch * along) ** 2 + across**2)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) / frequency**power
    field = np.fft.irfft2(spectrum, s=(size, size))
    return np.asarray((field - field.mean()) / (field.std() + 1e-9))


def leaves(rng: np.random.Generator, size: int, *, count: int = 70) -> Field:
    """Return dead leaves: overlapping disks of power-law radius, each of one value in [0, 1].

    Reference:
        Lee, Mumford and Huang, "Occlusion models for natural images", IJCV 2001.
    """
    x, y = grid(size)
    radius = 0.08 / np.sqrt(rng.uniform(0.008, 1.0, count))
    centre = rng.uniform(-1.2, 1.2, (2, count))
    reach = (x[None] - centre[0, :, None, None]) ** 2 + (y[None] - centre[1, :, None, None]) ** 2
    inside = reach < radius[:, None, None] ** 2
    values = rng.uniform(0.0, 1.0, count + 1)
    top = np.where(inside.any(axis=0), inside.argmax(axis=0), count)
    return np.asarray(values[top])


def texture(rng: np.random.Generator, size: int) -> Field:
    """Return a texture of a random kind, with zero mean and unit spread."""
    kind = rng.integers(6)
    if kind == 0:
        field = leaves(rng, size)
        return np.asarray((field - field.mean()) / (field.std() + 1e-9))
    if kind == 1:
        return fractal(rng, size, power=rng.uniform(0.6, 1.6), stretch=rng.uniform(2.0, 6.0))
    return fractal(rng, size, power=rng.uniform(0.2, 2.6))


def layer(
    rng: np.random.Generator, size: int, colour: Colour, *, grey: bool
) -> Float[np.ndarray, "size size 3"]:
    """Return a textured layer of one colour, RGB about [0, 1].

    The texture changes brightness and, unless ``grey``, drifts a little in hue as well.
    """
    amount = rng.uniform(0.0, 0.16) ** 1.5 * 2.5
    direction = np.ones(3) if grey else np.ones(3) + 0.6 * rng.standard_normal(3)
    shade = texture(rng, size)[..., None] * direction * amount
    return np.asarray(colour * (1.0 + shade) + 0.25 * shade)
