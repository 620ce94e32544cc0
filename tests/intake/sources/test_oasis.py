import pytest

from fairgen.errors import CohortError

from .conftest import groups

ONE = {
    "ID": "OAS1_0001_MR1", "M/F": "F", "Hand": "R", "Age": "74", "Educ": "2", "SES": "3",
    "MMSE": "29", "CDR": "0", "eTIV": "1344", "nWBV": "0.743", "ASF": "1.306", "Delay": "N/A",
}  # fmt: skip
TWO = {
    "Subject ID": "OAS2_0001", "MRI ID": "OAS2_0001_MR1", "Group": "Nondemented", "Visit": "1",
    "MR Delay": "0", "M/F": "M", "Hand": "R", "Age": "75", "EDUC": "14", "SES": "", "MMSE": "27",
    "CDR": "0", "eTIV": "1987", "nWBV": "0.696", "ASF": "0.883",
}  # fmt: skip


def test_sessions_of_one_subject_stay_together_and_each_has_its_own_group(planned, put):
    later = {"MRI ID": "OAS2_0001_MR2", "Visit": "2", "Age": "76", "CDR": "0.5"}
    put("oasis_longitudinal.csv", [TWO, {**TWO, **later}])
    plan = planned("oasis")
    assert {i.subject for i in plan.items} == {"OAS2_0001"}
    assert groups(plan) == {"75 and under|nondemented": 1, "over 75|demented": 1}
    assert plan.items[0].file == "OAS2_0001_MR1/RAW/mpr-1.nifti.hdr"


def test_the_papers_preset_cuts_three_slices_a_session(planned, put):
    put("oasis_longitudinal.csv", [TWO])
    plan = planned("oasis", "paper-mri")
    assert [i.at for i in plan.items] == [0.45, 0.5, 0.55]
    assert (plan.gathered.rows, plan.gathered.kept) == (1, 1)


def test_sessions_without_a_rating_are_left_out_or_count_as_nondemented(planned, put):
    repeat = {"ID": "OAS1_0061_MR2", "Age": "20", "CDR": ""}
    put("oasis_cross-sectional.csv", [ONE, {**ONE, **repeat}])
    plan = planned("oasis", "oasis1")
    assert plan.dropped == {"no dementia rating": 1}
    assert plan.items[0].file == (
        "OAS1_0001_MR1/PROCESSED/MPRAGE/T88_111/OAS1_0001_MR1_mpr_n*_anon_111_t88_masked_gfc.hdr"
    )
    young = planned("oasis", "oasis1", unrated="nondemented")
    assert [i.subject for i in young.items] == ["OAS1_0001", "OAS1_0061"]


def test_slices_that_are_pictures_already_are_taken_whole(planned, put):
    put("oasis_cross-sectional.csv", [ONE])
    plan = planned("oasis", "oasis1", file="{session}_a.jpg", folders=("images",))
    assert [(i.file, i.at) for i in plan.items] == [("OAS1_0001_MR1_a.jpg", None)]


def test_a_wrong_rating_or_session_is_refused(planned, put):
    put("oasis_longitudinal.csv", [{**TWO, "CDR": "4"}])
    with pytest.raises(CohortError, match="row 2: column 'CDR': '4' is no diagnosis; expected 0"):
        planned("oasis")
    put("oasis_longitudinal.csv", [{**TWO, "MRI ID": "OAS2_0001"}])
    with pytest.raises(CohortError, match="'OAS2_0001'; expected such as OAS2_0001_MR1"):
        planned("oasis")


def test_ages_and_sexes_can_be_crossed(planned, put):
    put("oasis_longitudinal.csv", [TWO])
    assert groups(planned("oasis", attributes=("age", "sex"))) == {
        "75 and under|male|nondemented": 1
    }
