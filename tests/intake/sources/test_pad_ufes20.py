import pytest

from fairgen.errors import CohortError

from .conftest import groups

ROW = {
    "patient_id": "PAT_1516", "lesion_id": "1765", "age": "8", "gender": "FEMALE",
    "fitspatrick": "3.0", "region": "ARM", "diagnostic": "NEV",
    "img_id": "PAT_1516_1765_530.png", "biopsed": "False",
}  # fmt: skip


def rows(*changes):
    return [{**ROW, "img_id": f"PAT_1_2_{i}.png", **change} for i, change in enumerate(changes)]


def test_tones_written_as_decimals_are_grouped(planned, put):
    put("metadata.csv", rows({}, {"fitspatrick": "1.0"}, {"fitspatrick": "6.0"}))
    plan = planned("pad_ufes20", "tone")
    assert groups(plan) == {"medium|NEV": 1, "light|NEV": 1, "dark|NEV": 1}
    assert {i.subject for i in plan.items} == {"PAT_1516"}


def test_sexes_are_told_apart(planned, put):
    put("metadata.csv", rows({"gender": "MALE"}, {"gender": "FEMALE"}))
    assert [i.levels for i in planned("pad_ufes20", "sex").items] == [("male",), ("female",)]


def test_rows_without_an_attribute_are_counted_by_their_diagnosis(planned, put):
    put("metadata.csv", rows({}, {"gender": ""}, {"gender": "", "diagnostic": "SEK"}))
    plan = planned("pad_ufes20", "sex")
    assert plan.gathered.losses == {"sex missing": {"NEV": 1, "SEK": 1}}
    assert groups(planned("pad_ufes20", "sex", missing="level"))["unknown|SEK"] == 1


def test_columns_can_be_named_to_go_along(planned, put):
    put("metadata.csv", rows({}))
    assert planned("pad_ufes20", keep=("region",)).items[0].extra == {"region": "ARM"}
    with pytest.raises(CohortError, match="no column 'regio'; did you mean 'region'"):
        planned("pad_ufes20", keep=("regio",))
