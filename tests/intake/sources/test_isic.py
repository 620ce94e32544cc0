import pytest

from fairgen.errors import CohortError

from .conftest import groups

ARCHIVE = {
    "isic_id": "ISIC_0051817", "attribution": "a study team", "copyright_license": "CC-BY-NC",
    "age_approx": "70", "anatom_site_general": "upper extremity", "diagnosis_1": "Malignant",
    "diagnosis_2": "Malignant epidermal proliferations",
    "diagnosis_3": "Squamous cell carcinoma, Invasive", "image_type": "dermoscopic",
    "lesion_id": "IL_1612768", "sex": "male",
}  # fmt: skip
MILK = {
    "lesion_id": "IL_0", "image_type": "clinical: close-up", "isic_id": "ISIC_1",
    "copyright_license": "CC-BY-NC", "age_approx": "70", "sex": "male", "skin_tone_class": "1",
}  # fmt: skip
HAM = {
    "lesion_id": "HAM_0000118", "image_id": "ISIC_0027419", "dx": "bkl", "dx_type": "histo",
    "age": "80.0", "sex": "male", "localization": "scalp",
}  # fmt: skip


def rows(base, key, *changes):
    return [{**base, key: f"ISIC_{i}", **change} for i, change in enumerate(changes)]


def test_the_export_of_the_archive_is_read_by_sex(planned, put):
    changes = ({}, {"sex": "female", "diagnosis_1": "Benign"}, {"diagnosis_1": ""}, {"sex": ""})
    put("metadata.csv", rows(ARCHIVE, "isic_id", *changes))
    plan = planned("isic", "external-skin-sex")
    assert groups(plan) == {"male|Malignant": 1, "female|Benign": 1}
    assert plan.dropped == {"diagnosis missing": 1, "sex missing": 1}
    assert "names lesions, not patients" in plan.waiver


def test_patients_are_told_apart_where_the_export_names_them(planned, put):
    table = rows({**ARCHIVE, "patient_id": "IP_1"}, "isic_id", {}, {"lesion_id": ""})
    put("metadata.csv", table)
    plan = planned("isic")
    assert {i.subject for i in plan.items} == {"IP_1"}
    assert plan.waiver == ""


def test_a_finer_diagnosis_and_a_tone_can_be_chosen_in_the_export(planned, put):
    base = {**ARCHIVE, "fitzpatrick_skin_type": "V"}
    put("metadata.csv", rows(base, "isic_id", {}, {"fitzpatrick_skin_type": "II"}))
    plan = planned("isic", attributes=("tone",), label="diagnosis_2", image_type="dermoscopic")
    assert {i.levels[0] for i in plan.items} == {"dark", "light"}


@pytest.fixture
def milk(put):
    def write(*marks, changes=({},)):
        put("MILK10k_Training_Metadata.csv", rows(MILK, "isic_id", *changes))
        truth = [
            {"lesion_id": f"IL_{i}", "BCC": "0.0", "NV": "0.0", **m} for i, m in enumerate(marks)
        ]
        put("MILK10k_Training_GroundTruth.csv", truth)

    return write


def test_milk10k_joins_labels_by_lesion_and_its_tones_run_from_dark_to_light(planned, milk):
    tones = [{"skin_tone_class": str(n)} for n in range(6)]
    milk({"BCC": "1.0"}, changes=[*tones, {"image_type": "dermoscopic"}])
    plan = planned("isic", "external-skin-tone")
    assert groups(plan) == {"dark|BCC": 3, "medium|BCC": 1, "light|BCC": 2}
    assert plan.dropped == {"another type of image": 1}


def test_a_lesion_of_milk10k_has_exactly_one_diagnosis(planned, milk):
    milk({"BCC": "1.0", "NV": "1.0"})
    with pytest.raises(CohortError, match="row 2: 2 diagnoses are marked; expected one"):
        planned("isic", "external-skin-tone")


def test_a_lesion_without_a_diagnosis_is_counted(planned, milk):
    milk({"BCC": "1.0"}, changes=({}, {"lesion_id": "IL_7"}))
    assert planned("isic", "external-skin-tone").dropped == {"diagnosis missing": 1}


def test_ham10000_has_lesions_of_several_images_and_unknown_sex(planned, put):
    put("HAM10000_metadata.csv", rows(HAM, "image_id", {}, {}, {"sex": "unknown"}))
    plan = planned("isic", "ham10000-sex")
    assert groups(plan) == {"male|bkl": 2}
    assert {i.subject for i in plan.items} == {"HAM_0000118"}
    assert plan.dropped == {"sex missing": 1}


def test_ham10000_knows_no_tone(planned, put):
    put("HAM10000_metadata.csv", [HAM])
    with pytest.raises(CohortError, match="HAM10000 knows no tone; expected sex or age"):
        planned("isic", layout="ham10000", attributes=("tone",))
