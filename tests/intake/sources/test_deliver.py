import json
import re
import sys

import nibabel
import numpy as np
import pytest
from PIL import Image

from fairgen.cohort.split import SplitSettings
from fairgen.errors import CohortError, MissingExtra, StudyError
from fairgen.files.facts import audit_folder
from fairgen.files.image import read_image
from fairgen.files.layout import split_folder
from fairgen.intake.sources import How, import_source

NAMES = ("img_id", "patient_id", "gender", "diagnostic", "fitspatrick", "age", "region")
PERSON = "DOE^JANE"


@pytest.fixture
def release(put, picture):
    """Write twelve photographs whose names and headers tell who is shown, and their table."""
    exif = Image.Exif()
    exif[0x013B], exif[0x010E] = PERSON, f"{PERSON} 1970-01-01"
    rows = []
    for i in range(12):
        name = f"{PERSON}_{i}.png"
        rows.append(
            dict(zip(NAMES, (name, f"PAT_{i // 2}", "FEMALE", "BCC" if i % 3 else "NEV",
                             f"{1 + i % 6}.0", "8", PERSON), strict=True))
        )  # fmt: skip
        picture(f"imgs_part_{1 + i % 3}/{name}", seed=i, exif=exif, format="JPEG")
    return put("metadata.csv", rows)


@pytest.fixture
def bring(root, tmp_path):
    def run(name="pad_ufes20", preset="tone", options=None, **how):
        return import_source(
            name, root, out=tmp_path / "out", preset=preset, options=options, how=How(**how)
        )

    return run


def content(folder):
    return b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


def test_a_release_becomes_a_cohort_that_says_what_became_of_its_rows(bring, release):
    found = bring(options={"labels": ("BCC",)})
    assert len(found.cohort) == 8
    assert found.source["rows"] == 12 == found.source["kept"] + 4
    assert found.source["dropped"] == {"diagnosis outside the levels": 4}
    assert found.source["images"] == 8
    assert found.cohort.records[0].text == "a photograph of BCC on light skin"
    assert audit_folder(found.root).sound()


def test_no_name_header_or_further_column_goes_along(bring, release):
    root = bring().root
    everything = content(root) + "".join(str(p) for p in root.rglob("*")).encode()
    assert PERSON.encode() not in everything
    assert b"1970" not in everything


def test_subjects_become_pseudonyms_with_a_salt_that_is_not_written(bring, release, tmp_path):
    salt = tmp_path / "salt"
    found = bring(salt=salt)
    subjects = found.cohort.subjects()
    assert len(subjects) == 6
    assert not any(s.startswith("PAT_") for s in subjects)
    assert salt.read_bytes().strip() not in content(found.root)
    assert found == bring(salt=salt)
    with pytest.raises(CohortError, match="another source"):
        bring(salt=tmp_path / "another")
    with pytest.raises(StudyError, match="the salt lies in"):
        bring(salt=tmp_path / "out" / "salt")


def test_repeating_does_nothing_even_after_a_split(bring, release):
    first = bring()
    split_folder(first.root, SplitSettings())
    again = bring()
    assert again.split
    with pytest.raises(CohortError, match="holds a cohort of another source"):
        bring(preset="sex")


def test_the_terms_lie_in_the_cohort(bring, release):
    found = bring()
    assert found.terms == "TERMS.md"
    assert "CC BY 4.0" in (found.root / found.terms).read_text()


def test_a_missing_file_stops_the_import_or_is_counted(bring, release, root):
    (root / "imgs_part_1" / f"{PERSON}_0.png").unlink()
    with pytest.raises(CohortError, match=r"metadata.csv: row 2: no file .*; expected it there"):
        bring()
    found = bring(absent="drop")
    assert (found.source["images_absent"], found.source["images"]) == (1, 11)


def test_a_broken_file_stops_the_import_or_is_counted(bring, release, root):
    (root / "imgs_part_1" / f"{PERSON}_0.png").write_bytes(b"no image")
    with pytest.raises(CohortError, match=r"metadata.csv: row 2: .* is not an image"):
        bring()
    assert not (root.parent / "out").exists()
    assert bring(unreadable="drop").source["images_unreadable"] == 1


def test_a_file_in_two_folders_is_refused(bring, release, picture):
    picture(f"imgs_part_2/{PERSON}_0.png")
    with pytest.raises(CohortError, match=r"row 2: .* fits imgs_part_1/.*, imgs_part_2/"):
        bring()


def test_a_link_out_of_the_release_is_refused(bring, release, root, tmp_path):
    target = root / "imgs_part_1" / f"{PERSON}_0.png"
    target.rename(tmp_path / "elsewhere.png")
    target.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(CohortError, match="is a link out of the folder"):
        bring()


def test_images_are_cropped_to_the_size_asked_for(bring, release):
    found = bring(size=8)
    assert read_image(found.path(found.cohort.records[0])).shape == (8, 8, 3)


def test_the_releases_split_is_a_column(put, picture, root, bring):
    columns = {"Finding Labels": "Mass", "Patient ID": "1", "Patient Age": "057Y"}
    row = {**columns, "Patient Gender": "M", "View Position": "PA"}
    put("Data_Entry_2017.csv", [{"Image Index": "a.png", **row}])
    picture("images_001/images/a.png")
    (root / "test_list.txt").write_text("a.png\n")
    found = bring("nih_cxr14", "")
    assert found.cohort.records[0].extra == {"release_split": "test"}
    assert found.cohort.records[0].split == ""
    assert read_image(found.path(found.cohort.records[0]), channels=1).shape[2] == 1


def test_a_plan_that_keeps_nothing_is_refused_with_its_counts(bring, release):
    with pytest.raises(CohortError, match=r"no row is left \(diagnosis outside the levels: 12\)"):
        bring(options={"labels": ("MEL",)})


def test_a_cohort_is_never_written_into_the_release(release, root):
    with pytest.raises(StudyError, match="lies in the release's folder"):
        import_source("pad_ufes20", root, out=root / "cohort", preset="tone")


@pytest.fixture
def volumes(put, root):
    cells = {"Subject ID": "OAS2_0001", "M/F": "M", "Age": "80", "CDR": "0"}
    put("oasis_longitudinal.csv", [{**cells, "MRI ID": "OAS2_0001_MR1"}])
    path = root / "OAS2_RAW_PART1" / "OAS2_0001_MR1" / "RAW" / "mpr-1.nifti.hdr"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"header")
    return path


def test_a_broken_volume_is_refused_with_its_name(bring, volumes):
    with pytest.raises(CohortError, match=re.escape(volumes.name)):
        bring("oasis", "paper-mri")


def test_a_missing_extra_is_named_even_where_broken_images_are_left_out(
    bring, volumes, monkeypatch
):
    for name in [n for n in sys.modules if n.startswith(("nibabel", "fairgen.intake.nifti_"))]:
        monkeypatch.setitem(sys.modules, name, None)
        if name.startswith("fairgen"):
            monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtra, match=r"fairgen\[medical\]"):
        bring("oasis", "paper-mri", unreadable="drop")


def put_volume(path):
    """Write a volume whose slices are brighter the higher they lie."""
    values = np.zeros((24, 20, 21), np.float32)
    values[2:22, 2:18] = np.arange(21, dtype=np.float32) + 10
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)


def test_each_slice_of_a_volume_is_an_image(bring, volumes):
    volumes.unlink()
    put_volume(volumes.with_suffix(".img"))
    found = bring("oasis", "paper-mri", size=16)
    shown = [read_image(found.path(r), channels=1) for r in found.cohort.records]
    assert shown[0].shape == (16, 16, 1)
    assert shown[0].max() < shown[1].max() < shown[2].max()
    assert (
        found.cohort.records[0].text == "an axial brain MRI of a patient aged over 75, nondemented"
    )
    assert found.cohort.subjects() == ("OAS2_0001",)


def test_slices_are_shown_as_asked(bring, volumes):
    volumes.unlink()
    put_volume(volumes.with_suffix(".img"))
    found = bring("oasis", "", show={"axis": "coronal", "volume": {"convention": "neurological"}})
    assert read_image(found.path(found.cohort.records[0])).shape == (21, 24, 3)


def test_scans_are_found_though_the_table_does_not_name_their_hospital(put, root, bring):
    row = {"IXI_ID": "12", "SEX_ID (1=m, 2=f)": "1", "AGE": "38.78"}
    put("IXI.csv", [row])
    (root / "IXI-T1").mkdir()
    for name in ("IXI012-HH-1211-T1.nii.gz", "IXI012-HH-1211-T2.nii.gz", "IXI013-HH-1-T1.nii.gz"):
        put_volume(root / "IXI-T1" / name)
    found = bring("ixi", "external-mri")
    assert found.cohort.records[0].text == "an axial brain MRI of a male person aged under 40"


def test_a_joined_cohort_has_the_terms_of_both_releases(put, picture, root, tmp_path, bring):
    marks = {"No Finding": "", "Edema": "1.0", "Lung Opacity": "", "Pleural Effusion": ""}
    path = "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg"
    cells = {"Path": path, "Sex": "Female", "Age": "68", "Frontal/Lateral": "Frontal"}
    put("train.csv", [{**cells, **marks}])
    picture(path)
    covid = {"patientid": "2", "sex": "M", "age": "65", "finding": "COVID-19", "view": "PA"}
    put("covid/metadata.csv", [{**covid, "modality": "X-ray", "filename": "a.jpg"}])
    picture("covid/images/a.jpg")
    found = bring("chexpert", "paper-chest", {"covid": str(root / "covid")})
    assert [r.extra["collection"] for r in found.cohort.records] == ["chexpert", "covid19"]
    text = (found.root / found.terms).read_text()
    assert "CheXpert" in text
    assert "COVID-19 Image Data Collection" in text
    assert str(root) not in json.dumps(found.source, default=dict)


def test_the_batches_of_chexpert_as_downloaded_are_found(put, picture, root, bring):
    marks = {"No Finding": "", "Edema": "1.0", "Lung Opacity": "", "Pleural Effusion": ""}
    cells = {"Sex": "Female", "Age": "68", "Frontal/Lateral": "Frontal"}
    file = "patient00001/study1/view1_frontal.jpg"
    put("train.csv", [{"Path": f"CheXpert-v1.0/train/{file}", **cells, **marks}])
    picture(f"CheXpert-v1.0 batch 2 (train 1)/{file}")
    assert len(bring("chexpert", "u-ignore").cohort) == 1
