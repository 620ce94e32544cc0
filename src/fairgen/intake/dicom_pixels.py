"""From stored DICOM values to what a viewer shows: rescaling, windows, inversion, colour."""

from pathlib import Path
from typing import cast, get_args

import numpy as np
from jaxtyping import Bool, Integer, Num, Shaped, UInt8
from pydicom.dataset import Dataset

from fairgen.errors import CohortError
from fairgen.intake.dicom import Window
from fairgen.intake.dicom_codec import stored_values
from fairgen.intake.dicom_header import numbers, read_header, text_of
from fairgen.intake.dicom_layout import Layout, layout_of
from fairgen.intake.dicom_table import palette, table_in
from fairgen.intake.dicom_terms import PALETTE
from fairgen.intake.windowing import Shape, percentiles, stretch, windowed


def pixels_of(path: Path, window: Window, most_pixels: int) -> UInt8[np.ndarray, "h w c"]:
    """Return a file's pixels, as ``read_dicom`` describes.

    Raises:
        CohortError: If there is no single picture within the limit.
        MissingExtra: If the packages that decode it are not installed.
    """
    header = read_header(path, pixels=True)
    layout = layout_of(path, header, most_pixels)
    values = stored_values(path, header, layout)
    if values.ndim == 3:
        return colours(values, layout.bits)
    if layout.photometric == PALETTE:
        tables = palette(path, header)
        whole = significant(values, layout)
        return np.dstack([colours(t.apply(whole), t.bits) for t in tables])
    return grey(path, header, layout, significant(values, layout), window)[:, :, None]


def colours(values: Shaped[np.ndarray, "..."], bits: int) -> UInt8[np.ndarray, "..."]:
    """Return unsigned values scaled to eight bits over their whole range."""
    return values.astype(np.uint8) if bits == 8 else stretch(values, 0, 2**bits - 1)


def significant(values: Integer[np.ndarray, "h w"], layout: Layout) -> Integer[np.ndarray, "h w"]:
    """Return values without the bits above those stored, where old files keep overlays."""
    wide = np.int32 if layout.bits <= 30 else np.int64
    found: np.ndarray = values.astype(wide) & (2**layout.bits - 1)
    if layout.signed:
        found = np.where(found >= 2 ** (layout.bits - 1), found - 2**layout.bits, found)
    return found


def grey(
    path: Path, header: Dataset, layout: Layout, stored: Integer[np.ndarray, "h w"], window: Window
) -> UInt8[np.ndarray, "h w"]:
    """Return stored grey values as a viewer shows them, with padding black.

    Raises:
        CohortError: If the elements that say how are broken.
    """
    padding = padded(path, header, stored)
    values = rescaled(path, header, stored)
    found = None
    if isinstance(window, tuple):
        found = windowed(values, *window)
    elif window == "file":
        found = by_file(path, header, layout, values)
    if found is None:
        found = stretch(values, *percentiles(values, where=~padding))
    if layout.photometric == "MONOCHROME1":
        found = 255 - found
    return np.where(padding, np.uint8(0), found)


def padded(
    path: Path, header: Dataset, stored: Integer[np.ndarray, "h w"]
) -> Bool[np.ndarray, "h w"]:
    """Return which pixels lie outside the picture, as the header's padding value tells.

    Raises:
        CohortError: If that value is broken.
    """
    value = numbers(path, header, "PixelPaddingValue")
    if not value:
        return np.zeros(stored.shape, bool)
    limit = numbers(path, header, "PixelPaddingRangeLimit") or value
    low, high = sorted((value[0], limit[0]))
    return (stored >= low) & (stored <= high)


def rescaled(
    path: Path, header: Dataset, stored: Integer[np.ndarray, "h w"]
) -> Num[np.ndarray, "h w"]:
    """Return stored values in the modality's unit: through its table, or slope and intercept.

    Raises:
        CohortError: If one of them is broken, or the slope is zero.
    """
    table = table_in(path, header, "ModalityLUTSequence")
    if table is not None:
        return table.apply(stored)
    slope = (numbers(path, header, "RescaleSlope") or (1.0,))[0]
    intercept = (numbers(path, header, "RescaleIntercept") or (0.0,))[0]
    if slope == 0:
        raise CohortError(f"{path}: RescaleSlope is 0; expected another number")
    return stored if (slope, intercept) == (1, 0) else stored * slope + intercept


def by_file(
    path: Path, header: Dataset, layout: Layout, values: Num[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w"] | None:
    """Return grey levels as the file wants them shown, or nothing if it does not say.

    Raises:
        CohortError: If the elements that say so are broken.
    """
    table = table_in(path, header, "VOILUTSequence")
    if table is not None:
        return colours(table.apply(np.rint(values).astype(np.int64)), table.bits)
    centre, width = (numbers(path, header, f"Window{end}") for end in ("Center", "Width"))
    shape = text_of(path, header, "VOILUTFunction") or "LINEAR"
    if centre and width and shape in get_args(Shape) and width[0] >= 1:
        return windowed(values, centre[0], width[0], cast("Shape", shape))
    if layout.bits <= 8 and not layout.signed and values.dtype.kind == "i":
        return colours(values, layout.bits)
    return None
