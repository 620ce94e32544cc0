import pytest

from fairgen.errors import CohortError

from .conftest import groups

ROW = {
    "md5hash": "a1", "fitzpatrick_scale": "3", "fitzpatrick_centaur": "5", "label": "psoriasis",
    "nine_partition_label": "inflammatory", "three_partition_label": "non-neoplastic", "qc": "",
    "url": "https://x/y.jpg", "url_alphanum": "httpsxyjpg.jpg",
}  # fmt: skip


def rows(*changes):
    return [{**ROW, "md5hash": f"h{i}", **change} for i, change in enumerate(changes)]


def test_tones_are_grouped_in_pairs_and_minus_one_is_unknown(planned, put):
    put("fitzpatrick17k.csv", rows(*({"fitzpatrick_scale": str(n)} for n in (1, 2, 4, 5, 6, -1))))
    plan = planned("fitzpatrick17k", "paper-skin")
    assert groups(plan) == {"light|psoriasis": 2, "medium|psoriasis": 1, "dark|psoriasis": 2}
    assert plan.gathered.losses == {"tone missing": {"psoriasis": 1}}
    known = planned("fitzpatrick17k", "paper-skin", missing="level")
    assert groups(known)["unknown|psoriasis"] == 1


def test_only_the_papers_labels_are_taken_and_not_their_relatives(planned, put):
    put("fitzpatrick17k.csv", rows({}, {"label": "pustular psoriasis"}, {"label": "acne"}))
    plan = planned("fitzpatrick17k", "paper-skin")
    assert plan.dropped == {"disease outside the levels": 2}
    assert len(plan.schema.groups()) == 15


def test_the_other_scale_and_the_coarser_labels_can_be_chosen(planned, put):
    put("fitzpatrick17k.csv", rows({}))
    options = {"scale": "fitzpatrick_centaur", "label": "three_partition_label"}
    assert groups(planned("fitzpatrick17k", **options)) == {"dark|non-neoplastic": 1}


def test_files_are_called_by_hash_or_by_address(planned, put):
    put("fitzpatrick17k.csv", rows({"url": ""}))
    assert planned("fitzpatrick17k").items[0].file == "h0.jpg"
    assert planned("fitzpatrick17k", file="url_alphanum").items[0].file == "httpsxyjpg.jpg"


def test_rows_that_dermatologists_flagged_can_be_left_out(planned, put):
    put("fitzpatrick17k.csv", rows({}, {"qc": "3 Wrongly labelled"}))
    plan = planned("fitzpatrick17k", drop_qc=("3 Wrongly labelled",))
    assert plan.gathered.losses == {"flagged by qc": {"psoriasis": 1}}


def test_patients_cannot_be_told_apart_and_the_plan_says_so(planned, put):
    put("fitzpatrick17k.csv", rows({}, {}))
    plan = planned("fitzpatrick17k")
    assert "names no patients" in plan.waiver
    assert len({i.subject for i in plan.items}) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fitzpatrick_scale": "7"}, "column 'fitzpatrick_scale': '7' is no tone; expected 1, 2"),
        ({"md5hash": ""}, "md5hash is empty"),
        ({"md5hash": "../../etc/x"}, "leaves the folder"),
        ({"md5hash": "h0"}, "row 3: image 'h0.jpg' is that of row 2 too"),
    ],
)
def test_a_wrong_row_is_named(planned, put, change, message):
    put("fitzpatrick17k.csv", rows({}, change))
    with pytest.raises(CohortError) as error:
        planned("fitzpatrick17k")
    assert "fitzpatrick17k.csv: row 3: " in str(error.value)
    assert message in str(error.value)


def test_a_missing_column_is_named_with_the_nearest_one(planned, put):
    put("fitzpatrick17k.csv", [{k.replace("label", "lable"): v for k, v in ROW.items()}])
    with pytest.raises(CohortError, match="no column 'label'; did you mean 'lable'"):
        planned("fitzpatrick17k")
