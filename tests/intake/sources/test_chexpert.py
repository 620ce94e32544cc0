import pytest

from fairgen.errors import CohortError, StudyError
from fairgen.intake.sources.findings import NAMES

from .conftest import groups


def row(patient, view="Frontal", part="train", sex="Female", age="68", **marks):
    """Return a row with the columns of CheXpert's documentation; blank is no mention."""
    path = f"CheXpert-v1.0-small/{part}/patient{patient:05d}/study1/view1_{view.lower()}.jpg"
    own = {"Path": path, "Sex": sex, "Age": age, "Frontal/Lateral": view, "AP/PA": "AP"}
    return {**own, **dict.fromkeys(NAMES, ""), **marks}


ROWS = [
    row(1, **{"No Finding": "1.0", "Support Devices": "1.0"}),
    row(2, Edema="1.0", Pneumonia="-1.0"),
    row(3, Edema="-1.0", **{"Lung Opacity": "1.0"}),
    row(4, Edema="1.0", **{"Lung Opacity": "1.0"}),
    row(5, Fracture="1.0"),
    row(6, "Lateral", Edema="1.0"),
    row(7, sex="Unknown", Edema="1.0"),
    row(8, sex="Male", age="0", **{"Pleural Effusion": "1.0"}),
]


@pytest.mark.parametrize(
    ("policy", "dropped", "edema", "opacity"),
    [
        ("u-ignore", {"uncertain finding": 1, "several findings": 1}, 1, 0),
        ("u-zero", {"several findings": 1}, 1, 1),
        ("u-one", {"several findings": 2}, 1, 0),
    ],
)
def test_a_policy_decides_what_an_uncertain_mention_counts_as(
    planned, put, policy, dropped, edema, opacity
):
    put("train.csv", ROWS)
    plan = planned("chexpert", policy)
    always = {"view not frontal": 1, "none of the findings": 1, "sex missing": 1}
    assert plan.dropped == {**always, **dropped}
    labels = [i.label for i in plan.items]
    assert (labels.count("Edema"), labels.count("Lung Opacity")) == (edema, opacity)
    assert plan.gathered.rows == 8 == plan.gathered.kept + sum(plan.dropped.values())


def test_of_several_findings_the_first_listed_may_count(planned, put):
    put("train.csv", ROWS)
    plan = planned("chexpert", several="first", findings=("Lung Opacity", "Edema"))
    assert groups(plan) == {"female|Edema": 1, "female|Lung Opacity": 1}


def test_the_patient_comes_from_the_path_and_the_split_too(planned, put):
    put("valid.csv", [row(64541, part="valid", Edema="1.0")])
    plan = planned("chexpert", table="valid.csv")
    (item,) = plan.items
    assert (item.subject, item.split) == ("patient64541", "valid")
    assert item.file == "patient64541/study1/view1_frontal.jpg"


def test_race_comes_from_the_demographic_table(planned, put):
    put("train.csv", ROWS)
    rows = [
        {"PATIENT": "patient00001", "PRIMARY_RACE": "White, non-Hispanic"},
        {"PATIENT": "patient00002", "PRIMARY_RACE": "Black or African American"},
        {"PATIENT": "patient00008", "PRIMARY_RACE": "Race and Ethnicity Unknown"},
    ]
    put("CHEXPERT DEMO.csv", rows)
    plan = planned("chexpert", attributes=("race",))
    assert groups(plan) == {"WHITE|Normal": 1, "BLACK/AFRICAN AMERICAN|Edema": 1}
    assert plan.gathered.losses["race missing"] == {"Edema": 1, "Pleural Effusion": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Edema": "2.0"}, "row 2: column 'Edema': '2'; expected 1, 0, -1 or nothing"),
        ({"Sex": "F"}, "row 2: column 'Sex': 'F' is no sex; expected Female, Male"),
        ({"Path": "patient1/view.jpg"}, "row 2: column 'Path': 'patient1/view.jpg'; expected ..."),
        ({"Path": "../train/patient00001/a.jpg"}, "leaves the folder"),
    ],
)
def test_a_wrong_cell_is_named_by_file_row_and_column(planned, put, change, message):
    put("train.csv", [{**row(1, Edema="1.0"), **change}])
    with pytest.raises(CohortError) as error:
        planned("chexpert")
    assert "train.csv: row 2: " in str(error.value)
    assert message in str(error.value)


def test_the_papers_chest_cohort_needs_the_folder_of_the_other_collection(planned, put):
    put("train.csv", ROWS)
    with pytest.raises(StudyError, match="expected COVID-19 and covid=FOLDER"):
        planned("chexpert", "paper-chest")


def test_the_papers_chest_cohort_joins_two_releases_and_says_whose_each_image_is(
    planned, put, root, tmp_path
):
    put("train.csv", ROWS)
    columns = {"patientid": "2", "age": "", "view": "PA", "modality": "X-ray"}
    covid = {**columns, "sex": "M", "finding": "COVID-19", "filename": "a.jpg"}
    put("covid/metadata.csv", [covid, {**covid, "filename": "b.jpg", "sex": ""}])
    plan = planned("chexpert", "paper-chest", covid=root / "covid")
    assert plan.schema.label.levels == (
        "COVID-19", "Edema", "Lung Opacity", "Pleural Effusion", "Normal",
    )  # fmt: skip
    assert [(i.subject, i.extra["collection"]) for i in plan.items][-2:] == [
        ("chexpert:patient00008", "chexpert"),
        ("covid19:2", "covid19"),
    ]
    assert plan.dropped["covid19: sex missing"] == 1
    assert plan.gathered.rows == 10 == plan.gathered.kept + sum(plan.dropped.values())
    assert [t.release for t in plan.further] == ["COVID-19 Image Data Collection"]


def test_a_joined_cohort_keeps_unknown_sex_as_a_level_though_one_release_has_none(
    planned, put, root
):
    put("train.csv", [row(1, Edema="1")])
    cells = {"patientid": "2", "sex": "", "age": "", "finding": "COVID-19"}
    put("covid/metadata.csv", [{**cells, "view": "PA", "modality": "X-ray", "filename": "a.jpg"}])
    plan = planned("chexpert", "paper-chest", covid=root / "covid", missing="level")
    assert plan.schema.attributes[0].levels == ("female", "male", "unknown")


def test_race_cannot_be_had_from_the_covid_collection(planned, put, root):
    put("train.csv", ROWS)
    put("CHEXPERT DEMO.csv", [{"PATIENT": "patient00001", "PRIMARY_RACE": "Asian"}])
    with pytest.raises(CohortError, match="knows no race"):
        planned("chexpert", "paper-chest", covid=root, attributes=("race",))
