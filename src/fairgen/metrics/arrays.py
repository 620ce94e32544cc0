"""Checks of what callers hand in: labels, feature matrices, equal lengths."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Int, Shaped

Labels = Iterable[object]
Matrix = Iterable[object]


def label_array(values: Labels, name: str) -> Shaped[np.ndarray, " n"]:
    """Return labels as a one-dimensional array.

    Args:
        values: Texts, whole numbers or truth values, at least one.
        name: What the values are, for the message.

    Raises:
        ValueError: If there are none, a value is missing, or the values are no labels.
    """
    array = _as_array(values)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name}: shape {array.shape}; expected one label a sample, at least one")
    if array.dtype.kind == "f":
        _check_whole(array, name)
    if array.dtype.kind == "O":
        array = _texts(array, name)
    if array.dtype.kind not in "biufU":
        raise ValueError(f"{name}: type {array.dtype}; expected texts or whole numbers")
    return array


def _as_array(values: Iterable[object]) -> np.ndarray:
    return np.asarray(values if hasattr(values, "__array__") else list(values))


def _check_whole(array: Shaped[np.ndarray, " n"], name: str) -> None:
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: holds NaN or infinity; expected a label for every sample")
    wrong = array[array != np.round(array)]
    if wrong.size:
        raise ValueError(f"{name}: holds {wrong[0]}; expected labels, not scores or shares")


def _texts(array: Shaped[np.ndarray, " n"], name: str) -> Shaped[np.ndarray, " n"]:
    for row, value in enumerate(array):
        if not isinstance(value, str):
            raise ValueError(f"{name}: row {row} holds {value!r}; expected texts throughout")
    return array.astype(str)


def check_lengths(**arrays: np.ndarray) -> None:
    """Check that all arrays have the same number of rows.

    Raises:
        ValueError: If they differ; the message lists every length.
    """
    if len({len(a) for a in arrays.values()}) > 1:
        found = ", ".join(f"{name} {len(a)}" for name, a in arrays.items())
        raise ValueError(f"different lengths: {found}; expected one row a sample in each")


def codes(
    *arrays: Shaped[np.ndarray, " n"],
) -> tuple[Shaped[np.ndarray, " k"], list[Int[np.ndarray, " n"]]]:
    """Return the sorted distinct labels of all arrays, and each array as positions in them.

    Raises:
        ValueError: If some arrays hold texts and others numbers, which would never agree.
    """
    if len({a.dtype.kind == "U" for a in arrays}) > 1:
        raise ValueError("labels: some are texts and some are numbers; expected one kind")
    known, inverse = np.unique(np.concatenate(arrays), return_inverse=True)
    return known, np.split(inverse, np.cumsum([len(a) for a in arrays])[:-1])


def feature_matrix(values: Matrix, name: str) -> Float[np.ndarray, "n d"]:
    """Return features as float64, one row an image.

    Raises:
        ValueError: If the shape is not two-dimensional, a row is alone, or a value is not finite.
    """
    array = _as_array(values)
    if array.ndim != 2 or len(array) < 2 or not array.shape[1]:
        raise ValueError(f"{name}: shape {array.shape}; expected at least two rows of features")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: holds NaN or infinity; expected finite features")
    return array
