import math

import pytest

from fairgen.metrics import Score, direction


def test_a_defined_score_is_a_row_without_reason():
    row = Score("essp", "overall", 0.5, 80, 0.4, 0.6, note="3 subgroups").as_dict()
    assert row == {
        "metric": "essp",
        "group": "overall",
        "value": 0.5,
        "low": 0.4,
        "high": 0.6,
        "n": 80,
        "direction": "higher",
        "note": "3 subgroups",
    }


def test_an_undefined_score_is_null_with_its_reason():
    row = Score("nar", "overall", math.nan, 0, reason="no image").as_dict()
    assert (row["value"], row["low"], row["reason"]) == (None, None, "no image")


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("fid_indomain", "lower"),
        ("kid_indomain", "lower"),
        ("fid_indomain_variance", "lower"),
        ("auc", "higher"),
        ("equal_opportunity_permuted", "none"),
        ("nar_term", "higher"),
    ],
)
def test_every_metric_says_which_way_is_better(metric, expected):
    assert direction(metric) == expected


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="unknown 'speed'"):
        direction("speed")
