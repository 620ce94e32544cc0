"""Decoding and encoding of images: always uint8, height x width x channels."""

import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from fairgen.errors import CohortError
from fairgen.files.atomic import write_bytes
from fairgen.files.shards import opened_file, shard_of

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "JPEG2000")
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".pgm", ".ppm", ".jp2",
)  # fmt: skip
SIGNATURE = b"\x89PNG\r\n\x1a\n"
BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError,
    struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
"""The TIFF tag that says what zero means, and its value for film."""


def read_image(
    path: Path, *, size: int | None = None, channels: int = 3
) -> UInt8[np.ndarray, "h w c"]:
    """Return an image's pixels, upright as its EXIF data says.

    Sixteen-bit grey is scaled to eight bits over its whole range; transparent pixels are laid on
    white; of several frames the first counts.

    Args:
        path: File to read.
        size: Side in pixels of a centre crop to a square, resized with antialiasing; ``None``
            keeps the image as it is.
        channels: 3 for colour, 1 for grey.

    Raises:
        CohortError: If the file is missing, broken, cut short or no image.
        ValueError: If ``channels`` is neither 1 nor 3, or ``size`` is below 1.
    """
    if channels not in (1, 3) or (size is not None and size < 1):
        raise ValueError(f"channels {channels}, size {size}; expected 1 or 3, and at least 1")
    with opened(path) as picture:
        film = shows_film(picture)
        picture.load()
        shown = eight_bit(ImageOps.exif_transpose(picture), path)
        flat = (ImageOps.invert(shown) if film else shown).convert("RGB" if channels == 3 else "L")
    if size is not None:
        flat = square(flat, size)
    return np.array(flat, dtype=np.uint8).reshape(flat.height, flat.width, channels)


def write_image(
    path: Path, array: UInt8[np.ndarray, "h w c"], *, text: Mapping[str, str] | None = None
) -> None:
    """Write pixels as a PNG file, completely or not at all.

    Args:
        path: File to write; its name ends in ``.png``.
        array: One channel (stored as grey) or three.
        text: Keys and values that the file carries as text chunks.

    Raises:
        StudyError: If the file cannot be written.
        ValueError: If the array has neither one channel nor three.
    """
    write_bytes(path, png_bytes(array, text or {}))


def png_bytes(array: UInt8[np.ndarray, "h w c"], text: Mapping[str, str]) -> bytes:
    """Return the content of a PNG file.

    Raises:
        ValueError: If the array has neither one channel nor three.
    """
    if array.shape[2] not in (1, 3):
        raise ValueError(f"{array.shape[2]} channels; expected 1 or 3")
    info = PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    buffer = BytesIO()
    picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def is_whole(path: Path) -> bool:
    """Return whether a PNG file exists, and its chunks are all there and bear out their checksums.

    Pixels are not decoded, so that thousands of files are looked at in seconds.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return False
    at = len(SIGNATURE)
    while data.startswith(SIGNATURE) and at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + int(length)
        if data[at - 4 : at] != struct.pack(">I", zlib.crc32(data[at - 8 - length : at - 4])):
            return False
        if kind == b"IEND":
            return bool(at == len(data))
    return False


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image; whatever its decoder raises inside the block becomes one line.

    Its warnings stay behind, since a broken file is either refused or read as well as can be; an
    image of more pixels than Pillow deems safe (89 million) is refused before it is decoded.

    Raises:
        CohortError: If the file is missing, broken, cut short, too large or no image.
    """
    refuse_special(shard_of(path) or path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with opened_file(path) as stream, Image.open(stream, formats=FORMATS) as picture:
                yield picture
    except FileNotFoundError as error:
        raise CohortError(f"{path}: no such image file") from error
    except UnidentifiedImageError as error:
        raise CohortError(f"{path}: is not an image; expected PNG, JPEG or TIFF") from error
    except BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CohortError(f"{path}: image cannot be decoded ({reason})") from error


def refuse_special(path: Path) -> None:
    """Raise unless a path leads to a plain file; to open a pipe would wait without end.

    Raises:
        CohortError: If there is none, or it is a folder, a pipe or a device.
    """
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises on names that are too long
        if os.path.lexists(path):
            raise CohortError(f"{path}: is no plain file; expected an image")
        raise CohortError(f"{path}: no such image file")


def shows_film(picture: Image.Image) -> bool:
    """Return whether zero is white in a sixteen-bit TIFF; Pillow turns eight bits round itself."""
    tags = getattr(picture, "tag_v2", {})
    return picture.mode.startswith("I;16") and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO


def eight_bit(picture: Image.Image, path: Path) -> Image.Image:
    """Return the picture with eight bits a channel and nothing transparent.

    Raises:
        CohortError: If it holds floating-point or more than sixteen-bit values.
    """
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise CohortError(f"{path}: values beyond 16 bits; expected 8 or 16 bits a channel")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if picture.mode == "F":
        raise CohortError(f"{path}: floating-point values; expected 8 or 16 bits a channel")
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear)
    return picture


def square(picture: Image.Image, size: int) -> Image.Image:
    """Return the centre square of a picture, resized with antialiasing.

    Args:
        picture: An image of eight bits a channel.
        size: Side in pixels.
    """
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return picture.resize((size, size), Image.Resampling.BICUBIC, box=box)
