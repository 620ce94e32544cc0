import sys

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from tests.intake.dicom_files import make_dicom, ramp, write_dicom

from fairgen.errors import CohortError, MissingExtra
from fairgen.intake.dicom import DicomFacts, dicom_facts, read_dicom


def bundled(name):
    """Return a file that pydicom's wheel carries."""
    from pathlib import Path

    found = get_testdata_file(name, download=False)
    assert found is not None
    return Path(found)


def test_the_first_window_of_the_file_counts(tmp_path):
    path = write_dicom(
        tmp_path / "a.dcm", ramp(), WindowCenter=["1000", "9"], WindowWidth=["201", "9"]
    )
    shown = read_dicom(path)
    assert shown.shape == (4, 16, 1)
    assert shown[0, 8:13, 0].tolist() == [0, 1, 128, 255, 255]


def test_values_are_rescaled_before_they_are_windowed(tmp_path):
    changed = {"RescaleSlope": "2", "RescaleIntercept": "-1000"}
    path = write_dicom(
        tmp_path / "a.dcm", ramp(), WindowCenter="1000", WindowWidth="201", **changed
    )
    assert read_dicom(path)[0, 9:12, 0].tolist() == [0, 128, 255]


def test_without_a_window_percentiles_are_taken(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", ramp(100, 100, step=1))
    shown = read_dicom(path)[:, :, 0].ravel()
    assert shown[50] == 0
    assert shown[5000] == 128
    assert shown[-50] == 255


def test_a_window_given_by_hand_replaces_that_of_the_file(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", ramp(), WindowCenter="1000", WindowWidth="201")
    assert read_dicom(path, window=(500, 201))[0, 4:7, 0].tolist() == [1, 128, 255]
    assert read_dicom(path, window="percentiles")[0, 10, 0] < 60


def test_a_window_without_width_counts_as_none(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", ramp(), WindowCenter="1000", WindowWidth="0")
    assert np.array_equal(read_dicom(path), read_dicom(path, window="percentiles"))


def test_eight_bits_without_a_window_stay_as_they_are(tmp_path):
    values = ramp(dtype=np.uint8, step=3)
    path = write_dicom(tmp_path / "a.dcm", values)
    assert np.array_equal(read_dicom(path)[:, :, 0], values)


def test_monochrome1_is_inverted(tmp_path):
    values = ramp(dtype=np.uint8, step=3)
    path = write_dicom(tmp_path / "a.dcm", values, photometric="MONOCHROME1")
    assert np.array_equal(read_dicom(path)[:, :, 0], 255 - values)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_moves_no_percentile(tmp_path, photometric):
    values = ramp(100, 100, np.int16, step=1)
    values[:20] = -2000
    path = write_dicom(tmp_path / "a.dcm", values, photometric=photometric, PixelPaddingValue=-2000)
    shown = read_dicom(path)[:, :, 0]
    assert (shown[:20] == 0).all()
    middle = 128 if photometric == "MONOCHROME2" else 127
    assert abs(int(shown[60, 0]) - middle) <= 1


def test_signed_values_keep_their_sign(tmp_path):
    values = ramp(dtype=np.int16) - np.int16(3000)
    path = write_dicom(tmp_path / "a.dcm", values, WindowCenter="-2000", WindowWidth="201")
    assert read_dicom(path)[0, 9:12, 0].tolist() == [1, 128, 255]


def test_bits_above_those_stored_do_not_count(tmp_path):
    values = ramp(step=10)
    window = {"WindowCenter": "300", "WindowWidth": "301", "BitsStored": 12, "HighBit": 11}
    plain = read_dicom(write_dicom(tmp_path / "a.dcm", values, **window))
    overlaid = write_dicom(tmp_path / "b.dcm", values | np.uint16(0xA000), **window)
    assert np.array_equal(read_dicom(overlaid), plain)


def table(entries, first, bits):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return Sequence([item])


def test_a_windows_table_is_looked_up(tmp_path):
    values = np.array([[0, 1, 2, 3, 300, 999]], np.uint16)
    path = write_dicom(tmp_path / "a.dcm", values, VOILUTSequence=table([0, 128, 255], 1, 8))
    assert read_dicom(path)[0, :, 0].tolist() == [0, 0, 128, 255, 255, 255]


def test_a_table_of_many_entries_and_eight_bits_does_not_wrap_around(tmp_path):
    # pydicom 3.0.2 holds the index of such a table in eight bits
    values = np.array([[0, 255, 256, 511]], np.uint16)
    entries = [min(n // 2, 255) for n in range(512)]
    path = write_dicom(tmp_path / "a.dcm", values, VOILUTSequence=table(entries, 0, 8))
    assert read_dicom(path)[0, :, 0].tolist() == [0, 127, 128, 255]


def test_a_modality_table_comes_before_the_window(tmp_path):
    values = np.array([[0, 1, 2]], np.uint16)
    path = write_dicom(
        tmp_path / "a.dcm",
        values,
        ModalityLUTSequence=table([1000, 900, 1100], 0, 16),
        WindowCenter="1000",
        WindowWidth="201",
    )
    assert read_dicom(path)[0, :, 0].tolist() == [128, 1, 255]


def test_palette_colour_is_painted(tmp_path):
    palette = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour, shades in (("Red", [0, 255]), ("Green", [0, 128]), ("Blue", [9, 0]))
        for part, value in (("Descriptor", [2, 0, 8]), ("Data", bytes(shades)))
    }
    values = np.array([[0, 1], [1, 7]], np.uint8)
    path = write_dicom(tmp_path / "a.dcm", values, photometric="PALETTE COLOR", **palette)
    assert read_dicom(path).tolist() == [[[0, 0, 9], [255, 128, 0]], [[255, 128, 0]] * 2]


def test_colour_of_sixteen_bits_is_scaled(tmp_path):
    values = np.array([[[0, 32768, 65535]]], np.uint16)
    path = write_dicom(tmp_path / "a.dcm", values, photometric="RGB")
    assert read_dicom(path).tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_every_encoding_of_the_header_gives_the_same_pixels(tmp_path, syntax):
    elements = {"WindowCenter": "1000", "WindowWidth": "900", "PixelPaddingValue": 300}
    plain = read_dicom(write_dicom(tmp_path / "a.dcm", ramp(), **elements))
    found = read_dicom(write_dicom(tmp_path / "b.dcm", ramp(), syntax=syntax, **elements))
    assert np.array_equal(found, plain)


@pytest.mark.parametrize(
    "name", ["RLE", "bigendian", "implicit", "jp2klossless", "jpeg_ls_lossless"]
)
def test_lossless_encodings_give_the_same_pixels(name):
    plain = read_dicom(bundled("MR_small.dcm"))
    assert plain.shape == (64, 64, 1)
    assert np.array_equal(read_dicom(bundled(f"MR_small_{name}.dcm")), plain)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("SC_rgb_rle.dcm", 0),
        ("SC_rgb_rle_16bit.dcm", 0),
        ("SC_rgb_rle_32bit.dcm", 0),
        ("SC_rgb_gdcm_KY.dcm", 0),
        ("SC_rgb_jls_lossy_line.dcm", 2),
        ("SC_rgb_dcmtk_+eb+cr.dcm", 2),
        ("SC_rgb_dcmtk_+eb+cy+n1.dcm", 5),
        ("SC_rgb_dcmtk_+eb+cy+s2.dcm", 5),
        ("SC_ybr_full_422_uncompressed.dcm", 5),
    ],
)
def test_colour_is_rgb_whatever_its_encoding(name, tolerance):
    found = read_dicom(bundled(name))
    assert found.shape == (100, 100, 3)
    colours = found[5::20, 50].astype(int)
    expected = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0], [192, 192, 192]]
    assert np.abs(colours - expected).max() <= tolerance


def test_jpeg_2000_of_fourteen_signed_bits_is_read():
    shown = read_dicom(bundled("693_J2KI.dcm"))
    assert shown.shape == (512, 512, 1)
    assert shown[250, 250, 0] == 108  # brain, 1056 - 1024 = 32 HU in a window of 40 and 100


def test_facts_come_from_closed_lists(tmp_path):
    path = write_dicom(
        tmp_path / "a.dcm",
        ramp(),
        BodyPartExamined="CHEST",
        ViewPosition="SMITH JOHN",
        BurnedInAnnotation="YES",
    )
    assert dicom_facts(path) == DicomFacts(
        rows=4,
        columns=16,
        photometric="MONOCHROME2",
        bits=16,
        signed=False,
        transfer_syntax="Explicit VR Little Endian",
        modality="CR",
        body_part="CHEST",
        view="other",
        burned_in="yes",
        secondary_capture=False,
    )


def test_a_captured_screen_is_told_apart():
    assert dicom_facts(bundled("SC_rgb_rle.dcm")).secondary_capture
    assert not dicom_facts(bundled("MR_small.dcm")).secondary_capture


def test_a_code_that_only_a_gpl_package_reads_names_the_extra(monkeypatch):
    monkeypatch.setattr("fairgen.intake.dicom_codec.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'fairgen\[medical-gpl\]'.*GPL-3\.0"):
        read_dicom(bundled("JPGExtended.dcm"))


def test_without_pydicom_the_extra_is_named(tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n.startswith(("pydicom", "fairgen.intake.dicom_"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    monkeypatch.setitem(sys.modules, "pydicom.dataset", None)
    for read in (read_dicom, dicom_facts):
        with pytest.raises(MissingExtra, match=r"DICOM.*pip install 'fairgen\[medical\]'"):
            read(tmp_path / "a.dcm")


def test_run_lengths_are_read_at_odd_sizes(tmp_path):
    values = ramp(7, 9, np.uint8, step=1)
    found = make_dicom(values)
    found.compress(RLELossless)
    found.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert np.array_equal(read_dicom(tmp_path / "a.dcm")[:, :, 0], values)


def test_several_frames_are_refused():
    with pytest.raises(CohortError, match="holds 30 frames and nothing says which"):
        read_dicom(bundled("examples_ybr_color.dcm"))
