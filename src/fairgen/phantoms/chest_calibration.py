"""How the chest oracle turns pixels into estimates, and what it learns from its own phantoms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from fairgen.cohort.schema import Group
from fairgen.cohort.seed import derive
from fairgen.phantoms.chest_anatomy import BUILDS
from fairgen.phantoms.chest_findings import FINDINGS
from fairgen.phantoms.chest_pixels import Readings, first_readings, normalised, second_readings
from fairgen.phantoms.chest_render import develop, draw, scene
from fairgen.phantoms.chest_truth import SIGNS, Shares, described, measures, seen, visible
from fairgen.phantoms.fields import Field
from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.reader import PixelReader, fit_lines, fit_reader
from fairgen.phantoms.scaling import READING, area_weights, canvas
from fairgen.phantoms.wear import worn

EXAMPLES = 22
"""Phantoms of each group on which the oracle is calibrated; no cohort has their seeds."""

PIXELS = 130
"""Pixels of each of them."""

GLANCES = 3
"""Readers in a row, each of which knows what the one before it saw."""

OPACITIES = 4.0
"""How much more a pixel counts that is full of opacity; they are rare."""

STEPS, DECAY = 70, 1e-5
"""Most steps of a reader's fit, and the penalty on its weights."""

COARSE = 16
"""Pixels a side at which an image is compared with the look of chests."""


@dataclass(frozen=True)
class Look:
    """Describes what chests look like from afar.

    Attributes:
        mean: The mean of standardised coarse images.
        ways: The ways in which they differ most, one a row, of length 1.
    """

    mean: Float[np.ndarray, " k"]
    ways: Float[np.ndarray, "ways k"]

    def likeness(self, grey: Field) -> tuple[float, float]:
        """Return how like the mean chest an image is, and how much of it no chest explains.

        Args:
            grey: The image.

        Returns:
            The correlation with the mean, and a share of the variance.
        """
        image = coarse(grey)
        off = image - self.mean
        rest = off - self.ways.T @ (self.ways @ off)
        size = float(np.linalg.norm(self.mean) * np.linalg.norm(image))
        return float(self.mean @ image) / max(size, 1e-6), float((rest**2).mean())


@dataclass(frozen=True)
class Example:
    """Holds a phantom of the calibration: what is seen, what is true, and some pixels of it.

    Attributes:
        grey: The image.
        first: Its readings before any glance, in half precision to save memory.
        shares: What its pixels show.
        breast: Thickness of the breasts.
        anatomy: Its true anatomy.
        chosen: The pixels from which is learned.
        weight: How much each of them counts.
    """

    grey: Field
    first: Readings
    shares: Shares
    breast: Field
    anatomy: Mapping[str, float]
    chosen: np.ndarray
    weight: np.ndarray

    def readings(self, shares: Sequence[Shares], place: int) -> Readings:
        """Return its readings, given what the last glance saw in all examples, or nothing yet."""
        first = self.first.astype(np.float32)
        return second_readings(first, shares[place]) if shares else first


@dataclass(frozen=True)
class Calibration:
    """Holds what the oracle learned from phantoms of its own.

    Attributes:
        readers: Tell signs in pixels, each from what the one before it saw around them.
        breasts: Tells where breasts lie over the picture.
        lines: Offset and slope, by quantity, that turn a reading into an estimate.
        look: What chests look like from afar.
    """

    readers: tuple[PixelReader, ...]
    breasts: PixelReader
    lines: Mapping[str, tuple[float, float]]
    look: Look


def coarse(grey: Field) -> Float[np.ndarray, " k"]:
    """Return a small, standardised copy of an image as a row."""
    smaller = area_weights(len(grey), COARSE)
    small = (smaller @ grey @ smaller.T).ravel()
    return np.asarray((small - small.mean()) / max(float(small.std()), 1e-3))


def read(first: Readings, readers: Sequence[PixelReader]) -> tuple[Readings, Shares]:
    """Return the last reader's readings of an image, and the signs that it sees."""
    readings, shares = first, readers[0].shares(first)
    for reader in readers[1:]:
        readings = second_readings(first, shares)
        shares = reader.shares(readings)
    return readings, shares


def estimates(
    first: Readings, readers: Sequence[PixelReader], breasts: PixelReader
) -> dict[str, float]:
    """Return the measures of an image before calibration."""
    readings, shares = read(first, readers)
    return measures(shares, breasts.shares(readings)[0])


@lru_cache(maxsize=1)
def calibration() -> Calibration:
    """Return the calibration; the first call renders phantoms for it, which takes seconds."""
    examples = [_example(specimen, rng) for specimen, rng in _specimens()]
    truth = np.concatenate([_rows(e.shares, e) for e in examples])
    weight = np.concatenate([e.weight for e in examples])
    readers: tuple[PixelReader, ...] = ()
    shares: list[Shares] = []
    for _ in range(GLANCES):
        rows = np.concatenate([_rows(e.readings(shares, i), e) for i, e in enumerate(examples)])
        readers += (fit_reader(rows, truth, weight, DECAY, STEPS),)
        if len(readers) < GLANCES:
            shares = [readers[-1].shares(e.readings(shares, i)) for i, e in enumerate(examples)]
    covered = np.concatenate([_rows(np.stack([e.breast, 1 - e.breast]), e) for e in examples])
    breasts = fit_reader(rows, covered, weight, DECAY, STEPS)
    found = []
    for i, e in enumerate(examples):
        last = e.readings(shares, i)
        found.append((measures(readers[-1].shares(last), breasts.shares(last)[0]), e.anatomy))
    return Calibration(readers, breasts, fit_lines(found), _look([e.grey for e in examples]))


def _example(specimen: Specimen, rng: np.random.Generator) -> Example:
    """Return a phantom of the calibration, some of them worn."""
    patient, findings, camera = scene(specimen)
    film = draw(specimen, patient, findings, camera, canvas(READING))
    image = worn(develop(film, camera, READING, specimen.seed), rng)
    grey = image[:, :, 0].astype(np.float32)
    shares = visible(film, camera)
    dense = shares[SIGNS.index("opacity")].ravel()
    chance = 1.1 - shares[-1].ravel() + 2 * dense
    chosen = rng.choice(dense.size, PIXELS, replace=False, p=chance / chance.sum())
    return Example(
        grey=grey,
        first=first_readings(normalised(grey)).astype(np.float16),
        shares=shares,
        breast=seen(film.signs["breast"], camera),
        anatomy=described(film, camera),
        chosen=chosen,
        weight=(1 + OPACITIES * dense[chosen]) / chance[chosen],
    )


def _rows(maps: Float[np.ndarray, "k n n"], example: Example) -> Float[np.ndarray, "rows k"]:
    """Return the chosen pixels of an example's maps, one row each."""
    return maps.reshape(len(maps), -1)[:, example.chosen].T


def _look(images: Sequence[Field], ways: int = 24) -> Look:
    """Return what images have in common, and how they differ most."""
    table = np.stack([coarse(image) for image in images])
    mean = table.mean(axis=0)
    return Look(mean, np.linalg.svd(table - mean, full_matrices=False)[2][:ways])


def _specimens() -> Iterator[tuple[Specimen, np.random.Generator]]:
    """Yield the phantoms of the calibration."""
    for sex in BUILDS:
        for finding in FINDINGS:
            for i in range(EXAMPLES):
                seed = derive(0, "chest calibration", sex, finding, i)
                subject = f"calibration-{sex}-{finding}-{i}"
                yield (
                    Specimen(Group((sex,), finding), subject, i, seed),
                    np.random.default_rng(seed),
                )
