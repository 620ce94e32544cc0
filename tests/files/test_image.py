import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from fairgen.errors import CohortError
from fairgen.files.image import is_whole, png_bytes, read_image, write_image


def gradient(height, width, channels=3):
    values = np.arange(height * width * channels) % 256
    return values.reshape(height, width, channels).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_written_pixels_are_read_back_exactly(tmp_path, channels):
    array = gradient(5, 7, channels)
    write_image(tmp_path / "a.png", array)
    assert np.array_equal(read_image(tmp_path / "a.png", channels=channels), array)


@given(array=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(1))))
def test_any_grey_image_survives_as_grey(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("image") / "a.png"
    write_image(path, array)
    with Image.open(path) as picture:
        assert picture.mode == "L"
    assert np.array_equal(read_image(path, channels=1), array)
    assert np.array_equal(read_image(path, channels=3), np.repeat(array, 3, axis=2))


def test_text_travels_with_the_image(tmp_path):
    text = {"prompt": "acné on dark skin", "seed": "17", "words": "皮膚"}
    write_image(tmp_path / "a.png", gradient(4, 4), text=text)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.text == text


def test_the_same_pixels_give_the_same_bytes():
    assert png_bytes(gradient(9, 9), {"a": "b"}) == png_bytes(gradient(9, 9), {"a": "b"})


def test_two_channels_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match="2 channels"):
        write_image(tmp_path / "a.png", gradient(4, 4, 2))


def test_sixteen_bits_are_scaled_over_their_whole_range(tmp_path):
    values = np.array([[0, 256, 257, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    expected = np.round(values / 257).astype(np.uint8)
    assert np.array_equal(read_image(tmp_path / "a.png", channels=1)[:, :, 0], expected)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_values_of_no_image_range_are_refused(tmp_path, dtype):
    Image.fromarray(np.full((4, 4), 70_000, dtype)).save(tmp_path / "a.tiff")
    with pytest.raises(CohortError, match="expected 8 or 16 bits a channel"):
        read_image(tmp_path / "a.tiff")


def test_what_is_transparent_becomes_white(tmp_path):
    clear = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    clear.putpixel((1, 0), (0, 0, 0, 0))
    clear.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_a_palette_with_a_transparent_colour_is_laid_on_white(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "a.png", transparency=0)
    assert read_image(tmp_path / "a.png").tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_exif_orientation_is_followed(tmp_path):
    picture = Image.fromarray(gradient(4, 8))
    exif = picture.getexif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees
    picture.save(tmp_path / "a.png", exif=exif)
    expected = np.rot90(gradient(4, 8), -1)
    assert np.array_equal(read_image(tmp_path / "a.png"), expected)


def test_the_centre_is_cropped(tmp_path):
    array = np.zeros((4, 10, 3), np.uint8)
    array[:, 3:7] = 200
    write_image(tmp_path / "a.png", array)
    assert (read_image(tmp_path / "a.png", size=4) == 200).all()
    assert read_image(tmp_path / "a.png", size=2).shape == (2, 2, 3)


def test_shrinking_averages_instead_of_picking_pixels(tmp_path):
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[:, :, None]
    write_image(tmp_path / "a.png", board)
    small = read_image(tmp_path / "a.png", size=8, channels=1)
    assert np.abs(small[1:-1, 1:-1].astype(int) - 127).max() <= 3


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "BMP", "WEBP", "GIF"])
def test_common_formats_are_read(tmp_path, kind):
    Image.new("RGB", (6, 4), (200, 100, 50)).save(tmp_path / "a.x", format=kind)
    found = read_image(tmp_path / "a.x")
    assert found.shape == (4, 6, 3)
    assert np.abs(found.astype(int) - (200, 100, 50)).max() <= 6


def test_cmyk_becomes_colour(tmp_path):
    Image.new("CMYK", (4, 4), (0, 0, 0, 0)).save(tmp_path / "a.jpg")
    assert (read_image(tmp_path / "a.jpg") >= 250).all()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CohortError, match=r"a\.png: no such image file"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"", b"file_name,subject_id\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(CohortError, match=r"a\.png: is not an image; expected PNG, JPEG or TIFF"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_that_is_cut_short_is_named(tmp_path, kind, share):
    path = tmp_path / "a.x"
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format=kind)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CohortError) as error:
        read_image(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_image_that_would_fill_the_memory_is_refused(tmp_path):
    def chunk(name, data):
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    with pytest.raises(CohortError, match="cannot be decoded"):
        read_image(tmp_path / "a.png")


def test_folders_pipes_and_devices_are_no_images_and_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path, tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(CohortError, match="is no plain file; expected an image"):
            read_image(path)
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(CohortError, match="no such image file"):
            read_image(tmp_path / name)


def test_impossible_wishes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="channels 2"):
        read_image(tmp_path / "a.png", channels=2)
    with pytest.raises(ValueError, match="size 0"):
        read_image(tmp_path / "a.png", size=0)


def test_a_file_is_whole_unless_missing_empty_cut_or_changed(tmp_path):
    path = tmp_path / "a.png"
    write_image(
        path, np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8), text={"a": "b"}
    )
    data = path.read_bytes()
    assert is_whole(path)
    for broken in (b"", b"text", data[:-12], data[:-1], data[:40],
                   *(data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]
                     for i in range(8, len(data), 7))):  # fmt: skip
        path.write_bytes(broken)
        assert not is_whole(path)
    path.unlink()
    assert not is_whole(path)
