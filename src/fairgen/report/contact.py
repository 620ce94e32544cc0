"""Contact sheets: real and generated images of every group side by side, inside the page."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import sqrt

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fairgen.cohort.cohort import Record
from fairgen.cohort.schema import Group
from fairgen.errors import FairGenError
from fairgen.files.folder import CohortFolder
from fairgen.files.image import read_image
from fairgen.report.blocks import Block, Note, Picture, Sheet
from fairgen.report.words import group_text

MOST_GROUPS = 30
PIXELS = 5e6
BYTES = 2.6e6
QUALITIES = (84, 65, 45, 25)
GAP = 2
SHEET_FAIR = (
    "in every row the generated images look as real, as varied and as true to the row's name as "
    "in any other row; no subgroup's look has faded into another's. A dozen images can raise a "
    "doubt about this but not settle it: see the figures below."
)
SMALLEST, LARGEST = 40, 112
Pixels = UInt8[np.ndarray, "h w c"]


@dataclass(frozen=True)
class Tiles:
    """Holds the pixels of one cell of the sheet: a group's images from one source.

    Attributes:
        pixels: The images side by side; ``None`` if there are none.
        shown: How many images it shows.
        unread: How many could not be read.
        name: Source and group, for readers who cannot see it.
    """

    pixels: Pixels | None
    shown: int
    unread: int
    name: str


def blocks(
    real: CohortFolder | None, synthetic: Mapping[str, CohortFolder], seed: int | None
) -> tuple[Block, ...]:
    """Return the contact sheet of training images and of every method's images.

    Args:
        real: The cohort; its training split is shown.
        synthetic: Each method's generated set.
        seed: Seed that the generated sets belong to.
    """
    sources = {**({"real (training)": real} if real else {}), **synthetic}
    if not sources:
        return (Note("Neither real nor generated images are there to show.", missing=True),)
    schema = next(iter(sources.values())).cohort.schema
    groups = schema.groups()[:MOST_GROUPS]
    across = 2 if len(sources) > 4 else 3 if len(sources) > 2 else 4
    side = tile_side(len(groups) * len(sources) * across * 2, _native(sources.values()))
    cells = {
        g: [tiles(folder, g, name, (side, across)) for name, folder in sources.items()]
        for g in groups
    }
    every = [cell for row in cells.values() for cell in row]
    pictures = iter(encoded(every))
    rows = tuple(
        (group_text(g.key), tuple(next(pictures) for _ in row)) for g, row in cells.items()
    )
    notes = _notes(every, len(schema.groups()) - len(groups))
    how = _how(2 * across, seed, bool(synthetic))
    return Sheet(how, SHEET_FAIR, tuple(sources), rows), *notes


def _how(count: int, seed: int | None, generated: bool) -> str:
    text = (
        f"Up to {count} images of each group and source, one a subject where possible, the first "
        "in the order of their files: none was picked by eye. Real images are from the training "
        "split; test images are not shown."
    )
    return f"{text} Generated images belong to seed {seed}." if generated else text


def _notes(cells: Sequence[Tiles], omitted: int) -> tuple[Note, ...]:
    notes = []
    if unread := sum(c.unread for c in cells):
        notes.append(Note(f"{unread} image(s) could not be read and are left blank.", missing=True))
    if omitted:
        notes.append(Note(f"{omitted} further groups are left out to keep the page small."))
    return tuple(notes)


def tile_side(count: int, native: int) -> int:
    """Return the side in pixels of one image, so that ``count`` of them fit the page.

    Args:
        count: Number of images on the sheet.
        native: Side of the images as they are.
    """
    fitting = int(sqrt(PIXELS / max(count, 1)))
    return max(SMALLEST, min(LARGEST, fitting, max(native, 64)))


def _native(folders: Iterable[CohortFolder]) -> int:
    for folder in folders:
        for entry in folder.cohort.records[:1]:
            try:
                height, width, _ = read_image(folder.path(entry)).shape
            except FairGenError:
                continue
            return int(min(height, width))
    return 64


def chosen(folder: CohortFolder, group: Group, count: int) -> list[Record]:
    """Return the first images of a group outside validation and test, one a subject if possible."""
    found = [r for r in folder.cohort.records if r.group == group and r.split in ("train", "")]
    found = sorted(found, key=lambda r: r.image)
    first = {r.subject: r for r in reversed(found)}
    unique = [r for r in found if first[r.subject] is r]
    return [*unique, *(r for r in found if first[r.subject] is not r)][:count]


def tiles(folder: CohortFolder, group: Group, name: str, shape: tuple[int, int]) -> Tiles:
    """Return two rows of a group's images on white.

    Args:
        folder: Where the images lie.
        group: The group.
        name: Name of the source.
        shape: Side of an image in pixels, and images a row.
    """
    side, across = shape
    records = chosen(folder, group, 2 * across)
    if not records:
        return Tiles(None, 0, 0, f"{name}, {group_text(group.key)}")
    width, height = across * (side + GAP) - GAP, 2 * (side + GAP) - GAP
    channels = folder.modality.channels
    board = np.full((height, width, channels), 255, np.uint8)
    unread = 0
    for i, entry in enumerate(records):
        pixels = _read(folder, entry, side)
        if pixels is None:
            unread += 1
            continue
        y, x = (i // across) * (side + GAP), (i % across) * (side + GAP)
        board[y : y + side, x : x + side] = pixels
    return Tiles(board, len(records) - unread, unread, f"{name}, {group_text(group.key)}")


def _read(folder: CohortFolder, entry: Record, side: int) -> Pixels | None:
    path = folder.path(entry)
    if not path.resolve().is_relative_to(folder.root.resolve()):
        return None
    try:
        return read_image(path, size=side, channels=folder.modality.channels)
    except FairGenError:
        return None


def encoded(cells: Sequence[Tiles]) -> list[Picture]:
    """Return the cells as JPEG data URIs, of the best quality that keeps the page small."""
    for quality in QUALITIES:
        files = [_jpeg(c.pixels, quality) for c in cells]
        if sum(map(len, files)) <= BYTES:
            break
    return [_picture(c, data) for c, data in zip(cells, files, strict=True)]


def _jpeg(pixels: Pixels | None, quality: int) -> bytes:
    if pixels is None:
        return b""
    buffer = BytesIO()
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _picture(cell: Tiles, data: bytes) -> Picture:
    if cell.pixels is None:
        return Picture("", f"{cell.name}: no images")
    source = f"data:image/jpeg;base64,{b64encode(data).decode()}"
    height, width, _ = cell.pixels.shape
    return Picture(source, f"{cell.name}: {cell.shown} images", width, height)
