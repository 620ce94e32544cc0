import pytest

from fairgen.errors import CohortError, StudyError

from .conftest import groups

NEW = {
    "patientid": "1", "offset": "0", "sex": "M", "age": "65", "finding": "COVID-19",
    "view": "PA", "modality": "X-ray", "folder": "images", "filename": "a.jpg", "license": "",
    "clinical_notes": "a note, with a comma", "other_notes": "", "": "",
}  # fmt: skip
OLD = {
    "Patientid": "1", "sex": "M", "age": "65", "finding": "COVID-19", "view": "AP Supine",
    "modality": "X-ray", "filename": "a.jpg", "doi": "", " url": "https://x", "license": "",
    "clinical notes": "", "other notes": "", "": "",
}  # fmt: skip


def changed(*changes, base=NEW):
    return [{**base, "filename": f"{i}.jpg", **change} for i, change in enumerate(changes)]


@pytest.mark.parametrize("base", [NEW, OLD], ids=["June", "April"])
def test_both_layouts_of_the_table_are_understood(planned, put, base):
    key = next(k for k in base if k.casefold() == "patientid")
    put("metadata.csv", [base, {**base, key: "2", "filename": "b.jpg", "sex": "F"}])
    plan = planned("covid19", keep=("license",))
    assert groups(plan) == {"male|COVID-19": 1, "female|COVID-19": 1}
    assert [i.subject for i in plan.items] == ["1", "2"]


def test_each_rule_that_leaves_rows_out_is_counted(planned, put):
    rows = changed(
        {}, {"finding": "todo"}, {"finding": "SARS"}, {"modality": "CT", "view": "Axial"},
        {"view": "L"}, {"view": "?"}, {"sex": ""}, {"finding": "No Finding"},
        {"finding": "COVID-19, ARDS"}, {"finding": "Pneumonia/Viral/COVID-19"},
    )  # fmt: skip
    put("metadata.csv", rows)
    plan = planned("covid19")
    assert plan.dropped == {
        "finding missing": 1,
        "finding outside the levels": 1,
        "not a radiograph": 1,
        "sex missing": 1,
        "view not frontal": 2,
    }
    assert groups(plan) == {"male|COVID-19": 3, "male|Normal": 1}


def test_patients_who_share_a_file_become_one_and_the_file_comes_once(planned, put):
    rows = changed(
        {"patientid": "285", "filename": "x.jpg"},
        {"patientid": "339", "filename": "x.jpg"},
        {"patientid": "339"},
        {"patientid": "400"},
    )
    put("metadata.csv", rows)
    plan = planned("covid19")
    assert [i.subject for i in plan.items] == ["285", "285", "400"]
    assert plan.gathered.losses == {"image of an earlier row": {"COVID-19": 1}}


def test_sex_and_age_can_be_crossed(planned, put):
    put("metadata.csv", changed({}, {"age": "60"}, {"age": ""}))
    plan = planned("covid19", attributes=("sex", "age"))
    assert groups(plan) == {"male|over 60|COVID-19": 1, "male|60 and under|COVID-19": 1}
    assert plan.gathered.losses["age missing"] == {"COVID-19": 1}


def test_nonsense_in_a_cell_stops_the_import(planned, put):
    put("metadata.csv", changed({}, {"age": "old"}))
    with pytest.raises(CohortError, match=r"row 3: column 'age': 'old' is no age; expected years"):
        planned("covid19", attributes=("age",))


def test_unknown_options_are_refused_with_the_nearest_name(planned):
    with pytest.raises(StudyError, match=r"import covid19: 'view'; unknown; did you mean views\?"):
        planned("covid19", view="PA")
