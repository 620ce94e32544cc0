import pytest

from fairgen.errors import CohortError

from .conftest import groups

ROW = {
    "Image Index": "00000001_000.png", "Finding Labels": "Edema", "Follow-up #": "0",
    "Patient ID": "1", "Patient Age": "57", "Patient Gender": "M", "View Position": "PA",
    "OriginalImage[Width": "2682", "Height]": "2749",
}  # fmt: skip
NAME = "Data_Entry_2017_v2020.csv"


def rows(*changes):
    return [{**ROW, "Image Index": f"{i:08d}_000.png", **c} for i, c in enumerate(changes)]


def test_images_of_one_finding_are_kept_and_of_several_left_out(planned, put):
    put(NAME, rows({}, {"Finding Labels": "Edema|Mass"}, {"Finding Labels": "Hernia"}))
    plan = planned("nih_cxr14", findings=("No Finding", "Edema"))
    assert groups(plan) == {"male|Edema": 1}
    assert plan.dropped == {"none of the findings": 1, "several findings": 1}


def test_any_finding_is_abnormal_in_the_coarser_task(planned, put):
    put(NAME, rows({"Finding Labels": "Edema|Mass"}, {"Finding Labels": "No Finding"}))
    plan = planned("nih_cxr14", "abnormal-sex")
    assert groups(plan) == {"male|abnormal": 1, "male|normal": 1}


@pytest.mark.parametrize(
    ("age", "band"),
    [("060Y", "60 and under"), ("061Y", "over 60"), ("010M", "60 and under"),
     ("002D", "60 and under"), ("61", "over 60"), ("120", "over 60")],
)  # fmt: skip
def test_ages_are_completed_years_whatever_their_unit(planned, put, age, band):
    put("sample_labels.csv", rows({"Patient Age": age}))
    assert planned("nih_cxr14", attributes=("age",)).items[0].levels == (band,)


def test_an_age_of_411_years_is_left_out_and_counted(planned, put):
    put("sample_labels.csv", rows({}, {"Patient Age": "411Y"}))
    plan = planned("nih_cxr14", attributes=("age",))
    assert plan.gathered.losses == {"age outside the levels": {"Edema": 1}}


def test_the_releases_lists_give_the_split(planned, put, root):
    put(NAME, rows({}, {}, {}))
    (root / "train_val_list.txt").write_text("00000000_000.png\n")
    (root / "test_list.txt").write_text("00000001_000.png\n")
    assert [i.split for i in planned("nih_cxr14").items] == ["train", "test", ""]


def test_a_finding_that_the_release_does_not_know_is_refused(planned, put):
    put(NAME, rows({"Finding Labels": "Edema|Effusions"}))
    with pytest.raises(CohortError, match=r"row 2: column 'Finding Labels': 'Effusions'; expected"):
        planned("nih_cxr14")


def test_the_view_can_be_restricted(planned, put):
    put(NAME, rows({}, {"View Position": "AP"}))
    plan = planned("nih_cxr14", views=("PA",))
    assert plan.gathered.losses == {"view not wanted": {"Edema": 1}}
