import gzip
import shutil

import pytest

from fairgen.errors import CohortError

from .conftest import groups

MARKS = ("No Finding", "Edema", "Lung Opacity", "Pleural Effusion")


def image(n, view="PA", study=None):
    return {
        "dicom_id": f"d{n}", "subject_id": f"1000000{n}", "study_id": str(study or 50000000 + n),
        "PerformedProcedureStepDescription": "CHEST (PA AND LAT)", "ViewPosition": view,
        "Rows": "3056", "Columns": "2544", "StudyDate": "21800506", "StudyTime": "213014.531",
    }  # fmt: skip


@pytest.fixture
def tables(put):
    """Write the tables as PhysioNet documents them; the images' table is changed by a test."""

    def write(*images, admissions=None, split="train"):
        put("mimic-cxr-2.0.0-metadata.csv", list(images))
        studies = [
            {"subject_id": i["subject_id"], "study_id": i["study_id"], **dict.fromkeys(MARKS, "")}
            for i in images
            if i["study_id"] != "999"
        ]
        for study in studies:
            study["Edema"] = "1.0"
        put("mimic-cxr-2.0.0-chexpert.csv", studies)
        keys = ("dicom_id", "study_id", "subject_id")
        put(
            "mimic-cxr-2.0.0-split.csv",
            [{**{k: i[k] for k in keys}, "split": split} for i in images],
        )
        people = admissions or [
            {"subject_id": i["subject_id"], "hadm_id": "2", "race": "WHITE - RUSSIAN"}
            for i in images
        ]
        put("admissions.csv", people)

    return write


def person(n, race):
    return {"subject_id": f"1000000{n}", "hadm_id": "2", "race": race}


def test_labels_split_and_race_are_joined_from_their_tables(planned, tables):
    tables(image(1), image(2, "AP"), split="validate")
    plan = planned("mimic_cxr", "external-chest")
    assert groups(plan) == {"WHITE|Edema": 2}
    item = plan.items[0]
    assert (item.subject, item.split) == ("10000001", "valid")
    assert item.file == "files/p10/p10000001/s50000001/d1.jpg"
    assert planned("mimic_cxr", files="dcm").items[0].file.endswith("/d1.dcm")


def test_races_are_grouped_and_contradictions_between_admissions_left_out(planned, tables):
    people = [
        person(1, "BLACK/CAPE VERDEAN"), person(1, "BLACK/AFRICAN AMERICAN"),
        person(2, "ASIAN - CHINESE"), person(2, "WHITE"),
        person(3, "UNABLE TO OBTAIN"), person(3, "HISPANIC OR LATINO"),
        person(4, "PATIENT DECLINED TO ANSWER"), person(5, "MULTIPLE RACE/ETHNICITY"),
    ]  # fmt: skip
    tables(*(image(n) for n in range(1, 7)), admissions=people)
    plan = planned("mimic_cxr")
    assert groups(plan) == {"BLACK/AFRICAN AMERICAN|Edema": 1, "HISPANIC/LATINO|Edema": 1}
    assert plan.gathered.losses == {
        "race differs between admissions": {"Edema": 1},
        "race missing": {"Edema": 2},
        "race outside the levels": {"Edema": 1},
    }


def test_lateral_views_and_studies_without_labels_are_left_out(planned, tables):
    tables(image(1), image(2, "LATERAL"), image(3, "LL"), image(4, ""), image(5, study=999))
    plan = planned("mimic_cxr")
    assert plan.dropped == {"study without labels": 1, "view not frontal": 3}


def test_packed_tables_and_the_older_name_of_race_are_understood(planned, tables, root):
    tables(image(1), admissions=[{"subject_id": "10000001", "ethnicity": "ASIAN"}])
    for path in sorted(root.glob("*.csv")):
        with path.open("rb") as old, gzip.open(f"{path}.gz", "wb") as new:
            shutil.copyfileobj(old, new)
        path.unlink()
    assert groups(planned("mimic_cxr")) == {"ASIAN|Edema": 1}


def test_sex_comes_from_the_table_of_patients(planned, tables, put):
    tables(image(1), image(2))
    put("hosp/patients.csv", [{"subject_id": "10000001", "gender": "F", "anchor_age": "52"}])
    plan = planned("mimic_cxr", attributes=("race", "sex"))
    assert groups(plan) == {"WHITE|female|Edema": 1}
    assert plan.dropped == {"sex missing": 1}


def test_an_unknown_split_is_refused_by_table_row_and_column(planned, tables):
    tables(image(1), split="training")
    with pytest.raises(
        CohortError, match=r"split.csv: row 2: column 'split': 'training'; expected"
    ):
        planned("mimic_cxr")
