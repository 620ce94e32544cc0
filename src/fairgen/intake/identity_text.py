"""Whether words seem to be burned into an image: a rule of thumb that flags and never removes."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64, Shaped, UInt8
from PIL import Image
from scipy import ndimage

from fairgen.intake.dicom import DicomFacts

SMALLEST = 96
LARGEST = 1024
CONTRAST = 70
STROKE = 7
LETTERS = 4
MOST_MARKS = 2000
LOWEST, HIGHEST = 5, 0.12

Box = tuple[float, float, float, float]
Marks = Int64[np.ndarray, "_ 5"]


@dataclass(frozen=True)
class Suspicion:
    """Says why an image may show words that name its patient, and where.

    Attributes:
        reason: ``header`` where a DICOM header says so, ``capture`` where it is the picture of a
            screen, ``letters`` where a line of letters seems to stand in the picture.
        letters: How many marks stand in that line.
        box: Top, left, bottom and right of the line as fractions of the image; else all of it.
    """

    reason: Literal["header", "capture", "letters"]
    letters: int = 0
    box: Box = (0.0, 0.0, 1.0, 1.0)


def burned_in_text(
    image: UInt8[np.ndarray, "h w c"], *, facts: DicomFacts | None = None
) -> Suspicion | None:
    """Return why an image may show words, or nothing; the image stays as it is.

    A DICOM header that speaks of burned-in annotation counts, and so does a captured screen whose
    header does not deny it. Else the picture is searched, shrunk to 1024 pixels a side: strokes
    that are thinner than 7 pixels and 70 grey levels brighter or darker than what surrounds them
    are parted into connected marks; those as high as letters (from 5 pixels to 12 per cent of the
    image) and neither solid nor sparse are chained along a common base line to marks of like
    height, no further apart than one and a half heights. Four in a line are suspicious.

    Fewer letters, handwriting, letters below 5 pixels or without contrast are missed; so is all
    writing in images below 96 pixels a side, in which only the header counts.

    Args:
        image: Pixels as they would enter a cohort, before they are shrunk to a small size.
        facts: What the DICOM header says, if there is one.
    """
    if facts is not None and facts.burned_in == "yes":
        return Suspicion("header")
    line = longest_line(image) if min(image.shape[:2]) >= SMALLEST else None
    if line is not None and len(line) >= LETTERS:
        return Suspicion("letters", len(line), surroundings(line, image.shape[0], image.shape[1]))
    if facts is not None and facts.secondary_capture and facts.burned_in != "no":
        return Suspicion("capture")
    return None


def longest_line(image: UInt8[np.ndarray, "h w c"]) -> Marks | None:
    """Return the marks of the longest line of letters, in the original's pixels, or nothing."""
    height, width = image.shape[:2]
    grey = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).convert("L")
    shrink = max(1.0, max(height, width) / LARGEST)
    if shrink > 1:
        size = (round(width / shrink), round(height / shrink))
        grey = grey.resize(size, Image.Resampling.BILINEAR)
    values = np.asarray(grey, np.int16)
    lines = [chain(letters(marks(v), values.shape[0])) for v in (values, 255 - values)]
    best = max(lines, key=len)
    return np.rint(best * shrink).astype(np.int64) if len(best) else None


def marks(values: Shaped[np.ndarray, "h w"]) -> Marks:
    """Return top, left, bottom, right and area of each connected bright stroke."""
    raised = np.asarray(ndimage.white_tophat(values, size=(STROKE, STROKE))) > CONTRAST
    parts, _ = ndimage.label(raised, np.ones((3, 3)))
    area = np.bincount(parts.ravel())[1:]
    found = [
        (rows.start, columns.start, rows.stop, columns.stop, n)
        for (rows, columns), n in zip(ndimage.find_objects(parts), area, strict=True)
    ]
    return np.array(found, np.int64).reshape(-1, 5)


def letters(found: Marks, height: int) -> Marks:
    """Return the marks that have the size and shape of a letter; none if they are a texture."""
    top, left, bottom, right, area = found.T
    high, wide = bottom - top, right - left
    size = (high >= LOWEST) & (high <= max(8, HIGHEST * height))
    filled = area / np.maximum(high * wide, 1)
    shape = (wide <= 1.6 * high) & (filled >= 0.18) & (filled <= 0.92)
    bar = wide <= 0.35 * high
    kept: np.ndarray = found[size & (shape | bar)]
    return kept[:0] if len(kept) > MOST_MARKS else kept


def chain(found: Marks) -> Marks:
    """Return the longest chain of marks that stand side by side like the letters of a line."""
    if not len(found):
        return found
    found = found[np.argsort(found[:, 1], kind="stable")]
    following = next_marks(found)
    length = np.ones(len(found), np.int64)
    for i in range(len(found) - 1, -1, -1):
        if following[i] > i:
            length[i] += length[following[i]]
    line = [int(length.argmax())]
    while following[line[-1]] > line[-1]:
        line.append(int(following[line[-1]]))
    return found[line]


def next_marks(found: Marks) -> Int64[np.ndarray, "_"]:
    """Return the number of the mark that follows each one in its line, or -1.

    Args:
        found: Marks in order of their left edges.
    """
    top, left, bottom, right, _ = found.T
    high = bottom - top
    one = high[:, None]
    gap = left[None, :] - right[:, None]
    near = (gap >= -1) & (gap <= 1.5 * one)
    level = np.abs(bottom[None, :] - bottom[:, None]) <= np.maximum(1, 0.15 * one)
    alike = np.abs(high[None, :] - one) <= np.maximum(1, 0.35 * one)
    later = np.arange(len(found))[None, :] > np.arange(len(found))[:, None]
    distance = np.where(near & level & alike & later, gap, np.iinfo(np.int64).max)
    best = distance.argmin(axis=1)
    linked = distance[np.arange(len(found)), best] < np.iinfo(np.int64).max
    return np.where(linked, best, -1)


def surroundings(line: Marks, height: int, width: int) -> Box:
    """Return the box around marks, as fractions of the image."""
    top, left = line[:, 0].min() / height, line[:, 1].min() / width
    bottom, right = line[:, 2].max() / height, line[:, 3].max() / width
    return float(top), float(left), float(bottom), float(right)
