import json

import pytest

from fairgen.errors import CohortError, StudyError

from .conftest import groups


@pytest.mark.parametrize(
    ("preset", "folders", "expected"),
    [
        (
            "released-skin",
            ("African_people_psoriasis", "Caucasian_people_basal_cell_carcinoma"),
            {"African|psoriasis": 1, "Caucasian|basal cell carcinoma": 1},
        ),
        (
            "released-chest",
            ("male_COVID19", "female_Lung_Opacity"),
            {"male|COVID19": 1, "female|Lung Opacity": 1},
        ),
        (
            "released-mri",
            ("Demented_Age_Above_75", "Nondemented_Age_Below_75"),
            {"Above 75|Demented": 1, "Below 75|Nondemented": 1},
        ),
    ],
)
def test_the_class_folders_of_the_released_code_are_understood(
    planned, picture, preset, folders, expected
):
    for folder in folders:
        picture(f"{folder}/{folder}_00001.png")
    plan = planned("imagefolder", preset)
    assert {k: groups(plan)[k] for k in expected} == groups(plan) == expected
    assert "names no patients" in plan.waiver.replace("name no", "names no")


@pytest.mark.parametrize(
    ("preset", "caption", "group"),
    [
        ("released-skin", "Asian people lichen planus", "Asian|lichen planus"),
        ("released-chest", "male Lung Opacity", "male|Lung Opacity"),
        ("released-mri", "Age Above 75 Demented", "Above 75|Demented"),
    ],
)
def test_the_captions_of_the_released_code_are_understood(planned, root, preset, caption, group):
    (root / "train").mkdir()
    line = json.dumps({"file_name": "img1.jpg", "text": caption})
    (root / "train" / "metadata.jsonl").write_text(line)
    plan = planned("imagefolder", preset)
    assert groups(plan) == {group: 1}
    assert (plan.items[0].file, plan.items[0].split) == ("train/img1.jpg", "train")


def test_folders_of_splits_hold_class_folders(planned, picture):
    picture("train/dark_BCC/a.png")
    picture("validation/dark_BCC/b.png")
    picture("test/light_NV/c.png")
    assert [i.split for i in planned("imagefolder").items] == ["test", "train", "valid"]


def test_subjects_can_be_found_in_the_names_of_files(planned, picture):
    picture("old_ill/OAS2_0001_MR1.png")
    picture("old_ill/OAS2_0001_MR2.png")
    plan = planned("imagefolder", subject=r"(OAS2_\d+)_")
    assert {i.subject for i in plan.items} == {"OAS2_0001"}
    assert plan.waiver == ""
    with pytest.raises(CohortError, match="no subject; expected"):
        planned("imagefolder", subject="nobody")


def test_without_a_pattern_for_subjects_no_file_name_goes_along(planned, picture):
    picture("old_ill/jane_doe.png")
    assert planned("imagefolder").items[0].subject == "image:1"


def test_a_folder_whose_name_does_not_fit_is_refused_by_name(planned, picture):
    picture("unsorted/a.png")
    with pytest.raises(CohortError, match="row 1: 'unsorted' does not fit the pattern"):
        planned("imagefolder")


def test_labels_that_are_not_wanted_are_counted(planned, picture):
    picture("a_x/1.png")
    picture("a_y/1.png")
    plan = planned("imagefolder", labels=("x",))
    assert plan.dropped == {"label outside the levels": 1}


@pytest.mark.parametrize(
    "options",
    [{"pattern": "{label}"}, {"pattern": "{label}{label}{attribute}"}, {"subject": "("}],
)
def test_patterns_that_cannot_work_are_refused(planned, options):
    with pytest.raises(StudyError, match="import imagefolder: "):
        planned("imagefolder", **options)


def test_a_caption_or_file_name_that_is_missing_is_refused_by_row(planned, root):
    (root / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png"}))
    with pytest.raises(CohortError, match="row 1: no text; expected one"):
        planned("imagefolder")


def test_an_empty_folder_is_refused(planned):
    with pytest.raises(CohortError, match="no image in a folder of its class"):
        planned("imagefolder")
