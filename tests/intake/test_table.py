import json
from pathlib import Path

import nibabel
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFont
from pyarrow import csv as arrow_csv
from pyarrow import parquet
from tests.intake.dicom_files import make_dicom

from fairgen.cohort.split import SplitSettings
from fairgen.errors import CohortError, FairGenError, StudyError
from fairgen.files.digest import folder_digest
from fairgen.files.facts import audit_folder
from fairgen.files.folder import read_cohort
from fairgen.files.image import read_image, write_image
from fairgen.files.layout import split_folder
from fairgen.intake.make import suspected
from fairgen.intake.pixels import Showing
from fairgen.intake.spec import MISSING, AttributeColumn, parse_attribute, parse_label
from fairgen.intake.table import import_table


@pytest.fixture
def bring(tmp_path, make_table, make_spec):
    """Return a function that imports the table with rows and settings changed."""

    def run(*changes, **settings):
        return import_table(make_table(*changes), out=tmp_path / "out", spec=make_spec(**settings))

    return run


def by_key(folder):
    return {g.key: n for g, n in folder.cohort.counts().items()}


def test_a_table_becomes_a_cohort_with_the_counts_worked_out_by_hand(bring, images):
    found = bring()
    assert by_key(found) == {"dark|BCC": 4, "dark|NV": 2, "light|BCC": 4, "light|NV": 2}
    assert found.cohort.subjects() == ("0", "1", "2", "3", "4", "5")
    assert found.cohort.records[0].text == "a photograph of NV on dark skin"
    assert found.path(found.cohort.records[3]).read_bytes() == (images / "p3.png").read_bytes()
    assert {k: found.source[k] for k in ("rows", "kept", "dropped")} == {
        "rows": 12,
        "kept": 12,
        "dropped": {},
    }
    assert found == read_cohort(found.root)


@pytest.mark.parametrize("kind", [".tsv", ".jsonl", ".parquet"])
def test_every_kind_of_table_gives_the_same_cohort(bring, tmp_path, make_table, make_spec, kind):
    expected = bring()
    rows = arrow_csv.read_csv(make_table()).to_pylist()  # numbers become numbers
    path = tmp_path / f"other{kind}"
    if kind == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif kind == ".jsonl":
        path.write_text("\n".join(json.dumps({**r, "tone": float(r["tone"])}) for r in rows))
    else:
        path.write_text(make_table().read_text().replace(",", "\t"))
    found = import_table(path, out=tmp_path / "other", spec=make_spec())
    assert found.cohort == expected.cohort


def test_two_attributes_are_crossed(bring):
    attributes = dict([parse_attribute("tone:dark=0,1,2;light=3,4,5")])
    attributes["odd"] = AttributeColumn(
        column="tone", levels={"no": ("0", "2", "4"), "yes": ("1", "3", "5")}
    )
    found = bring(attributes=attributes)
    assert found.cohort.schema.subgroups() == ("dark|no", "dark|yes", "light|no", "light|yes")
    assert sum(found.cohort.subgroup_counts().values()) == 12


def test_levels_that_never_occur_are_empty_groups(bring):
    attributes = dict([parse_attribute("tone:dark=0,1,2;medium=9;light=3,4,5")])
    found = bring(attributes=attributes)
    assert found.cohort.subgroup_counts()["medium"] == 0


def test_without_a_mapping_values_are_levels_in_order(bring):
    found = bring((0, {"tone": "10"}), attributes=dict([parse_attribute("tone")]))
    assert found.cohort.schema.attributes[0].levels == ("0", "1", "2", "3", "4", "5", "10")
    assert found.cohort.schema.label.levels == ("BCC", "NV")


@pytest.mark.parametrize("value", [*MISSING, "NaN", " ", "Unknown"])
def test_a_missing_value_stops_the_import_unless_a_rule_says_otherwise(bring, value):
    with pytest.raises(CohortError) as error:
        bring((4, {"tone": value}))
    assert f"table.csv: row 6: column 'tone': '{value.strip()}' means missing" in str(error.value)


def test_rows_with_missing_values_are_left_out_and_counted(bring):
    found = bring(
        (4, {"tone": ""}), (5, {"dx": "NA"}), (6, {"dx": "?"}), (7, {"patient": "nan"}),
        missing="drop",
    )  # fmt: skip
    assert found.source["dropped"] == {
        "missing diagnosis": 2,
        "missing subject": 1,
        "missing tone": 1,
    }
    assert (found.source["rows"], found.source["kept"]) == (12, 8)
    assert len(found.cohort) == 8


def test_missing_values_may_be_a_level_of_their_own(bring):
    found = bring((4, {"tone": ""}), (5, {"dx": "NA"}), missing="level")
    assert found.cohort.schema.attributes[0].levels == ("dark", "light", "unknown")
    assert found.cohort.schema.label.levels == ("BCC", "NV", "unknown")
    assert found.cohort.subgroup_counts()["unknown"] == 1
    assert found.source["dropped"] == {}


def test_no_level_of_missing_values_is_made_where_none_is_missing(bring):
    assert bring(missing="level").cohort.schema.attributes[0].levels == ("dark", "light")


def test_a_missing_subject_can_be_no_level(bring):
    with pytest.raises(CohortError, match="row 9: column 'patient': '' means missing"):
        bring((7, {"patient": ""}), missing="level")


def test_a_value_that_a_level_lists_is_never_missing(bring):
    label = parse_label("finding=dx:none=none;some=BCC,NV")
    found = bring((0, {"dx": "none"}), label=label)
    assert found.cohort.label_counts() == {"none": 1, "some": 11}


def test_values_outside_the_levels_stop_the_import_or_are_counted(bring):
    label = parse_label("diagnosis=dx:BCC")
    with pytest.raises(CohortError) as error:
        bring(label=label)
    assert (
        "row 2: column 'dx': 'NV' belongs to no level of 'diagnosis'; expected one of BCC, or "
        "others = drop"
    ) in str(error.value)
    found = bring(label=label, others="drop")
    assert found.source["dropped"] == {"diagnosis outside levels": 4}
    assert len(found.cohort) == 8


def test_only_the_rows_asked_for_are_looked_at(bring):
    found = bring((3, {"tone": "rubbish"}), rows={"patient": ("0", "5.0")})
    assert found.cohort.subjects() == ("0", "5")
    assert found.source["dropped"] == {"patient not 0 or 5.0": 8}


def test_numbers_of_subjects_written_as_floats_are_the_same_subject(bring):
    found = bring((0, {"patient": "5.0"}))
    assert len(found.cohort.select(lambda r: r.subject == "5")) == 3


def test_nothing_left_is_an_error_that_counts_the_reasons(bring):
    with pytest.raises(CohortError, match=r"no row is left \(diagnosis outside levels: 12\)"):
        bring(label=parse_label("diagnosis=dx:MEL"), others="drop")


def test_too_many_values_want_a_mapping(make_table, make_spec, tmp_path):
    rows = [{"file": f"p{i}.png", "patient": "1", "tone": str(i), "dx": "a"} for i in range(60)]
    spec = make_spec(attributes=dict([parse_attribute("tone")]))
    with pytest.raises(CohortError, match="column 'tone' has 60 distinct values; expected at most"):
        import_table(make_table(rows=rows), out=tmp_path / "out", spec=spec)


def test_values_that_differ_only_in_case_want_a_mapping(bring):
    with pytest.raises(CohortError, match="column 'dx': BCC, bcc differ only in case"):
        bring((1, {"dx": "bcc"}))


def test_without_subjects_a_reason_is_wanted_kept_and_told(bring):
    with pytest.raises(StudyError, match="no subject column"):
        bring(subject_column=None)
    with pytest.raises(StudyError, match="no subject column"):
        bring(subject_column=None, subject_waiver=" ")
    found = bring(subject_column=None, subject_waiver="the release has none")
    assert len(found.cohort.subjects()) == 12
    assert found.source["subject_waiver"] == "the release has none"
    assert found.source["subject"] == "each image by itself"
    assert audit_folder(found.root).listing.waiver == "the release has none"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"file_column": "filename"}, "no column 'filename'; did you mean 'file'?"),
        ({"subject_column": "patients"}, "no column 'patients'; did you mean 'patient'?"),
        ({"label": parse_label("DX")}, "no column 'DX'; did you mean 'dx'?"),
        ({"rows": {"plain": ("axial",)}}, "no column 'plain'"),
        ({"keep": ("age",)}, "no column 'age'"),
        ({"keep": ("tone",)}, "column 'tone' is reserved or named twice"),
        ({"words": {"BCCC": "x"}}, "words: 'BCCC' is no level; did you mean 'BCC'?"),
        ({"modality": "ct"}, "unknown modality 'ct'"),
        ({"template": "{age}"}, "prompt template '{age}'"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(bring, tmp_path, changed, message):
    with pytest.raises(FairGenError) as error:
        bring(**changed)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_folders_and_files_that_are_not_there_are_refused(bring, tmp_path):
    with pytest.raises(StudyError, match="expected the folder of the images"):
        bring(images=tmp_path / "nowhere")
    with pytest.raises(StudyError, match="expected the terms of use"):
        bring(terms=tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/etc/p.png", "row 4: file_name '/etc/p.png' is empty or leaves the folder"),
        ("../p2.png", "row 4: file_name '../p2.png' is empty or leaves the folder"),
        ("link.png", "row 4: column 'file': 'link.png' is a link out of the folder"),
        ("", "row 4: column 'file': '' means missing; expected a file name"),
        ("p2", "row 4: column 'file': 'p2' has no image's ending"),
        ("p1.png", "row 4: image 'p1.png' is that of row 3 too; expected one row an image"),
        ("p99.png", "p99.png: no such image file"),
        ("text.png", "text.png: is not an image"),
        ("half.png", "half.png: image cannot be decoded"),
    ],
)
def test_a_wrong_file_stops_the_import_with_its_row(bring, images, tmp_path, name, message):
    (tmp_path / "secret.png").write_bytes((images / "p2.png").read_bytes())
    (images / "link.png").symlink_to(tmp_path / "secret.png")
    (images / "text.png").write_text("no image")
    (images / "half.png").write_bytes((images / "p2.png").read_bytes()[:200])
    with pytest.raises(CohortError) as error:
        bring((2, {"file": name}))
    assert "table.csv: row 4: " in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_unreadable_images_may_be_left_out_and_counted(bring, images):
    (images / "p2.png").write_text("no image")
    (images / "p3.png").unlink()
    found = bring(unreadable="drop")
    assert {k: found.source[k] for k in ("kept", "images", "images_unreadable")} == {
        "kept": 12,
        "images": 10,
        "images_unreadable": 2,
    }
    assert not (found.root / "images/000002.png").exists()


def test_images_may_be_resized(bring):
    found = bring(size=8)
    assert read_image(found.path(found.cohort.records[0])).shape == (8, 8, 3)


def test_grey_modalities_are_stored_grey_when_resized(bring):
    found = bring(size=8, modality="chest")
    with_three = read_image(found.path(found.cohort.records[0]), channels=3)
    assert np.ptp(with_three.astype(int), axis=2).max() == 0


def test_a_suffix_can_be_appended_to_identifiers(bring, make_table):
    names = [(i, {"file": f"p{i}"}) for i in range(12)]
    assert len(bring(*names, suffix=".png").cohort) == 12


def test_images_get_numbers_in_place_of_their_names(bring, images):
    write_image(images / "DOE^MARY" / "x.png", np.zeros((8, 8, 3), np.uint8))
    write_image(images / "b" / "X.png", np.zeros((8, 8, 3), np.uint8))
    found = bring((0, {"file": "DOE^MARY/x.png"}), (1, {"file": "b/X.png"}))
    assert [r.image for r in found.cohort.records[:2]] == ["images/000000.png", "images/000001.png"]
    assert not any("DOE" in str(p) for p in found.root.rglob("*"))
    assert "DOE" not in (found.root / "metadata.csv").read_text()


def test_where_nobody_can_be_told_apart_names_stay_behind_too(bring):
    found = bring((0, {"patient": "DOE^MARY"}), subject_column=None, subject_waiver="none")
    assert found.cohort.records[0].subject == "image:2"
    assert "p0" not in (found.root / "metadata.csv").read_text()


def test_subjects_become_pseudonyms_by_the_users_salt(bring, tmp_path):
    found = bring((0, {"patient": "DOE^MARY"}), salt=tmp_path / "salt")
    assert len(found.cohort.subjects()) == 7
    everything = b"".join(p.read_bytes() for p in found.root.rglob("*") if p.is_file())
    assert b"DOE" not in everything
    assert (tmp_path / "salt").read_bytes().strip() not in everything
    with pytest.raises(CohortError, match=r"another source .pseudonyms"):
        bring((0, {"patient": "DOE^MARY"}), salt=tmp_path / "other")
    with pytest.raises(StudyError, match="the salt lies in"):
        bring(salt=tmp_path / "out" / "salt")


def test_prompts_may_come_from_a_column_and_empty_cells_give_the_groups(
    make_table, make_spec, tmp_path
):
    rows = [
        {
            "file": f"p{i}.png",
            "patient": str(i),
            "tone": str(i),
            "dx": "x",
            "said": "a rash" * (i == 1),
        }
        for i in range(2)
    ]
    spec = make_spec(prompt_column="said")
    found = import_table(make_table(rows=rows), out=tmp_path / "out", spec=spec)
    assert [r.text for r in found.cohort.records] == ["a photograph of x on dark skin", "a rash"]


def test_columns_stay_behind_unless_they_are_kept(make_table, make_spec, tmp_path, images):
    rows = [
        {
            "file": f"p{i}.png",
            "patient": str(i),
            "tone": str(i % 6),
            "dx": "x",
            "age": "7",
            "note": "?",
        }
        for i in range(6)
    ]
    found = import_table(make_table(rows=rows), out=tmp_path / "out", spec=make_spec(keep=("age",)))
    assert found.cohort.records[0].extra == {"age": "7"}
    assert "note" not in (found.root / "metadata.csv").read_text().splitlines()[0]


def test_the_terms_travel_with_the_cohort(bring, tmp_path):
    (tmp_path / "LICENCE.txt").write_text("ask first")
    found = bring(terms=tmp_path / "LICENCE.txt")
    assert found.terms == "LICENCE.txt"
    assert (found.root / "LICENCE.txt").read_text() == "ask first"
    split = split_folder(found.root, SplitSettings())
    assert (split.root / split.terms).read_text() == "ask first"


def test_words_and_template_make_the_prompts(bring):
    found = bring(words={"BCC": "a carcinoma"}, template="{diagnosis}, {tone}")
    assert found.cohort.records[1].text == "a carcinoma, dark"


def test_nothing_about_the_machine_is_stored(bring, images, tmp_path):
    text = (bring().root / "cohort.json").read_text()
    assert str(tmp_path) not in text
    assert str(images) not in text


def test_the_same_import_again_does_nothing_even_after_a_split(bring):
    found = bring()
    first = folder_digest(found.root)
    assert bring() == found
    assert folder_digest(found.root) == first
    split = split_folder(found.root, SplitSettings())
    assert bring() == split


def test_another_import_into_the_same_folder_is_refused(bring, images, make_spec):
    first = bring()
    with pytest.raises(CohortError, match=r"holds a cohort of another source .*table_sha256"):
        bring((0, {"tone": "5"}))
    with pytest.raises(CohortError, match=r"holds a cohort of another source .settings\.size"):
        bring(size=8)
    write_image(images / "p0.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(CohortError, match=r"holds a cohort of another source .*images_sha256"):
        bring()
    assert read_cohort(first.root) == first


def test_a_folder_that_holds_something_else_is_refused(bring, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(StudyError, match="exists and is not empty"):
        bring()
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_an_output_that_cannot_be_written_is_one_line(make_table, make_spec, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError) as error:
        import_table(make_table(), out=tmp_path / "file" / "out", spec=make_spec())
    assert "cannot be written" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_without_rows_is_refused(make_spec, tmp_path):
    (tmp_path / "table.csv").write_text("file,patient,tone,dx\n")
    with pytest.raises(CohortError, match="has no rows"):
        import_table(tmp_path / "table.csv", out=tmp_path / "out", spec=make_spec())


def test_one_column_is_not_both_attribute_and_label(bring):
    with pytest.raises(StudyError, match="'sex' and label 'finding' are both column 'dx'"):
        bring(attributes=dict([parse_attribute("sex=dx")]), label=parse_label("finding=dx"))


def test_one_column_may_hold_both_where_values_are_listed_by_level(bring):
    found = bring(
        attributes=dict([parse_attribute("kind=dx:dark=BCC;light=NV")]),
        label=parse_label("finding=dx:bad=BCC;good=NV"),
    )
    assert by_key(found)["dark|bad"] == 8


def test_an_unknown_encoding_is_answered_with_the_usual_ones(bring):
    with pytest.raises(CohortError, match="unknown encoding 'klingon'; expected utf-8, latin-1"):
        bring(encoding="klingon")


def test_paths_of_table_and_cohort_may_be_texts(make_table, make_spec, tmp_path):
    found = import_table(str(make_table()), out=str(tmp_path / "out"), spec=make_spec())
    assert found.root == tmp_path / "out"


def test_no_header_of_a_picture_goes_on(bring, images, tmp_path):
    picture = Image.open(images / "p0.png").convert("RGB")
    exif = picture.getexif()
    exif[0x010E] = "Mary Doe, born 1950"
    picture.save(images / "p0.jpg", exif=exif, comment=b"Mary Doe")
    assert b"Mary Doe" in (images / "p0.jpg").read_bytes()
    found = bring((0, {"file": "p0.jpg"}))
    written = found.path(found.cohort.records[0])
    assert b"Mary" not in written.read_bytes()
    assert not any(p.suffix == ".jpg" for p in (tmp_path / "out").rglob("*"))


def test_dicom_files_and_volumes_are_read_by_their_endings(bring, images):
    pixels = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
    make_dicom(pixels, PatientName="Doe^Mary").save_as(images / "p0.dcm", enforce_file_format=True)
    values = np.zeros((16, 16, 9), np.float32)
    values[3:13, 3:13, 2:7] = 100 + np.arange(10, dtype=np.float32)[:, None, None]
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), images / "p1.nii.gz")
    found = bring((0, {"file": "p0.dcm"}), (1, {"file": "p1.nii.gz"}))
    scan, volume = (found.path(r) for r in found.cohort.records[:2])
    assert np.array_equal(read_image(scan, channels=1)[:, :, 0], pixels)
    assert np.ptp(read_image(volume, channels=1)) > 100
    assert b"Doe" not in scan.read_bytes()


@pytest.fixture
def volume(images):
    """Write a volume whose slices from below are one grey level each, and return its name."""
    values = np.zeros((16, 20, 11), np.float32)
    values[2:14, 3:17] = np.arange(11, dtype=np.float32) * 10 + 10
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), images / "v.nii")
    return "v.nii"


def brightest(folder, count):
    return [read_image(folder.path(r), channels=1).max() for r in folder.cohort.records[:count]]


def test_a_volume_gives_the_slices_asked_for_each_an_image_of_its_subject(bring, volume):
    found = bring((0, {"file": volume}), slices=(0, 0.5, 10))
    assert len(found.cohort) == 14
    assert {r.subject for r in found.cohort.records[:3]} == {"0"}
    low, middle, high = brightest(found, 3)
    assert 0 < low < middle < high == 255
    assert found.source["kept"] == 12
    assert found.source["images"] == 14


def test_volumes_and_dicom_are_shown_as_asked(bring, images, volume):
    pixels = np.arange(12 * 16, dtype=np.uint16).reshape(12, 16)
    make_dicom(pixels).save_as(images / "d.dcm", enforce_file_format=True)
    show = Showing.model_validate(
        {"window": (50, 20), "axis": "sagittal", "volume": {"window": "slice"}}
    )
    found = bring((0, {"file": volume}), (1, {"file": "d.dcm"}), slices=(0.5,), show=show)
    cut, scan = (read_image(found.path(r), channels=1)[:, :, 0] for r in found.cohort.records[:2])
    assert cut.shape == (11, 20)
    assert np.array_equal(scan == 255, pixels >= 59)


def put_words(path):
    """Write a picture that seems to show a name, twice as large as it will be stored."""
    picture = Image.new("RGB", (400, 300), (90, 60, 50))
    font = ImageFont.load_default(20)
    ImageDraw.Draw(picture).text((9, 9), "SMITH JOHN 1961", "white", font)
    picture.save(path)


def test_images_that_seem_to_show_words_are_kept_and_marked(bring, images):
    put_words(images / "p4.png")
    found = bring(size=64)
    assert found.source["burned_in_text"] == {"letters": 1}
    assert suspected(found) == ["images/000004.png"]
    assert found.cohort.records[4].extra == {"burned_in_text": "letters"}
    split = split_folder(found.root, SplitSettings())
    assert [Path(name).name for name in suspected(split)] == ["000004.png"]


def test_a_dicom_header_that_admits_words_marks_its_image(bring, images):
    scan = make_dicom(np.zeros((12, 16), np.uint8), BurnedInAnnotation="YES")
    scan.save_as(images / "p0.dcm", enforce_file_format=True)
    assert bring((0, {"file": "p0.dcm"})).source["burned_in_text"] == {"header": 1}


def test_words_are_not_looked_for_where_nobody_asks(bring, images):
    put_words(images / "p4.png")
    found = bring(flag_text=False)
    assert suspected(found) == []
    assert "burned_in_text" not in (found.root / "metadata.csv").read_text().splitlines()[0]
