"""The predictions file: one row an image, with truth, prediction, probabilities and attributes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from fairgen.classifiers.sources import Source
from fairgen.cohort.schema import SEPARATOR
from fairgen.errors import StudyError
from fairgen.metrics.fairness import Predictions
from fairgen.metrics.tally import Coded

COLUMNS = ("image", "subject", "split", "label", "prediction")
PREFIX = "probability_"
INDEX = "__index_level_"
"""How pandas names the columns of an index, which mean nothing here."""
KEY = b"fairgen"


def write_predictions(
    path: Path, sources: Sequence[Source], probabilities: Sequence[Float[np.ndarray, "_ k"]]
) -> None:
    """Write what a classifier says about images as Parquet.

    The schema travels in the file's metadata, so that empty subgroups and the order of levels are
    known to a reader.

    Args:
        path: File to write.
        sources: The images, all of one schema.
        probabilities: One array a source: a row an image, a column a label.

    Raises:
        StudyError: If an attribute has the name of another column.
    """
    schema = sources[0].folder.cohort.schema
    rows = [r for s in sources for r in s.records]
    scores = np.concatenate(list(probabilities))
    labels = schema.label.levels
    columns: dict[str, list[str] | np.ndarray] = {
        "image": [r.image for r in rows],
        "subject": [r.subject for r in rows],
        "split": [r.split for r in rows],
        "label": [r.group.label for r in rows],
        "prediction": [labels[i] for i in scores.argmax(1)],
    }
    columns |= {f"{PREFIX}{name}": scores[:, k] for k, name in enumerate(labels)}
    for position, attribute in enumerate(schema.attributes):
        if attribute.name in columns:
            raise StudyError(f"attribute '{attribute.name}': the name of a column of predictions")
        columns[attribute.name] = [r.group.levels[position] for r in rows]
    table = pa.table(columns)
    levels = {a.name: a.levels for a in schema.attributes}
    card = {"label": {schema.label.name: labels}, "attributes": levels}
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps(card).encode()}), path)


def read_predictions(path: Path, *, split: str = "test") -> Predictions:
    """Return what a classifier said about one split.

    Files of other tools are read too: without the schema in the metadata, the classes are those of
    the probability columns, and every unknown column is an attribute with the levels that occur.

    Args:
        path: Parquet file with the columns that ``write_predictions`` writes.
        split: Which rows.

    Raises:
        StudyError: If the file is missing or broken, a column is missing or holds an empty cell, a
            label has no probability column, or there is no row of the split.
    """
    table = _read(path)
    card = _card(path, table)
    rows = table.to_pandas().astype(dict.fromkeys((*COLUMNS, *card.attributes), str))
    rows = rows[rows["split"] == split].sort_values("image")
    if rows.empty:
        raise StudyError(f"{path}: no row of split '{split}'")
    if rows["image"].duplicated().any():
        twice = rows["image"][rows["image"].duplicated()].iloc[0]
        raise StudyError(f"{path}: image '{twice}' has two rows of split '{split}'")
    subgroups = tuple(SEPARATOR.join(levels) for levels in product(*card.attributes.values()))
    own = rows[list(card.attributes)].agg(SEPARATOR.join, axis=1)
    samples = Coded(
        card.classes,
        subgroups,
        _positions(path, rows["label"], card.classes, "label"),
        _positions(path, rows["prediction"], card.classes, "prediction"),
        _positions(path, own, subgroups, "subgroup"),
    )
    scores = rows[[f"{PREFIX}{name}" for name in card.classes]].to_numpy(dtype=np.float64)
    return Predictions(samples, scores, tuple(rows["subject"]), tuple(rows["image"]))


def read_pooled(paths: Sequence[Path], *, split: str = "test") -> Predictions:
    """Return what the classifiers of several folds said, as if one had said it.

    Args:
        paths: One file a fold, as ``read_predictions`` reads it.
        split: Which rows.

    Raises:
        StudyError: If a file is wrong, two have other classes or subgroups, or an image is in two.
    """
    parts = [read_predictions(path, split=split) for path in paths]
    if len(parts) == 1:
        return parts[0]
    for path, part in zip(paths, parts, strict=True):
        first = parts[0].samples
        if (part.samples.classes, part.samples.subgroups) != (first.classes, first.subgroups):
            raise StudyError(f"{path}: other classes or subgroups than {paths[0]}")
    images = tuple(image for part in parts for image in part.images)
    if len(set(images)) != len(images):
        twice = next(i for i in images if images.count(i) > 1)
        raise StudyError(f"{paths[0].name}: image '{twice}' is predicted in two folds")
    return Predictions(
        Coded(
            parts[0].samples.classes,
            parts[0].samples.subgroups,
            np.concatenate([p.samples.truth for p in parts]),
            np.concatenate([p.samples.prediction for p in parts]),
            np.concatenate([p.samples.subgroup for p in parts]),
        ),
        np.concatenate([p.probabilities for p in parts]),
        tuple(subject for part in parts for subject in part.subjects),
        images,
    )


@dataclass(frozen=True)
class _Card:
    """Holds the classes, and the levels of every attribute, of a predictions file."""

    classes: tuple[str, ...]
    attributes: dict[str, tuple[str, ...]]


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise StudyError(f"{path}: no such file; expected predictions of a classifier") from error
    except (OSError, pa.ArrowInvalid) as error:
        reason = " ".join(str(error).split())[:200]
        raise StudyError(f"{path}: is no Parquet file ({reason})") from error
    table = table.drop_columns([n for n in table.column_names if n.startswith(INDEX)])
    for column in COLUMNS:
        if column not in table.column_names:
            raise StudyError(f"{path}: no column '{column}'; expected {', '.join(COLUMNS)}")
    for column in table.column_names:
        if table[column].null_count:
            raise StudyError(f"{path}: column '{column}' has an empty cell")
    return table


def _card(path: Path, table: pa.Table) -> _Card:
    """Return classes and attributes from the file's metadata, or else from its columns.

    Raises:
        StudyError: If a column that the metadata names is missing, or there is no attribute.
    """
    stored = json.loads((table.schema.metadata or {}).get(KEY, b"null"))
    if stored is not None:
        (labels,) = stored["label"].values()
        card = _Card(tuple(labels), {a: tuple(ls) for a, ls in stored["attributes"].items()})
    else:
        names = table.column_names
        classes = tuple(n.removeprefix(PREFIX) for n in names if n.startswith(PREFIX))
        rest = [n for n in names if n not in COLUMNS and not n.startswith(PREFIX)]
        card = _Card(classes, {n: tuple(sorted(set(_texts(table, n)))) for n in rest})
    wanted = [*card.attributes, *(f"{PREFIX}{name}" for name in card.classes)]
    missing = [name for name in wanted if name not in table.column_names]
    if missing or not card.attributes or not card.classes:
        lacking = missing[0] if missing else "attribute or probability"
        raise StudyError(f"{path}: no column '{lacking}'")
    return card


def _texts(table: pa.Table, column: str) -> list[str]:
    return [str(value) for value in table[column].to_pylist()]


def _positions(
    path: Path, values: pd.Series, known: Sequence[str], what: str
) -> Int[np.ndarray, " n"]:
    positions = {name: i for i, name in enumerate(known)}
    strange = [v for v in values if v not in positions]
    if strange:
        raise StudyError(
            f"{path}: unknown {what} '{strange[0]}'; expected one of {', '.join(known)}"
        )
    return np.array([positions[v] for v in values])
