"""The anatomy of phantoms, real and generated, as their oracle measures it."""

import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import UInt8

from fairgen.files.atomic import write_bytes
from fairgen.files.folder import CohortFolder
from fairgen.files.image import read_image
from fairgen.metrics.anatomy import Anatomy, anatomy_distances
from fairgen.metrics.phenotype import fit_phenotype, phenotype_scores
from fairgen.metrics.score import Score
from fairgen.phantoms import PHANTOMS
from fairgen.phantoms.phantom import Phantom, balanced
from fairgen.study.config import Study

Pixels = UInt8[np.ndarray, "n h w c"]
Seen = tuple[str, str, UInt8[np.ndarray, "h w c"]]  # name, group key, image
ANATOMY = "anatomy.parquet"
UNSEEN = "unseen"
"""Prefix of the scores by the quantities that no preference of the oracle's looked at."""
REFERENCE, REAL, AUTOENCODER, SYNTHETIC = "reference", "real", "autoencoder", "synthetic"


def oracle_of(study: Study) -> Phantom | None:
    """Return the phantom that a study is about, if there is one whose anatomy can be measured."""
    name = study.data.phantom.name if study.data.phantom else ""
    phantom = PHANTOMS.get(name)
    return phantom if phantom and phantom.quantities else None


def write_reference(
    path: Path,
    phantom: Phantom,
    *,
    size: int,
    counts: tuple[int, int],
    roundtrip: Callable[[Pixels], Pixels],
) -> None:
    """Measure freshly drawn phantoms, every group alike, and write the table.

    Args:
        path: Parquet file to write.
        phantom: Whose anatomy.
        size: Side of the images in pixels.
        counts: Images a group of the reference, and of the floors, as many as are generated:
            further phantoms (``real``), and the same after a round trip through the autoencoder
            (``autoencoder``).
        roundtrip: Encodes images and decodes them again.
    """
    reference = _drawn(phantom, counts[0], "anatomy reference", size)
    real = list(_drawn(phantom, counts[1], "anatomy floor", size))
    decoded = roundtrip(np.stack([image for _, _, image in real]))
    coded = [(name, key, image) for (name, key, _), image in zip(real, decoded, strict=True)]
    _write(path, phantom, {REFERENCE: reference, REAL: real, AUTOENCODER: coded})


def write_synthetic(path: Path, phantom: Phantom, folder: CohortFolder) -> None:
    """Measure a generated set and write the table.

    Raises:
        CohortError: If an image cannot be read.
    """
    channels = folder.modality.channels
    seen = (
        (r.image, r.group.key, read_image(folder.path(r), channels=channels))
        for r in folder.cohort.records
    )
    _write(path, phantom, {SYNTHETIC: seen})


def _drawn(phantom: Phantom, count: int, purpose: str, size: int) -> Iterator[Seen]:
    for specimen in balanced(phantom.schema, count, f"{phantom.name} {purpose}"):
        yield specimen.subject, specimen.group.key, phantom.render(specimen, size)


def _write(path: Path, phantom: Phantom, sets: Mapping[str, Iterable[Seen]]) -> None:
    """Measure sets of images and write one row an image."""
    names = [q.name for q in phantom.quantities]
    columns: dict[str, list[str | float]] = {n: [] for n in ("image", "group", "source", *names)}
    for source, seen in sets.items():
        for image, group, pixels in seen:
            measured = phantom.measure(pixels) or dict.fromkeys(names, math.nan)
            row: dict[str, str | float] = {
                "image": image,
                "group": group,
                "source": source,
                **measured,
            }
            for name, values in columns.items():
                values.append(row[name])
    table = pa.table(columns)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_bytes(path, buffer.getvalue())


def read_anatomy(path: Path, phantom: Phantom, source: str) -> Anatomy:
    """Return one set of a table."""
    names = tuple(q.name for q in phantom.quantities)
    rows = pq.read_table(path, filters=[("source", "==", source)])
    values = np.array([rows[n].to_numpy() for n in names], dtype=np.float64).T
    return Anatomy(names, values.reshape(-1, len(names)), tuple(rows["group"].to_pylist()))


def anatomy_scores(phantom: Phantom, reference: Path, judged: Path, source: str) -> list[Score]:
    """Return how well one set of images fits its prompts, and how far its anatomy is from real.

    ``unseen_fit``, ``unseen_label`` and ``unseen_attribute`` tell how well it fits by the
    quantities alone that the oracle keeps back when it prefers images in a physician's place.

    Args:
        phantom: Whose anatomy.
        reference: Table of ``write_reference``.
        judged: Table with the set to judge.
        source: Which set of that table.
    """
    robust = [q.name for q in phantom.quantities if q.robust]
    known = read_anatomy(reference, phantom, REFERENCE)
    made = read_anatomy(judged, phantom, source)
    fitted = fit_phenotype(known, robust)
    return [
        *phenotype_scores(fitted, made, phantom.schema),
        *_unseen_scores(phantom, known, made),
        *anatomy_distances(known, made, phantom.schema, robust),
    ]


def _unseen_scores(phantom: Phantom, known: Anatomy, made: Anatomy) -> list[Score]:
    if not phantom.kept_back:
        return []
    fitted = fit_phenotype(known, phantom.kept_back)
    return phenotype_scores(fitted, made, phantom.schema, prefix=UNSEEN)
