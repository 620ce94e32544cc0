import gzip
import os
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydantic import ValidationError

from fairgen.errors import CohortError, MissingExtra
from fairgen.intake.nifti import SliceOptions, VolumeFacts, read_slice, volume_facts

SHAPE = (6, 8, 10)
REAL = Path(os.environ.get("FAIRGEN_REAL_DATA", "nowhere"))


def marked():
    """Return a volume along R, A, S whose corner at the right, front and top is bright."""
    volume = np.zeros(SHAPE, np.float32)
    volume[4:, 6:, 8:] = 100
    return volume


def affine(codes, zooms=(1.0, 1.0, 1.0)):
    """Return the affine of a volume whose axes point as the letters say."""
    found = np.eye(4)
    found[:3, :3] = 0
    for stored, code in enumerate(codes):
        sign = 1 if code in "RAS" else -1
        found["RAS".index({"L": "R", "P": "A", "I": "S"}.get(code, code)), stored] = (
            sign * zooms[stored]
        )
    return found


def stored_as(codes, volume):
    """Return a volume along R, A, S as it is stored when its axes point as the letters say."""
    back = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)
    )
    return nibabel.orientations.apply_orientation(volume, back)


def save(path, volume, *, codes="RAS", zooms=(1.0, 1.0, 1.0), kind=nibabel.Nifti1Image):
    nibabel.save(kind(volume, affine(codes, zooms)), path)
    return path


@pytest.mark.parametrize("codes", ["RAS", "LAS", "PSR", "LPI", "SRA", "AIL"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_front_and_top_are_up_however_voxels_are_stored(tmp_path, codes, name):
    path = save(tmp_path / name, stored_as(codes, marked()), codes=codes)
    axial = read_slice(path, at=9)[:, :, 0]
    coronal = read_slice(path, axis="coronal", at=7)[:, :, 0]
    sagittal = read_slice(path, axis="sagittal", at=5)[:, :, 0]
    assert (axial.shape, coronal.shape, sagittal.shape) == ((8, 6), (10, 6), (10, 8))
    for shown in (axial, coronal, sagittal):  # the patient's right, and the front, lie left
        assert (shown[:2, :2] == 255).all()
        assert shown.sum() == 4 * 255


def test_the_neurological_convention_is_the_mirror_image(tmp_path):
    path = save(tmp_path / "a.nii", marked())
    left = SliceOptions(convention="neurological")
    for axis in ("axial", "coronal", "sagittal"):
        plain = read_slice(path, axis=axis, at=1.0)
        assert np.array_equal(read_slice(path, axis=axis, at=1.0, options=left), plain[:, ::-1])


def test_the_same_slice_as_nibabels_closest_canonical(tmp_path):
    rng = np.random.default_rng(0)
    turn = nibabel.eulerangles.euler2mat(0.2, 0.1, -0.15)
    matrix = affine("PSR")
    matrix[:3, :3] = turn @ matrix[:3, :3]
    image = nibabel.Nifti1Image(rng.normal(size=SHAPE).astype(np.float32), matrix)
    nibabel.save(image, tmp_path / "a.nii")
    straight = nibabel.as_closest_canonical(image).get_fdata()
    shown = read_slice(tmp_path / "a.nii", at=3)[:, :, 0]
    order = np.argsort(straight[::-1, ::-1, 3].T.ravel(), kind="stable")
    assert (np.diff(shown.ravel()[order].astype(int)) >= 0).all()


def test_pixels_are_square_whatever_the_spacing(tmp_path):
    path = save(tmp_path / "a.nii", marked(), zooms=(1.0, 2.0, 3.0))
    assert read_slice(path, at=1.0).shape == (16, 6, 1)
    assert read_slice(path, axis="coronal", at=1.0).shape == (30, 6, 1)
    assert read_slice(path, axis="sagittal", at=1.0).shape == (15, 8, 1)


def test_whole_numbers_count_slices_and_fractions_share_them_out(tmp_path):
    volume = np.broadcast_to(np.arange(10, dtype=np.float32), SHAPE).copy()
    path = save(tmp_path / "a.nii", volume)
    whole = SliceOptions(low=0, high=100)
    assert read_slice(path, at=3, options=whole)[0, 0, 0] == 85
    assert read_slice(path, at=0.34, options=whole)[0, 0, 0] == 85
    assert read_slice(path, at=1.0, options=whole)[0, 0, 0] == 255
    assert read_slice(path, at=1, options=whole)[0, 0, 0] == 28


def test_percentiles_are_of_the_volume_or_of_the_slice(tmp_path):
    volume = np.broadcast_to(np.arange(8, dtype=np.float32)[:, None], SHAPE).copy()
    volume[:, :, 9] *= 10
    path = save(tmp_path / "a.nii", volume)
    assert read_slice(path, at=0, options=SliceOptions(high=100)).max() == 26
    assert read_slice(path, at=0, options=SliceOptions(window="slice")).max() == 255


def head(shape=(60, 72, 60)):
    """Return a brain inside a dark skull and a bright scalp, on a neck, and its largest slice."""
    x, y, z = (np.arange(n)[tuple(slice(None) if i == j else None for j in range(3))]
               for i, n in enumerate(shape))  # fmt: skip
    away = ((x - 30) / 20) ** 2 + ((y - 36) / 26) ** 2 + ((z - 36) / 16) ** 2
    volume = np.where(away < 1, 100.0, 0.0)
    volume += np.where((away > 1.45) & (away < 1.75), 160.0, 0.0)
    neck = ((x - 30) ** 2 + (y - 40) ** 2 < 60) & (z < 24)
    return np.maximum(volume, neck * 90.0).astype(np.float32), 36


def test_the_largest_brain_area_is_found_inside_a_skull(tmp_path):
    volume, z = head()
    for spacing in (1.0, 2.0):
        path = save(tmp_path / "a.nii", volume, zooms=(spacing,) * 3)
        found = [np.array_equal(read_slice(path), read_slice(path, at=i)) for i in range(60)]
        assert any(found[z - 2 : z + 3])


@pytest.mark.parametrize("suffix", [".hdr", ".img"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.AnalyzeImage])
def test_either_file_of_a_pair_may_be_named(tmp_path, suffix, kind):
    volume = stored_as("LAS", marked()).astype(np.int16)
    save(tmp_path / "a.img", volume, codes="LAS", kind=kind)
    facts = volume_facts(tmp_path / f"a{suffix}")
    assert facts == VolumeFacts(SHAPE, 1, (1, 1, 1), "LAS", stated=kind is nibabel.Nifti1Pair)
    assert (read_slice(tmp_path / f"a{suffix}", at=9)[:2, :2] == 255).all()


@pytest.mark.parametrize("field", range(6))
def test_the_orientation_of_analyze_is_followed(tmp_path, field):
    codes = ("LAS", "LSA", "ASL", "LPS", "LIA", "AIL")[field]
    volume = stored_as(codes, marked()).astype(np.int16)
    image = nibabel.AnalyzeImage(volume, None)
    image.header["orient"] = bytes([field])
    image.header.set_zooms((1.0, 1.0, 1.0))
    nibabel.save(image, tmp_path / "a.img")
    content = bytearray((tmp_path / "a.hdr").read_bytes())
    content[252] = field
    (tmp_path / "a.hdr").write_bytes(content)
    assert volume_facts(tmp_path / "a.hdr").orientation == codes
    assert (read_slice(tmp_path / "a.hdr", at=9)[:2, :2] == 255).all()


def test_an_orientation_given_by_hand_replaces_the_headers(tmp_path):
    path = save(tmp_path / "a.nii", stored_as("PSR", marked()), codes="LAS")
    shown = read_slice(path, at=9, options=SliceOptions(orientation="PSR"))
    assert (shown[:2, :2] == 255).all()
    with pytest.raises(CohortError, match="orientation LRS; expected each of LR, PA, SI once"):
        read_slice(path, options=SliceOptions(orientation="LRS"))


def test_without_a_form_the_orientation_is_said_to_be_assumed(tmp_path):
    image = nibabel.Nifti1Image(marked(), None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    nibabel.save(image, tmp_path / "a.nii")
    facts = volume_facts(tmp_path / "a.nii")
    assert (facts.orientation, facts.stated) == ("LAS", False)


def test_second_version_and_big_endian_files_are_read(tmp_path):
    save(tmp_path / "a.nii", marked(), kind=nibabel.Nifti2Image)
    image = nibabel.Nifti1Image(marked(), np.eye(4), nibabel.Nifti1Header(endianness=">"))
    nibabel.save(image, tmp_path / "b.nii")
    assert np.array_equal(read_slice(tmp_path / "a.nii"), read_slice(tmp_path / "b.nii"))


@pytest.mark.parametrize(("slope", "corner"), [(-2.0, 0), (2.0, 255), (np.inf, 255), (0.0, 255)])
def test_stored_numbers_are_scaled_if_the_header_says_how(tmp_path, slope, corner):
    path = with_field(tmp_path / "a.nii", "scl_slope", slope)
    assert (read_slice(path, at=9)[:2, :2] == corner).all()


def test_a_series_is_refused_unless_a_volume_is_named(tmp_path):
    series = np.stack([marked(), 2 * marked()[::-1]], axis=-1)
    path = save(tmp_path / "a.nii", series)
    with pytest.raises(CohortError, match="is a series of 2 volumes; expected one, or the option"):
        read_slice(path)
    assert (read_slice(path, at=9, options=SliceOptions(volume=0))[:2, :2] == 255).all()
    assert (read_slice(path, at=9, options=SliceOptions(volume=1))[:2, -2:] == 255).all()
    with pytest.raises(CohortError, match="has 2 volumes; expected one of number 2"):
        read_slice(path, options=SliceOptions(volume=2))


def test_values_that_are_not_finite_count_as_the_smallest(tmp_path):
    volume = marked()
    volume[0, 0, :3] = np.nan, np.inf, -np.inf
    path = save(tmp_path / "a.nii", volume)
    assert np.array_equal(
        read_slice(path, at=9), read_slice(save(tmp_path / "b.nii", marked()), at=9)
    )
    assert read_slice(path, at=1).max() == 0


@pytest.mark.parametrize("value", [0, 7, np.nan])
def test_a_volume_without_any_difference_is_refused(tmp_path, value):
    path = save(tmp_path / "a.nii", np.full(SHAPE, value, np.float32))
    with pytest.raises(CohortError, match="every voxel has the same value; expected an image"):
        read_slice(path)


@pytest.mark.parametrize("at", [10, -1, 1.5, -0.1])
def test_a_slice_that_does_not_exist_is_refused(tmp_path, at):
    path = save(tmp_path / "a.nii", marked())
    with pytest.raises(CohortError, match=r"of 10; expected 0 to 9, or 0\.0 to 1\.0"):
        read_slice(path, at=at)


def with_field(path, field, value):
    """Write a volume of which one field of the header is wrong."""
    save(path, marked())
    content = bytearray(path.read_bytes())
    header = nibabel.Nifti1Header(bytes(content[:348]))
    header[field] = value
    content[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(content)) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("dim", [3, 32767, 32767, 32767, 1, 1, 1, 1], "32767 x 32767 x 32767 voxels; expected"),
        ("dim", [3, -6, 8, 10, 1, 1, 1, 1], r"has sizes \[-6, 8, 10\]"),
        ("dim", [2, 6, 8, 10, 1, 1, 1, 1], r"has sizes \[6, 8\]; expected three"),
        ("dim", [5, 6, 8, 10, 1, 3, 1, 1], r"has sizes \[6, 8, 10, 1, 3\]"),
        ("dim", [0, 6, 8, 10, 1, 1, 1, 1], r"has sizes \[\]"),
        ("dim", [3, 60, 80, 100, 1, 1, 1, 1], r"its voxels are cut short or broken \(ValueError\)"),
        ("vox_offset", 2e9, "its voxels begin at byte 2000000000"),
        ("vox_offset", 0, "its voxels begin at byte 0"),
        ("vox_offset", np.nan, r"its header is broken \(ValueError\)"),
        ("datatype", 128, "holds values of type .*; expected single real numbers"),
        ("datatype", 32, "holds values of type complex64"),
        ("datatype", 999, r"its header is broken \(KeyError\)"),
        ("srow_x", [np.nan] * 4, "has no spacing or orientation of voxels; expected both"),
        ("srow_x", [0] * 4, "has no spacing or orientation of voxels; expected both"),
        ("magic", b"xyz", "has no NIfTI or Analyze header"),
    ],
)
def test_impossible_headers_are_refused(tmp_path, field, value, said):
    with pytest.raises(CohortError, match=said) as error:
        read_slice(with_field(tmp_path / "a.nii", field, value))
    assert "\n" not in str(error.value)


def test_spacing_that_would_blow_up_an_image_is_refused(tmp_path):
    path = save(tmp_path / "a.nii", marked(), zooms=(0.001, 8.0, 1.0))
    with pytest.raises(CohortError, match="would give 64000 x 6 pixels; expected at most 4096"):
        read_slice(path, at=9)


def test_a_compressed_bomb_is_refused_from_its_header(tmp_path, monkeypatch):
    save(tmp_path / "a.nii", marked())
    header = nibabel.Nifti1Header((tmp_path / "a.nii").read_bytes()[:348])
    header["dim"] = [3, 2000, 2000, 2000, 1, 1, 1, 1]
    with gzip.open(tmp_path / "a.nii.gz", "wb") as stream:
        stream.write(header.binaryblock + b"\0" * 50_000_000)
    with pytest.raises(CohortError, match="2000 x 2000 x 2000 voxels; expected at most 134217728"):
        read_slice(tmp_path / "a.nii.gz")


def test_what_follows_the_voxels_of_a_compressed_file_is_not_read(tmp_path):
    content = save(tmp_path / "a.nii", marked()).read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(content) + b"not gzip at all")
    assert np.array_equal(read_slice(tmp_path / "b.nii.gz"), read_slice(tmp_path / "a.nii"))


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr"])
def test_a_file_that_is_cut_short_is_refused(tmp_path, name, share):
    rng = np.random.default_rng(0)
    path = save(tmp_path / name, rng.normal(size=SHAPE).astype(np.float32),
                kind=nibabel.Nifti1Pair if name == "a.hdr" else nibabel.Nifti1Image)  # fmt: skip
    cut = path.with_suffix(".img") if name == "a.hdr" else path
    content = cut.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CohortError, match=r"a\..*: (has no NIfTI|its voxels|cannot be read)"):
        read_slice(path)


@pytest.mark.parametrize("content", [b"", b"file_name\n", b"\x1f\x8b not gzip"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr"])
def test_what_is_no_volume_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "a.img").write_bytes(b"")
    with pytest.raises(CohortError, match=r"has no NIfTI or Analyze header|cannot be read"):
        read_slice(tmp_path / name)


def test_missing_files_and_other_names_are_refused(tmp_path):
    with pytest.raises(CohortError, match=r"a\.nii: no such file"):
        read_slice(tmp_path / "a.nii")
    with pytest.raises(CohortError, match=r"a\.mgz: expected a name that ends in \.nii, \.nii\.gz"):
        read_slice(tmp_path / "a.mgz")
    (tmp_path / "b.hdr").write_bytes(b"")
    with pytest.raises(CohortError, match=r"b\.hdr: lacks .*b\.img"):
        read_slice(tmp_path / "b.hdr")


def test_without_nibabel_the_extra_is_named(tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n.startswith(("nibabel", "fairgen.intake.nifti_"))]:
        monkeypatch.setitem(sys.modules, name, None)
        if name.startswith("fairgen"):
            monkeypatch.delitem(sys.modules, name)
    for read in (read_slice, volume_facts):
        with pytest.raises(MissingExtra, match=r"NIfTI.*pip install 'fairgen\[medical\]'"):
            read(tmp_path / "a.nii")


def test_unknown_options_are_refused():
    with pytest.raises(ValidationError):
        SliceOptions(conventions="radiological")
    with pytest.raises(ValidationError):
        SliceOptions(orientation="XYZ")


@pytest.mark.skipif(not (REAL / "ixi_nifti10").is_dir(), reason="FAIRGEN_REAL_DATA names no folder")
def test_heads_of_ixi_stand_upright_and_are_cut_where_brains_are_large():
    paths = sorted((REAL / "ixi_nifti10" / "images").glob("*.nii.gz"))
    assert len(paths) == 10
    for path in paths:
        assert volume_facts(path) == VolumeFacts((120, 120, 90), 1, (2, 2, 2), "PSR", stated=True)
        assert read_slice(path).shape == (120, 90, 1)
        profile = read_slice(path, axis="sagittal")[:, :, 0]
        top, bottom = (profile[:30] > 60).sum(), (profile[-30:] > 60).sum()
        assert top > 0
        assert (profile[60:, :40] > 60).sum() > 0  # the face, on the left
        assert bottom > 0
