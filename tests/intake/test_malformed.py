"""What the world puts into tables and images, through the command line.

Each case changes one row, or the table, of a small cohort. It says whether the import is refused
with one line, goes on without the image and says so in one line, goes on without the row and counts
it, or reads it rightly. Whatever happens, nothing but the output folder may change.
"""

import gzip
import json
import os
import re
import struct
import zlib
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from pydicom.uid import DeflatedExplicitVRLittleEndian
from tests.intake.dicom_files import make_dicom, ramp

from fairgen.cli import main
from fairgen.files.folder import read_cohort
from fairgen.files.image import read_image
from fairgen.intake import dicom_header

COLUMNS = ("file", "patient", "sex", "age", "finding")
COUNT, ODD = 6, 1
"""Images of the cohort, and the one that is changed; its row is number 3."""


@dataclass
class World:
    """Holds the folder of a test, and what a case may change before the import."""

    root: Path
    rows: list = field(default_factory=list)
    table: str = "table.csv"
    options: list = field(default_factory=list)

    def image(self, name, content=b""):
        """Write a file among the images, let the odd row name it, and return its path."""
        self.rows[ODD]["file"] = name
        path = self.root / "images" / name
        path.write_bytes(content)
        return path

    def write(self):
        path = self.root / self.table
        if not path.exists():
            lines = [",".join(COLUMNS), *(",".join(r.values()) for r in self.rows)]
            path.write_text("\n".join(lines) + "\n")
        return path


@pytest.fixture
def world(tmp_path):
    found = World(tmp_path)
    (tmp_path / "images").mkdir()
    for i in range(COUNT):
        pixels = np.random.default_rng(i).integers(0, 256, (12, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
        cells = (f"{i}.png", f"p{i}", "FM"[i % 2], str(40 + i), ("no", "yes")[i % 2])
        found.rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return found


def listing(root):
    """Return every file below a folder but the cohort's, with its bytes."""
    paths = [p for p in root.rglob("*") if (root / "out") not in (p, *p.parents)]
    return {p: p.read_bytes() if p.is_file() else p.lstat().st_mode for p in paths}


def run(world, capsys, caplog):
    """Import with the rules that leave out what is wrong; return status, output, and lines told."""
    table, before = world.write(), listing(world.root)
    with pytest.raises(SystemExit) as done:
        main([
            "import", "table", str(table), "--images", str(world.root / "images"),
            "--file-column", "file", "--subject-column", "patient", "--attribute", "sex",
            "--attribute", "age:young=<=60;old=>60", "--label", "finding", "--missing", "drop",
            "--unreadable", "drop", "--modality", "chest", "--out", str(world.root / "out"),
            *world.options,
        ])  # fmt: skip
    assert listing(world.root) == before
    shown = capsys.readouterr()
    told = [r.getMessage() for r in caplog.records] + shown.err.splitlines()
    return done.value.code, shown.out, told


def png(width, height, data=b""):
    """Return a PNG file that says how large it is and holds what it likes."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", data))
    parts = [
        struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def saved(picture, kind, **options):
    stream = BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def noise(height=40, width=48, *more):
    return np.random.default_rng(0).integers(0, 256, (height, width, *more), dtype=np.uint8)


def dicom(**elements):
    stream = BytesIO()
    make_dicom(ramp(12, 16), **elements).save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def nifti(values, **header):
    volume = nibabel.Nifti1Image(values, np.eye(4))
    content = bytearray(volume.to_bytes())
    for place, value in header.items():
        content[int(place[1:]) : int(place[1:]) + len(value)] = value
    return bytes(content)


def bright(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


# ---- images that are left out, each with a line of its own -------------------------------------


def folder(world):
    (world.root / "images" / "d.png").mkdir()
    world.rows[ODD]["file"] = "d.png"


def pipe(world):
    os.mkfifo(world.root / "images" / "pipe.png")
    world.rows[ODD]["file"] = "pipe.png"


def locked(world):
    world.image("locked.png", png(4, 4)).chmod(0)
    if os.access(world.root / "images" / "locked.png", os.R_OK):
        pytest.skip("this user may read everything")


def deflated_bomb(world):
    content = dicom(syntax=DeflatedExplicitVRLittleEndian)
    place = content.index(b"1.2.840.10008.1.2.1.99") + 22
    compress = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = compress.compress(b"\0" * 2**22) + compress.flush()
    world.image("bomb.dcm", content[: place + place % 2] + bomb)


def without_pixels(world):
    found = make_dicom(ramp(12, 16))
    del found.PixelData
    found.save_as(world.image("empty.dcm"), enforce_file_format=True)


def analyze_alone(world):
    nibabel.save(nibabel.AnalyzeImage(bright(8, 9, 10), np.eye(4)), world.image("v.hdr"))
    (world.root / "images" / "v.img").unlink()


def named(name):
    def change(world):
        world.rows[ODD]["file"] = name

    return change


def image(name, content):
    return lambda world: world.image(name, content() if callable(content) else content)


LEFT_OUT = {
    "a PNG cut short": (image("a.png", lambda: saved(Image.fromarray(noise()), "PNG")[:900]),
                        "a.png: image cannot be decoded"),
    "a JPEG cut short": (image("a.jpg", lambda: saved(Image.fromarray(noise()), "JPEG")[:900]),
                         "a.jpg: image cannot be decoded"),
    "an empty file": (image("a.png", b""), "a.png: is not an image; expected PNG"),
    "text named PNG": (image("a.png", b"file,patient\n"), "a.png: is not an image; expected PNG"),
    "a vector drawing": (image("a.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
                         "a.png: is not an image"),
    "a folder named PNG": (folder, "d.png: is no plain file; expected an image"),
    "a pipe": (pipe, "pipe.png: is no plain file; expected an image"),
    "a file nobody may read": (locked, "locked.png: image cannot be decoded .*Permission"),
    "a file that is not there": (named("none.png"), "none.png: no such image file"),
    "a name of 300 letters": (named("x" * 300 + ".png"), r"x\.png: no such image file"),
    "a bomb of a PNG": (image("a.png", lambda: saved(Image.new("1", (10000, 9100)), "PNG")),
                        "a.png: image cannot be decoded .Image size .91000000 pixels. exceeds"),
    "a PNG of 1e9 pixels": (image("a.png", png(40000, 25000, b"x")),
                            "a.png: image cannot be decoded .Image size .1000000000 pixels."),
    "a PNG of no width": (image("a.png", png(0, 9, b"x")), "a.png: "),
    "a TIFF of fractions": (
        image("a.tif", lambda: saved(Image.fromarray(bright(9, 9)), "TIFF")),
        "a.tif: floating-point values; expected 8 or 16 bits",
    ),
    "a DICOM cut short": (image("a.dcm", lambda: dicom()[:-100]),
                          "a.dcm: .*cut short"),
    "a DICOM of many frames": (image("a.dcm", lambda: dicom(NumberOfFrames=7)),
                               "a.dcm: holds 7 frames and nothing says which to take"),
    "a DICOM without pixels": (without_pixels, "empty.dcm: holds no pixels"),
    "a DICOM of 1e9 pixels": (image("a.dcm", lambda: dicom(Rows=40000, Columns=25000)),
                              "a.dcm: 40000 x 25000 pixels; expected at most"),
    "a deflated bomb": (deflated_bomb, "bomb.dcm: inflates to more than"),
    "a report": (image("a.dcm", lambda: dicom(Modality="SR")), "a.dcm: is a SR object"),
    "a PNG named DICOM": (image("a.dcm", png(4, 4)), "a.dcm: is no DICOM file"),
    "a DICOM named PNG": (image("a.png", dicom), "a.png: is not an image"),
    "a volume of 1e9 voxels": (
        image("a.nii.gz", lambda: gzip.compress(
            nifti(bright(8, 9, 10), _42=struct.pack("<3h", 1000, 1000, 1000)))),
        "a.nii.gz: 1000 x 1000 x 1000 voxels; expected at most",
    ),
    "a packed volume cut short": (
        image("a.nii.gz", lambda: gzip.compress(nifti(bright(8, 9, 10)))[:400]),
        "a.nii.gz: its voxels are cut short or broken",
    ),
    "a volume that is not packed as it says": (image("a.nii.gz", b"plain"), "a.nii.gz: cannot be "),
    "a series of volumes": (image("a.nii", lambda: nifti(bright(8, 9, 10, 3))),
                            "a.nii: is a series of 3 volumes; expected one"),
    "a volume of one value": (image("a.nii", lambda: nifti(np.full((8, 9, 10), np.nan, "f4"))),
                              "a.nii: every voxel has the same value"),
    "a flat volume": (image("a.nii", lambda: nifti(bright(8, 9))), "a.nii: has sizes"),
    "half of an Analyze pair": (analyze_alone, "v.hdr: lacks .*v.img"),
}  # fmt: skip


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_broken_image_is_left_out_and_told_of(world, capsys, caplog, monkeypatch, case):
    monkeypatch.setattr(dicom_header, "MOST_BYTES", 2**20)
    change, message = LEFT_OUT[case]
    change(world)
    status, out, told = run(world, capsys, caplog)
    assert status == 0
    assert len(told) == 1, told
    assert told[0].startswith(f"{world.root / 'table.csv'}: row 3: ")
    assert re.search(message, told[0]), told[0]
    assert told[0].endswith("; left out")
    assert "left out: 1 images, unreadable" in out
    assert len(read_cohort(world.root / "out").cohort) == COUNT - 1


# ---- tables and paths that are refused, each with one line --------------------------------------


def content(text, name="table.csv", encoding="utf-8"):
    def change(world):
        world.table = name
        shown = text(world) if callable(text) else text
        data = shown if isinstance(shown, bytes) else shown.encode(encoding)
        (world.root / name).write_bytes(data)

    return change


def lines(world, edit=lambda lines: lines):
    """Return the table's text with its lines edited."""
    found = [",".join(COLUMNS), *(",".join(r.values()) for r in world.rows)]
    return "\n".join(edit(found)) + "\n"


def edited(number, new):
    """Return a change that replaces one line of the table."""
    return content(
        lambda world: lines(world, lambda ls: [*ls[:number], *new(ls), *ls[number + 1 :]])
    )


def cell(column, value, *options):
    def change(world):
        world.rows[ODD][column] = value
        world.options += options

    return change


def as_json(odd):
    """Return a change that makes JSON lines of the table, the odd row changed."""
    return content(
        lambda world: "\n".join(
            json.dumps({**r, **odd} if i == ODD else r) for i, r in enumerate(world.rows)
        ),
        "table.jsonl",
    )


def half_parquet(world):
    stream = BytesIO()
    parquet.write_table(pa.Table.from_pylist(world.rows), stream)
    content(stream.getvalue()[:-20], "table.parquet")(world)


def link_out(world):
    (world.root / "secret.png").write_bytes((world.root / "images" / "1.png").read_bytes())
    (world.root / "images" / "link.png").symlink_to(world.root / "secret.png")
    world.rows[ODD]["file"] = "link.png"


def linked_device(world):
    (world.root / "images" / "zero.png").symlink_to("/dev/zero")
    world.rows[ODD]["file"] = "zero.png"


def table_folder(world):
    (world.root / "table.csv").mkdir()


REFUSED = {
    "a link out of the folder": (link_out, "row 3: .*'link.png' is a link out of the folder"),
    "a link to a device": (linked_device, "row 3: .*'zero.png' is a link out of the folder"),
    "a path upwards": (named("../secret.png"), "row 3: file_name '../secret.png' .*leaves the fol"),
    "an absolute path": (named("/etc/passwd.png"), "row 3: file_name '/etc/passwd.png' .*leaves"),
    "a drive of Windows": (named("C:\\x\\1.png"), "row 3: file_name 'C:.*' .*leaves the folder"),
    "another ending": (named("run.exe"), "row 3: .*'run.exe' has no image's ending"),
    "a formula as label": (cell("finding", "=1+cmd"), "row 3: label '=1.cmd' is a formula"),
    "a formula as patient": (cell("patient", "@SUM(1)"), "row 3: subject '@SUM.*is a formula"),
    "a command as patient": (cell("patient", "-2|cmd"), "row 3: subject '-2.cmd' is a formula"),
    "an empty table": (content(""), "line 1 is empty; expected the names of the columns"),
    "a header alone": (content(",".join(COLUMNS) + "\n"), "table.csv: has no rows"),
    "semicolons": (content(lambda w: lines(w).replace(",", ";")),
                   "line 1 is one column 'file;patient;.*expected another sign"),
    "tabs": (content(lambda w: lines(w).replace(",", "\t")), "line 1 is one column"),
    "commas in a TSV": (content(lines, "table.tsv"), "line 1 is one column"),
    "UTF-16": (content(lines, encoding="utf-16"), "is not utf-8 text .*expected its encoding"),
    "UTF-16 without a mark": (content(lines, encoding="utf-16-le"), "NUL|line 1|no column"),
    "Latin letters of one byte": (content(lambda w: lines(w).replace("p1", "Jos\xe9"),
                                          encoding="latin-1"), "is not utf-8 text"),
    "NUL bytes": (cell("patient", "p\0"), "row 3 holds NUL bytes"),
    "a column twice": (content(lambda w: lines(w).replace("age", "sex", 1)),
                       "line 1 names column 'sex' twice"),
    "a column misspelt": (content(lambda w: lines(w).replace("finding", "findings", 1)),
                          "no column 'finding'; did you mean 'findings'"),
    "a row twice": (edited(3, lambda ls: [ls[2]]), "row 4: image '1.png' is that of row 3 too"),
    "too few cells": (edited(2, lambda ls: ["1.png,p1"]), "row 3 has 2 cells; expected 5"),
    "too many cells": (edited(2, lambda ls: [ls[2] + ",x"]), "row 3 has 6 cells; expected 5"),
    "an open quote": (edited(2, lambda ls: ['"' + ls[2]]), "row 3 is malformed"),
    "a cell of 200,000 letters": (cell("patient", "x" * 200_000), "row 3 is malformed"),
    "no JSON": (content("{'file': 1}\n", "table.jsonl"), "row 1 is not JSON"),
    "JSON that is no object": (content("[1]\n", "table.jsonl"), "row 1 is no JSON object"),
    "JSON without end": (content("[" * 100_000 + "\n", "table.jsonl"), "row 1 is not JSON"),
    "a nested value": (as_json({"finding": {"code": 1}}), "row 2: column 'finding': .*is nested"),
    "half a letter": (as_json({"patient": "p\udcff"}), "row 2: subject .*holds a character that"),
    "a Parquet file cut short": (half_parquet, "table.parquet: cannot be read"),
    "a folder named CSV": (table_folder, "table.csv: cannot be read"),
    "another kind of table": (content("x", "table.docx"), "expected a table, one of"),
    "a value of no level": (cell("age", "old man"), "row 3: column 'age': 'old man' belongs to no"),
    "levels that differ in case": (cell("finding", "NO"), "NO, no differ only in case"),
    "the salt in the cohort": (cell("age", "41", "--salt", "OUT/salt"), "the salt lies in"),
    "no terms": (cell("age", "41", "--terms", "nowhere.txt"), "expected the terms of use"),
    "a slice that is none": (cell("age", "41", "--slice", "middle"), "slice 'middle': expected a"),
    "a window that is none": (cell("age", "41", "--show", "window=bone"), "import table: show"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_malformed_table_is_refused_in_one_line(world, capsys, caplog, case):
    change, message = REFUSED[case]
    change(world)
    world.options = [o.replace("OUT", str(world.root / "out")) for o in world.options]
    status, _, told = run(world, capsys, caplog)
    assert status == 2
    assert len(told) == 1, told
    assert re.search(message, told[0]), told[0]
    assert not (world.root / "out").exists()
    assert not [p for p in world.root.iterdir() if p.name.endswith(".partial")]


# ---- rows that are left out by rule, and counted -----------------------------------------------

DROPPED = {
    "an age that is no number": (cell("age", "NaN"), "missing age"),
    "no age": (cell("age", ""), "missing age"),
    "no label": (cell("finding", "n/a"), "missing finding"),
    "no patient": (cell("patient", " "), "missing subject"),
    "no file": (cell("file", ""), "missing file name"),
    "an endless age": (cell("age", "inf", "--set", 'others="drop"'), "age outside levels"),
    "JSON's NaN": (as_json({"age": float("nan")}), "missing age"),
    "JSON's null": (as_json({"finding": None}), "missing finding"),
}  # fmt: skip


@pytest.mark.parametrize("case", DROPPED)
def test_a_row_without_a_value_is_left_out_and_counted(world, capsys, caplog, case):
    change, reason = DROPPED[case]
    change(world)
    status, out, told = run(world, capsys, caplog)
    assert (status, told) == (0, [])
    assert f"rows: {COUNT} in = {COUNT - 1} kept + 1 left out" in out
    assert f"left out: 1 rows, {reason}" in out
    assert len(read_cohort(world.root / "out").cohort) == COUNT - 1


# ---- odd, and read rightly -----------------------------------------------------------------------


def rotated(world):
    exif = Image.Exif()
    exif[0x0112] = 6
    world.image("a.jpg", saved(Image.fromarray(noise(8, 24)), "JPEG", exif=exif))


def cmyk(world):
    world.image("a.jpg", saved(Image.new("CMYK", (9, 9), (0, 0, 0, 0)), "JPEG"))


def sixteen(world):
    world.image("a.png", saved(Image.fromarray(np.full((9, 9), 65535, np.uint16)), "PNG"))


def palette(world):
    picture = Image.new("P", (9, 9), 3)
    picture.putpalette([0, 0, 0] * 256)
    world.image("a.png", saved(picture, "PNG", transparency=3))


def frames(kind, name):
    def change(world):
        first, *others = (Image.new("L", (9, 9), v) for v in (255, 0, 0))
        world.image(name, saved(first, kind, save_all=True, append_images=others))

    return change


def odd_volume(world):
    values = bright(8, 9, 10)
    values[0, 0, 0], values[1, 0, 0] = np.inf, np.nan
    world.image("a.nii", nifti(values))


def alike(world):
    for name in ("A.png", "a.PNG"):
        world.image(name, saved(Image.new("L", (9, 9), 255), "PNG"))
    world.rows[ODD + 1]["file"] = "A.png"


def backslash(world):
    (world.root / "images" / "sub").mkdir()
    world.image("sub/a.png", saved(Image.new("L", (9, 9), 255), "PNG"))
    world.rows[ODD]["file"] = "sub\\a.png"


def not_utf8(world):
    (world.root / "images" / "caf\udce9.png").write_bytes(saved(Image.new("L", (9, 9), 255), "PNG"))
    as_json({"file": "caf\udce9.png"})(world)


def unchanged(world):
    world.image("a.png", saved(Image.new("L", (9, 9), 255), "PNG"))


def then(change, *more):
    def both(world):
        unchanged(world)
        change(world)
        world.options += more

    return both


READ = {
    "EXIF that turns": (rotated, lambda p: p.shape == (24, 8, 1)),
    "CMYK": (cmyk, lambda p: p.min() > 250),
    "sixteen bits": (sixteen, lambda p: p.min() == 255),
    "a palette with a hole": (palette, lambda p: p.min() == 255),
    "a GIF that moves": (frames("GIF", "a.gif"), lambda p: p.min() == 255),
    "a TIFF of pages": (frames("TIFF", "a.tif"), lambda p: p.min() == 255),
    "a JPEG named PNG": (image("a.png", lambda: saved(Image.new("L", (9, 9), 255), "JPEG")),
                         lambda p: p.min() == 255),
    "a volume with holes": (odd_volume, lambda p: p.max() == 255 and p.min() < 9),
    "names that differ in case": (alike, lambda p: p.min() == 255),
    "slashes of Windows": (backslash, lambda p: p.min() == 255),
    "a name that is no UTF-8": (not_utf8, lambda p: p.min() == 255),
    "a byte order mark": (then(content(lines, encoding="utf-8-sig")), lambda p: p.min() == 255),
    "UTF-16 that is named": (then(content(lines, encoding="utf-16"), "--set", "encoding=utf-16"),
                             lambda p: p.min() == 255),
    "line ends of Windows": (then(content(lambda w: lines(w).replace("\n", "\r\n"))),
                             lambda p: p.min() == 255),
    "a nested value nobody asked for": (then(as_json({"file": "a.png", "box": [[1], {}]})),
                                        lambda p: p.min() == 255),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_what_is_odd_and_right_is_read(world, capsys, caplog, case):
    change, right = READ[case]
    change(world)
    status, _, told = run(world, capsys, caplog)
    assert (status, told) == (0, [])
    found = read_cohort(world.root / "out")
    assert len(found.cohort) == COUNT
    assert right(read_image(found.path(found.cohort.records[ODD]), channels=1))
