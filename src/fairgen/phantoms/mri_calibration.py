"""How the brain oracle turns pixels into estimates, and what it learns from phantoms of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from fairgen.cohort.schema import Group
from fairgen.cohort.seed import derive
from fairgen.phantoms.mri_anatomy import AGES, HEALTHY, ILL
from fairgen.phantoms.mri_pixels import Frame, Grey, Readings, frame, readings, sharpness
from fairgen.phantoms.mri_render import develop, draw, scene
from fairgen.phantoms.mri_sheet import TISSUES, Shares
from fairgen.phantoms.mri_truth import areas, described, visible
from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.reader import PixelReader, fit_lines, fit_reader
from fairgen.phantoms.scaling import READING, canvas
from fairgen.phantoms.wear import worn

EXAMPLES = 45
"""Phantoms of each group on which the oracle is calibrated; no cohort has their seeds."""

PIXELS = 180
"""Pixels of each of them."""

WANTED = (0.2, 1.0, 4.0, 1.0, 3.0, 1.0, 1.0, 8.0, 1.0)
"""How much more often a pixel of each tissue is looked at, so that the rare ones are learned."""

MET = 0.004
"""Share of the brain at which a structure is half as good as certainly in the slice."""

Table = Float[np.ndarray, "rows _"]
Traces = Float[np.ndarray, " _"]
Slopes = Float[np.ndarray, " _"]


@dataclass(frozen=True)
class Example:
    """Holds one image of the calibration, what is read from it, and its truth.

    Attributes:
        grey: The image, worn.
        head: Where the head lies in it.
        read: Readings of its pixels.
        tissues: True shares of its pixels.
        truth: True anatomy.
    """

    grey: Grey
    head: Frame
    read: Readings
    tissues: Shares
    truth: Mapping[str, float]


@dataclass(frozen=True)
class Usual:
    """Holds which traces brains leave.

    Attributes:
        mean: Mean of each trace.
        spread: Standard deviation of each trace.
        precision: Inverse of the correlations between traces, somewhat shrunk.
    """

    mean: Traces
    spread: Traces
    precision: Float[np.ndarray, "k k"]

    def strangeness(self, row: Traces) -> float:
        """Return how far traces lie from a brain's: 1 is usual (Mahalanobis, by dimension)."""
        z = (row - self.mean) / self.spread
        return float(np.sqrt(z @ self.precision @ z / len(z)))


@dataclass(frozen=True)
class Calibration:
    """Holds what the oracle learned from phantoms of its own.

    Attributes:
        reader: Tells tissues in pixels.
        slopes: Offset and, after it, one slope for each of the ``traces``, by quantity.
        lines: Offset and slope, by quantity, that turn a reading into an estimate.
        usual: Tells brains from other things.
    """

    reader: PixelReader
    slopes: Mapping[str, Slopes]
    lines: Mapping[str, tuple[float, float]]
    usual: Usual


@lru_cache(maxsize=1)
def calibration() -> Calibration:
    """Return the calibration; the first call renders phantoms for it, which takes seconds."""
    seen = list(_examples())
    reader = _fit_tissues(seen)
    shares = [reader.shares(e.read) for e in seen]
    table = np.stack([traces(e.grey, e.head, s) for e, s in zip(seen, shares, strict=True)])
    slopes = {key: _ridge(table, np.array([e.truth[key] for e in seen])) for key in seen[0].truth}
    found = [(estimates(row, slopes), e.truth) for row, e in zip(table, seen, strict=True)]
    return Calibration(reader, slopes, fit_lines(found), _usual(table))


def _usual(table: Table) -> Usual:
    """Return what is usual among the rows of a table."""
    mean, spread = table.mean(axis=0), table.std(axis=0) + 1e-9
    correlation = np.cov(((table - mean) / spread).T)
    return Usual(mean, spread, np.linalg.inv(correlation + 0.05 * np.eye(len(mean))))


def estimates(row: Traces, slopes: Mapping[str, Slopes]) -> dict[str, float]:
    """Return the measures of an image, from its traces, before calibration."""
    return {key: float(each[0] + each[1:] @ row) for key, each in slopes.items()}


def traces(grey: Grey, head: Frame, shares: Shares) -> Traces:
    """Return what the anatomy leaves in an image, the same for every quantity.

    The areas of the tissues; how far hippocampus and temporal horns are seen at all; of sulci,
    cortex and white matter how much there is, how pure, how long its edges are, how bright it
    looks; of the whole brain quantiles of brightness, contrast at two scales, and sharpness.
    """
    level = np.clip(grey / head.white, 0, 1.5)
    sizes = areas(shares)
    met = [sizes[key] / (sizes[key] + MET) for key in ("hippocampus", "temporal_horn")]
    thin = [_thin(level, head, shares[TISSUES.index(k)]) for k in ("sulci", "cortex", "white")]
    bright = np.quantile(level[head.mask], (0.05, 0.15, 0.3, 0.45, 0.6))
    detail = [np.abs(level - gaussian_filter(level, s))[head.mask].mean() for s in (0.7, 1.5)]
    size = head.mask.mean()
    found = [size, *sizes.values(), *met, *np.ravel(thin), *bright, *detail, sharpness(level, head)]
    return np.array(found, np.float64)


def _thin(level: Grey, head: Frame, part: Grey) -> list[float]:
    """Return amount, purity, length of the edges and brightness of a tissue, by its shares."""
    size = float(head.mask.sum())
    total, pure = float(part.sum()) + 1, float((part**2).sum())
    edge = float(np.hypot(*np.gradient(part)).sum())
    seen = float((part * level).sum()) / total
    purest = float((part**3 * gaussian_filter(level, 0.7)).sum()) / (pure + 1)
    return [total / size, pure / total, edge / size, edge / total, seen, purest]


def _fit_tissues(seen: Sequence[Example]) -> PixelReader:
    """Return the reader that learned tissues from some pixels of each example."""
    rows, truths, weights = [], [], []
    for number, example in enumerate(seen):
        rng = np.random.default_rng(derive(0, "mri pixels", number))
        tissues = example.tissues.reshape(len(TISSUES), -1)
        weight = np.dot(WANTED, np.clip(tissues, 0, 1))
        chosen = rng.choice(weight.size, PIXELS, replace=False, p=weight / weight.sum())
        rows.append(example.read.reshape(-1, weight.size)[:, chosen].T)
        truths.append(tissues[:, chosen].T)
        weights.append(weight.sum() / weight[chosen])
    return fit_reader(
        np.concatenate(rows), np.concatenate(truths), np.concatenate(weights), steps=80
    )


def _ridge(table: Table, truth: np.ndarray, decay: float = 3.0) -> Slopes:
    """Return offset and slopes of the ridge regression of a truth on standardised traces."""
    mean, spread = table.mean(axis=0), table.std(axis=0) + 1e-9
    x = (table - mean) / spread
    slopes = np.linalg.solve(x.T @ x + decay * np.eye(x.shape[1]), x.T @ (truth - truth.mean()))
    slopes = slopes / spread
    return np.array([truth.mean() - slopes @ mean, *slopes])


def _examples() -> Iterator[Example]:
    """Yield the phantoms of the calibration, most of them worn, some twice."""
    for band in AGES:
        for diagnosis in (HEALTHY, ILL):
            for i in range(EXAMPLES):
                seed = derive(0, "mri calibration", band, diagnosis, i)
                subject = f"calibration-{band}-{diagnosis}-{i}"
                yield from _example(Specimen(Group((band,), diagnosis), subject, i, seed))


def _example(specimen: Specimen) -> Iterator[Example]:
    """Yield a phantom as the oracle sees it, unless no head is found in it."""
    rng = np.random.default_rng(specimen.seed)
    patient, brain, taken = scene(specimen)
    drawing = draw(specimen, patient, brain, taken, canvas(READING))
    image = worn(worn(develop(drawing, taken, READING, specimen.seed), rng), rng)
    grey = image[..., 0].astype(np.float32)
    if (head := frame(grey)) is not None:
        truth = described(brain, taken, drawing)
        yield Example(grey, head, readings(grey, head), visible(drawing), truth)
