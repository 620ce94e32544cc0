"""Plants identifiers wherever a file can hold one, and searches what a cohort keeps for them."""

import struct
import warnings
import zlib

import nibabel
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import JPEGBaseline8Bit, SecondaryCaptureImageStorage
from tests.intake.dicom_files import make_dicom, ramp

from fairgen.files.image import read_image, write_image
from fairgen.intake.dicom import dicom_facts, read_dicom
from fairgen.intake.dicom_terms import READ
from fairgen.intake.identity_text import burned_in_text
from fairgen.intake.nifti import LARGEST, volume_facts
from fairgen.intake.spec import TableSettings, parse_attributes, parse_label
from fairgen.intake.table import import_table

SALT = b"0123456789abcdef0123456789abcdef"
VALUES = {
    "AE": "LEAKAE", "AS": "061Y", "CS": "LEAKCS", "DA": "19610203", "DS": "61.0203",
    "DT": "19610203040506", "IS": "4711815", "LO": "LEAK LO MRN4711", "LT": "LEAK LT letter",
    "PN": "LEAKPN^JOHN^Q", "SH": "LEAKSH4711", "ST": "LEAK ST street", "TM": "040506",
    "UC": "LEAK UC unlimited", "UI": "1.2.826.4711.815.61", "UR": "http://leakur.example",
    "UT": "LEAK UT report", "OB": b"LEAK OB bytes!", "UN": b"LEAK UN bytes!",
}  # fmt: skip
IMAGE_GROUP, META_GROUP = 0x0028, 0x0002


def planted(group_free=(META_GROUP, IMAGE_GROUP)):
    """Return every element of the standard of a kind that can hold an identifier, with one."""
    read = {Tag(keyword) for keyword in READ}
    for tag, (kinds, _, _, retired, _) in DicomDictionary.items():
        vr = kinds.split(" or ")[0]
        allowed = tag >> 16 not in group_free and tag >> 16 >= 8 and Tag(tag) not in read
        if vr in VALUES and allowed and not retired and keyword_for_tag(tag):
            yield Tag(tag), vr, VALUES[vr]


def letters(value):
    return value.encode() if isinstance(value, str) else value


IDENTIFIERS = [letters(v) for v in VALUES.values()] + [b"LEAK", b"SMITH", b"4711", b"1961"]


def leaks(*paths):
    """Return which identifiers stand in files or their names, plain or in two-byte letters."""
    content = b""
    for path in paths:
        content += path.name.encode() + path.read_bytes()
        if path.suffix == ".png":
            with Image.open(path) as picture:
                content += np.asarray(picture).tobytes()
    spread = [
        i.decode("latin-1").encode(code) for i in IDENTIFIERS for code in ("utf-16-le", "utf-16-be")
    ]
    return [i for i in (*IDENTIFIERS, *spread) if i in content]


def kept(tmp_path, source, at=LARGEST):
    """Import a file whose row names its patient; return its place once nothing is known to leak."""
    row = f"{source.name},LEAKPN^JOHN^Q,F,x,SMITH 4711 19610203"
    (tmp_path / "t.csv").write_text(f"file,patient,sex,finding,note\n{row}\n")
    (tmp_path / "salt").write_bytes(SALT)
    (tmp_path / "salt").chmod(0o600)
    spec = TableSettings(
        images=source.parent,
        attributes=parse_attributes(["sex"]),
        label=parse_label("finding"),
        file_column="file",
        subject_column="patient",
        slices=(at,),
        salt=tmp_path / "salt",
    )
    found = import_table(tmp_path / "t.csv", out=tmp_path / "cohort", spec=spec)
    assert leaks(*(p for p in found.root.rglob("*") if p.is_file())) == []
    path = found.path(found.cohort.records[0])
    assert read_image(path).max() > 0
    return path


def full_dicom(syntax=None, frame=None):
    """Return a data set with an identifier in every element, and around them."""
    values = ramp(16, 16, np.uint8, step=1) if frame else ramp(16, 16, step=7)
    found = make_dicom(values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tag, vr, value in planted():
            found.add_new(tag, vr, value)
        block = found.private_block(0x0011, "LEAK CREATOR", create=True)
        for place, (vr, value) in enumerate(VALUES.items()):
            block.add_new(place, vr, value)
    found.BodyPartExamined, found.ViewPosition = "LEAK SMITH", "SMITH 4711"
    found.Modality, found.SOPClassUID = "CR", SecondaryCaptureImageStorage
    item = Dataset()
    item.PatientName, item.LUTExplanation = VALUES["PN"], VALUES["LO"]
    item.add_new("LUTDescriptor", "US", [4, 0, 8])
    item.add_new("LUTData", "US", [0, 100, 200, 255])
    found.VOILUTSequence = Sequence([item])
    found.OtherPatientIDsSequence = Sequence([item])
    found.add_new(0x60000010, "US", 16)
    found.add_new(0x60000011, "US", 16)
    found.add_new(0x60003000, "OW", b"LEAK overlay SMITH 4711 19610203")
    found.add_new(0x60004000, "LT", "LEAK overlay comment")
    found.preamble = b"LEAK preamble SMITH 4711".ljust(128, b"\0")
    found.file_meta.SourceApplicationEntityTitle = "LEAKAE"
    found.file_meta.ImplementationVersionName = "LEAK4711"
    found.file_meta.PrivateInformationCreatorUID = VALUES["UI"]
    found.file_meta.PrivateInformation = b"LEAK private SMITH"
    found.DataSetTrailingPadding = b"LEAK trailing SMITH 4711"
    found.PixelData += b"LEAK beyond the pixels SMITH 4711!"
    if frame:
        found.file_meta.TransferSyntaxUID = syntax
        found.PixelData = encapsulate([frame])
    return found


def save(found, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found.save_as(path, enforce_file_format=True)
    path.write_bytes(path.read_bytes() + b"LEAK after the end SMITH 4711")
    return path


def jpeg(path, **extra):
    gradient = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
    Image.fromarray(gradient).save(path, "JPEG", comment=b"LEAK comment SMITH 4711", **extra)
    return path


def test_thousands_of_elements_are_planted():
    kinds = {vr for _, vr, _ in planted()}
    assert {"PN", "LO", "SH", "UI", "DA", "DT", "TM", "AE", "LT", "ST", "UT"} <= kinds
    assert len(list(planted())) > 1500


def test_nothing_of_a_dicom_header_reaches_the_cohort(tmp_path):
    path = save(full_dicom(), tmp_path / "SMITH_JOHN_4711.dcm")
    assert path.read_bytes().count(b"LEAK") > 500
    shown = kept(tmp_path, path)
    facts = dicom_facts(path)
    said = f"{facts} {burned_in_text(read_dicom(path), facts=facts)} {shown}"
    assert not [i for i in IDENTIFIERS if i.decode("latin-1") in said.replace(str(tmp_path), "")]
    assert (facts.body_part, facts.view) == ("other", "other")


def test_no_log_or_warning_quotes_a_header(tmp_path, caplog):
    found = make_dicom(ramp())
    path = save(found, tmp_path / "a.dcm")
    content = path.read_bytes().replace(
        b"1.2.840.10008.5.1.4.1.1.1\0", b"LEAK SMITH 4711 19610203!!"
    )
    path.write_bytes(content)
    caplog.clear()
    read_dicom(path)
    dicom_facts(path)
    assert "LEAK" in str(content)
    assert caplog.text == ""


def test_nothing_of_a_jpeg_inside_a_dicom_reaches_the_cohort(tmp_path):
    frame = jpeg(tmp_path / "a.jpg").read_bytes()
    path = save(full_dicom(JPEGBaseline8Bit, frame), tmp_path / "a.dcm")
    assert path.read_bytes().count(b"LEAK comment") == 1
    kept(tmp_path, path)


def segment(marker, content):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def test_nothing_of_a_jpeg_reaches_the_cohort(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = exif[0x8298] = "LEAK SMITH 4711"
    exif[0x0132] = "1961:02:03 04:05:06"
    exif[0x0112] = 6
    exif.get_ifd(0x8769).update({0x9286: b"ASCII\0\0\0LEAK comment", 0x927C: b"LEAK maker note"})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 14.0), 29: "1961:02:03", 28: b"LEAK area"})
    path = jpeg(
        tmp_path / "SMITH.jpg", exif=exif, icc_profile=b"LEAK profile SMITH 4711".ljust(128)
    )
    small = jpeg(tmp_path / "small.jpg").read_bytes()
    content = path.read_bytes()
    extra = (
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>LEAK SMITH 4711</x:xmpmeta>")
        + segment(
            0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x14\x1c\x02\x69\0\x0fLEAK SMITH 4711"
        )
        + segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + small)
        + segment(0xEB, b"LEAK in an unknown segment SMITH")
    )
    path.write_bytes(content[:2] + extra + content[2:] + b"LEAK after the end SMITH 4711")
    assert path.read_bytes().count(b"LEAK") >= 10
    kept(tmp_path, path)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_nothing_of_a_png_reaches_the_cohort(tmp_path, dtype):
    info = PngInfo()
    info.add_text("Author", "LEAK SMITH 4711")
    info.add_text("Comment", "LEAK packed SMITH 4711", zip=True)
    info.add_itxt("Title", "LEAK SMITH 4711", "en", "LEAK key")
    info.add_itxt("XML:com.adobe.xmp", "LEAK SMITH 4711", zip=True)
    exif = Image.Exif()
    exif[0x010E] = "LEAK SMITH 4711"
    path = tmp_path / "a.png"
    Image.fromarray(ramp(16, 16, dtype, step=1)).save(
        path, pnginfo=info, exif=exif, icc_profile=b"LEAK profile".ljust(128)
    )
    content = path.read_bytes()
    end = content.index(b"IDAT") - 4
    extra = chunk(b"tIME", struct.pack(">H5B", 1961, 2, 3, 4, 5, 6)) + chunk(b"leAk", b"LEAK SMITH")
    path.write_bytes(content[:end] + extra + content[end:] + b"LEAK after the end SMITH 4711")
    assert path.read_bytes().count(b"LEAK") >= 5
    kept(tmp_path, path)


def test_nothing_of_a_tiff_reaches_the_cohort(tmp_path):
    path = tmp_path / "a.tiff"
    tags = {
        270: "LEAK SMITH 4711",
        315: "LEAK SMITH 4711",
        306: "1961:02:03 04:05:06",
        65000: "LEAK",
    }
    Image.fromarray(ramp(16, 16, step=250)).save(
        path, tiffinfo=tags, icc_profile=b"LEAK".ljust(128)
    )
    path.write_bytes(path.read_bytes() + b"LEAK after the end SMITH 4711")
    assert path.read_bytes().count(b"LEAK") >= 4
    kept(tmp_path, path)


def named_volume(kind):
    image = kind(ramp(8, 64, np.int16, step=3).reshape(8, 8, 8), np.eye(4))
    for field in ("descrip", "aux_file", "db_name", "data_type", "intent_name", "patient_id",
                  "exp_date", "exp_time", "generated", "scannum"):  # fmt: skip
        if field in image.header:
            image.header[field] = b"LEAK 4711" if field != "exp_date" else b"19610203"
    return image


def test_nothing_of_a_nifti_header_reaches_the_cohort(tmp_path):
    image = named_volume(nibabel.Nifti1Image)
    for code in (4, 6, 44):  # AFNI, comment, MRS
        content = b"LEAK in an extension SMITH 4711"
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(code, content))
    path = tmp_path / "SMITH_4711.nii"
    nibabel.save(image, path)
    path.write_bytes(path.read_bytes() + b"LEAK after the end SMITH 4711")
    assert path.read_bytes().count(b"LEAK") >= 7
    kept(tmp_path, path)
    assert "LEAK" not in str(volume_facts(path))


def test_nothing_of_an_analyze_header_reaches_the_cohort(tmp_path):
    nibabel.save(named_volume(nibabel.AnalyzeImage), tmp_path / "a.img")
    assert (tmp_path / "a.hdr").read_bytes().count(b"LEAK") >= 4
    kept(tmp_path, tmp_path / "a.hdr", at=4)


def test_the_search_finds_what_is_left_in(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((4, 4, 1), np.uint8), text={"name": "SMITH 4711"})
    assert b"SMITH" in leaks(tmp_path / "a.png")
    hidden = np.frombuffer(b"LEAKPN^JOHN^Q...", np.uint8).reshape(1, 16, 1)
    write_image(tmp_path / "b.png", hidden)
    assert b"LEAKPN^JOHN^Q" in leaks(tmp_path / "b.png")
