"""What the common reader does with TIFF and with sixteen bits, beside DICOM and NIfTI."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fairgen.errors import CohortError
from fairgen.files.image import read_image

DEEP = np.array([[0, 257, 32896], [65535, 12850, 128]], np.uint16)
SHOWN = np.round(DEEP / 257).astype(np.uint8)
TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_become_eight(tmp_path, name):
    Image.fromarray(DEEP).save(tmp_path / name)
    assert np.array_equal(read_image(tmp_path / name, channels=1)[:, :, 0], SHOWN)


def tiff(values, *, order="<", photometric=1):
    """Return a TIFF file without compression, byte by byte."""
    strip = values.astype(values.dtype.newbyteorder(order)).tobytes() + b"\0" * (values.nbytes % 2)
    bits, size = 8 * values.dtype.itemsize, values.nbytes
    tags = {256: values.shape[1], 257: values.shape[0], 258: bits, 259: 1, 262: photometric}
    tags |= {273: 8, 277: 1, 278: values.shape[0], 279: size}
    entries = b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, v, 0) for tag, v in tags.items())
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(f"{order}I", 8 + len(strip))
    return head + strip + struct.pack(f"{order}H", len(tags)) + entries + b"\0" * 4


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_tiff_of_either_byte_order_is_read(tmp_path, order):
    (tmp_path / "a.tif").write_bytes(tiff(DEEP, order=order))
    assert np.array_equal(read_image(tmp_path / "a.tif", channels=1)[:, :, 0], SHOWN)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
@pytest.mark.parametrize("turn", TURNS)
def test_every_orientation_is_set_upright(tmp_path, name, turn):
    values = np.zeros((16, 32, 3), np.uint8)
    values[:8, :16] = 200
    picture = Image.fromarray(values)
    exif = picture.getexif()
    exif[0x0112] = turn
    picture.save(tmp_path / name, exif=exif)
    found = read_image(tmp_path / name).astype(int)
    expected = TURNS[turn](values)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 4


def test_sixteen_bit_colour_is_read(tmp_path):
    line = struct.pack(">6H", 0, 257, 65535, 32896, 514, 0)

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    content = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    content += chunk(b"IDAT", zlib.compress(b"\0" + line)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert read_image(tmp_path / "a.png").tolist() == [[[0, 1, 255], [128, 2, 0]]]


def test_of_several_pages_the_first_counts(tmp_path):
    pages = [Image.fromarray(np.full((4, 4), n, np.uint8)) for n in (10, 20)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert (read_image(tmp_path / "a.tif", channels=1) == 10).all()


@pytest.mark.parametrize("order", ["<", ">"])
def test_eight_bit_tiff_whose_white_is_zero_is_inverted(tmp_path, order):
    values = np.array([[0, 55, 255]], np.uint8)
    (tmp_path / "a.tif").write_bytes(tiff(values, order=order, photometric=0))
    assert read_image(tmp_path / "a.tif", channels=1)[0, :, 0].tolist() == [255, 200, 0]


def test_sixteen_bit_tiff_whose_white_is_zero_is_inverted_and_upright(tmp_path):
    values = np.array([[0, 0x8080, 0xFFFF]], np.uint16)
    (tmp_path / "a.tif").write_bytes(tiff(values, order="<", photometric=0))
    assert read_image(tmp_path / "a.tif", channels=1)[0, :, 0].tolist() == [255, 127, 0]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_bomb_is_refused_from_its_header(tmp_path, kind):
    packed = {"compression": "tiff_deflate"} if kind == "TIFF" else {}
    Image.new("1", (20_000, 20_000)).save(tmp_path / "a", kind, **packed)
    assert (tmp_path / "a").stat().st_size < 1_000_000
    with pytest.raises(CohortError, match="cannot be decoded"):
        read_image(tmp_path / "a")
