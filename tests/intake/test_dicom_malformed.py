import struct
import zlib

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)
from tests.intake.dicom_files import make_dicom, ramp, write_dicom
from tests.intake.test_dicom import bundled

from fairgen.errors import CohortError
from fairgen.intake.dicom import dicom_facts, read_dicom
from fairgen.intake.dicom_codec import jpeg2000_size, jpeg_size, run_length
from fairgen.intake.dicom_table import make_table


def refusal(path, read=read_dicom):
    """Return the line with which a file is refused, once it is known to be one line."""
    with pytest.raises(CohortError) as error:
        read(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    "content", [b"", b"file_name,subject_id\n", b"\0" * 400, b"\x89PNG\r\n\x1a\n" + b"\0" * 300]
)
def test_what_is_no_dicom_is_refused(tmp_path, content):
    (tmp_path / "a.dcm").write_bytes(content)
    assert refusal(tmp_path / "a.dcm").startswith("is no DICOM file; expected the mark DICM")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert refusal(tmp_path / "a.dcm") == "no such DICOM file"
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_jpeg_dcmtk.dcm",
     "MR_small_jpeg_ls_lossless.dcm", "MR_small_implicit.dcm", "image_dfl.dcm"],
)  # fmt: skip
@pytest.mark.parametrize("share", [0.08, 0.2, 0.5, 0.9])
def test_a_file_that_is_cut_short_is_refused(tmp_path, name, share):
    content = bundled(name).read_bytes()
    (tmp_path / "a.dcm").write_bytes(content[: max(140, int(len(content) * share))])
    assert refusal(tmp_path / "a.dcm")


def test_bytes_that_lack_are_counted():
    assert (
        refusal(bundled("MR_truncated.dcm")) == "is cut short: 8130 bytes of pixels; expected 8192"
    )


def test_a_header_of_a_billion_pixels_is_refused_before_decoding(tmp_path):
    for syntax in (JPEG2000Lossless, RLELossless):
        found = make_dicom(ramp(), Rows=40_000, Columns=25_000)
        found.file_meta.TransferSyntaxUID = syntax
        found.PixelData = encapsulate([b"\xff\x4f\xff\x51" + b"\0" * 60])
        found.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        line = refusal(tmp_path / "a.dcm")
        assert line == "40000 x 25000 pixels; expected at most 40000000 altogether"
        assert refusal(tmp_path / "a.dcm", dicom_facts) == line


def test_the_limit_can_be_set(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", ramp())
    with pytest.raises(CohortError, match="4 x 16 pixels; expected at most 63"):
        read_dicom(path, most_pixels=63)


def coded(path, syntax, frame):
    found = make_dicom(np.zeros((8, 8), np.uint8))
    found.file_meta.TransferSyntaxUID = syntax
    found.PixelData = encapsulate([frame])
    found.save_as(path, enforce_file_format=True)
    return path


def jpeg_head(marker):
    frame = struct.pack(">HBHHB", 11, 8, 30_000, 30_000, 1) + b"\x01\x11\0"
    return b"\xff\xd8\xff\xe0\0\x04ab\xff\xff" + bytes([marker]) + frame


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (JPEGBaseline8Bit, jpeg_head(0xC0)),
        (JPEGLSLossless, jpeg_head(0xF7)),
        (
            JPEG2000Lossless,
            b"\xff\x4f\xff\x51\0\x29\0\0" + struct.pack(">4I", 30_000, 30_000, 0, 0),
        ),
    ],
)
def test_a_code_stream_larger_than_its_header_says_is_refused_undecoded(tmp_path, syntax, frame):
    line = refusal(coded(tmp_path / "a.dcm", syntax, frame))
    assert line.startswith("its code stream is of 30000 x 30000 pixels; expected 8 x 8")


def test_run_lengths_that_would_fill_the_memory_are_refused(tmp_path):
    runs = b"\x81\0" * 100_000
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + runs
    line = refusal(coded(tmp_path / "a.dcm", RLELossless, frame))
    assert line == "its code decodes to more than 64 bytes"


def test_runs_are_counted_by_hand():
    assert run_length(b"\x02abc\xfe\x07\x80", 99) == 6  # three as they are, three times seven
    assert run_length(b"\x81\0" * 1000, 200) == 256  # counting stops beyond 200


def test_a_deflated_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("fairgen.intake.dicom_header.MOST_BYTES", 100_000)
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = deflate.compress(b"\0" * 10_000_000) + deflate.flush()
    found = make_dicom(ramp(), syntax=DeflatedExplicitVRLittleEndian)
    found.save_as(tmp_path / "b.dcm", enforce_file_format=True)
    content = (tmp_path / "b.dcm").read_bytes()
    end = 144 + struct.unpack_from("<I", content, 140)[0]
    (tmp_path / "a.dcm").write_bytes(content[:end] + bomb)
    assert refusal(tmp_path / "a.dcm") == "inflates to more than 100000 bytes; expected one image"


def test_a_file_too_large_is_refused(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / "a.dcm", ramp(100, 100))
    monkeypatch.setattr("fairgen.intake.dicom_header.MOST_BYTES", 10_000)
    assert refusal(path) == "is larger than 10000 bytes; expected one image"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rtdose_1frame.dcm", "is a RTDOSE object; expected a picture of a patient"),
        ("liver_1frame.dcm", "is a SEG object; expected a picture of a patient"),
        ("test-SR.dcm", "is a SR object; expected a picture of a patient"),
        ("waveform_ecg.dcm", "is a ECG object; expected a picture of a patient"),
        ("priv_SQ.dcm", "has no rows and columns; expected an image object, complete"),
        ("meta_missing_tsyntax.dcm", "names no transfer syntax of the standard; expected one"),
        ("SC_rgb_rle_2frame.dcm", "holds 2 frames and nothing says which to take; expected one "
         "frame, exported to a file by itself"),
    ],
)  # fmt: skip
def test_objects_that_are_no_single_picture_are_refused(name, said):
    assert refusal(bundled(name)) == said


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"Rows": 0}, "Rows is 0; expected a whole number of at least 1"),
        ({"BitsAllocated": 12}, "1 samples of 16 bits in 12; expected 1 for MONOCHROME2"),
        ({"BitsStored": 17}, "1 samples of 17 bits in 16; expected 1 for MONOCHROME2"),
        ({"SamplesPerPixel": 3}, "3 samples of 16 bits in 16; expected 1 for MONOCHROME2"),
        ({"PhotometricInterpretation": "HSV"}, "unknown photometric interpretation"),
        ({"RescaleSlope": "0"}, "RescaleSlope is 0; expected another number"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "its palette is missing, segmented"),
    ],
)
def test_impossible_headers_are_refused(tmp_path, elements, said):
    assert refusal(write_dicom(tmp_path / "a.dcm", ramp(), **elements)).startswith(said)


def test_a_number_of_an_odd_length_is_refused(tmp_path):
    write_dicom(tmp_path / "a.dcm", ramp(), HighBit=15)
    content = (tmp_path / "a.dcm").read_bytes()
    start = content.index(b"\x28\0\1\1US\2\0")
    (tmp_path / "a.dcm").write_bytes(content[: start + 6] + b"\3\0" + content[start + 8 :])
    assert refusal(tmp_path / "a.dcm") == "BitsStored is broken (BytesLengthException)"


def test_a_number_that_is_none_is_refused_and_not_quoted(tmp_path):
    write_dicom(tmp_path / "a.dcm", ramp(), WindowCenter="987654", WindowWidth="100")
    content = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(content.replace(b"987654", b"SMITHJ"))
    assert refusal(tmp_path / "a.dcm") == "WindowCenter is broken (ValueError)"


@pytest.mark.parametrize("element", ["RescaleSlope", "RescaleIntercept"])
def test_values_that_are_not_finite_are_refused(tmp_path, element):
    write_dicom(tmp_path / "a.dcm", ramp(), **{element: "987654"})
    content = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(content.replace(b"987654", b"inf   "))
    assert refusal(tmp_path / "a.dcm") == f"{element} is not finite; expected a number"


def test_pixels_without_any_difference_are_black(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", np.full((4, 4), 700, np.uint16))
    assert (read_dicom(path) == 0).all()


def test_a_code_stream_without_its_frame_header_is_refused():
    with pytest.raises(ValueError, match="no frame header"):
        jpeg_size(b"\xff\xd8\0\0\0\0")
    with pytest.raises(ValueError, match="not found"):
        jpeg2000_size(b"\0" * 99)


def test_a_table_of_bytes_is_read_in_the_order_of_the_file():
    data = bytes([1, 0, 0, 1])
    assert make_table([2, 5, 16], data, little=True).entries.tolist() == [1, 256]
    assert make_table([2, 5, 16], data, little=False).entries.tolist() == [256, 1]
    assert make_table([4, 5, 8], data, little=True).entries.tolist() == [1, 0, 0, 1]
    with pytest.raises(ValueError, match="2 entries"):
        make_table([3, 0, 16], [1, 2], little=True)


def test_noise_behind_the_mark_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(50):
        noise = rng.integers(0, 256, 600, dtype=np.uint8).tobytes()
        (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM" + noise)
        assert refusal(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    "name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_implicit.dcm"]
)
def test_files_with_flipped_bytes_are_read_or_refused_in_one_line(tmp_path, name):
    rng = np.random.default_rng(0)
    content = bundled(name).read_bytes()
    for _ in range(60):
        changed = bytearray(content)
        for place in rng.integers(132, 2000, 5):
            changed[place] = rng.integers(256)
        (tmp_path / "a.dcm").write_bytes(changed)
        try:
            assert read_dicom(tmp_path / "a.dcm").ndim == 3
        except CohortError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either outcome is fine
