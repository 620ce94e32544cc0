import pytest

from fairgen.errors import CohortError, StudyError
from fairgen.intake.sources.ixi import SEX

from .conftest import groups


def row(number, sex="1", age="38.78", height="170"):
    return {
        "IXI_ID": number, SEX: sex, "HEIGHT": height, "ETHNIC_ID": "1", "DOB": "1966-08-20",
        "DATE_AVAILABLE": "1", "STUDY_DATE": "2005-06-01", "AGE": age,
    }  # fmt: skip


def test_age_groups_are_labels_and_sex_is_the_attribute(planned, put):
    ages = [("2", "39.99"), ("1", "40"), ("1", "59.9"), ("2", "60"), ("2", "")]
    put("IXI.csv", [row(str(i), sex, age) for i, (sex, age) in enumerate(ages)])
    plan = planned("ixi", "external-mri")
    assert groups(plan) == {
        "female|under 40": 1,
        "male|40 to 59": 2,
        "female|60 and over": 1,
    }
    assert plan.dropped == {"age_group missing": 1}


def test_an_id_in_two_rows_counts_once_if_they_agree_and_never_if_not(planned, put):
    rows = [
        row("1"), row("2", "2", "53.08"), row("2", "2", "53.08", height="0"),
        row("3", "2"), row("3", "1"), row("4", "2", "53"), row("4", "2", "58"),
    ]  # fmt: skip
    put("IXI.csv", rows)
    plan = planned("ixi")
    assert [i.subject for i in plan.items] == ["IXI001", "IXI002"]
    assert plan.dropped == {"row of an earlier id": 1, "rows of one id disagree": 4}


def test_a_row_names_its_scan_and_where_it_is_cut(planned, put):
    put("IXI.csv", [row("12")])
    plan = planned("ixi", sequence="T2", slices=(0.4, 0.6))
    assert [(i.file, i.at) for i in plan.items] == [
        ("IXI012-*-T2*.nii*", 0.4),
        ("IXI012-*-T2*.nii*", 0.6),
    ]
    assert plan.gathered.kept == 1
    anywhere = planned("ixi", slices=(90, "largest brain area"))
    assert [i.at for i in anywhere.items] == [90, "largest brain area"]


@pytest.mark.parametrize("bounds", [(60, 40), (0,), (120,), ()])
def test_bounds_of_age_groups_rise(planned, bounds):
    with pytest.raises(StudyError, match="import ixi: "):
        planned("ixi", bounds=bounds)


@pytest.mark.parametrize("slices", [(), (-0.1,), (1.1,), (-1,), (0.5, 0.5), ("middle",)])
def test_slices_are_different_places(planned, slices):
    with pytest.raises(StudyError, match="import ixi: slices"):
        planned("ixi", slices=slices)


def test_a_sex_that_is_neither_1_nor_2_is_refused(planned, put):
    put("IXI.csv", [row("12", sex="3")])
    with pytest.raises(
        CohortError, match=r"row 2: column 'SEX_ID .*': '3' is no sex; expected 2, 1"
    ):
        planned("ixi")


def test_an_id_that_is_no_number_is_refused(planned, put):
    put("IXI.csv", [row("IXI012")])
    with pytest.raises(CohortError, match="column 'IXI_ID': 'IXI012' is no number"):
        planned("ixi")
