import math

import numpy as np
import pytest
from scipy.stats import t

from fairgen.study.folds import averaged


def row(value, *, metric="fid_indomain", method="sd", n=20, **more):
    known = {"classifier": None, "reweight": None, "split": "test", "seed": 0, "group": "overall"}
    own = {"metric": metric, "method": method, "value": value, "low": 0.0, "high": 9.0, "n": n}
    return {**known, **own, "direction": "lower", **more}


def test_a_figure_is_the_mean_of_its_folds_with_a_t_interval():
    values = [4.0, 5.0, 7.0, 4.5, 6.0]
    (found,) = averaged([[row(v, n=20 + i)] for i, v in enumerate(values)])
    half = t.ppf(0.975, 4) * np.std(values, ddof=1) / math.sqrt(5)
    assert found["value"] == pytest.approx(np.mean(values))
    assert (found["low"], found["high"]) == pytest.approx(
        (np.mean(values) - half, np.mean(values) + half)
    )
    assert found["n"] == 20
    assert found["note"] == "mean and t interval over 5 folds: 4, 5, 7, 4.5, 6"


def test_figures_of_other_methods_groups_and_metrics_stay_apart():
    fold = [
        row(1.0), row(2.0, method="fairgen"), row(3.0, group="dark"), row(4.0, metric="kid_x"),
    ]  # fmt: skip
    found = averaged([fold, fold])
    assert [r["value"] for r in found] == [1.0, 2.0, 3.0, 4.0]


def test_a_figure_that_a_fold_lacks_is_missing_and_says_why():
    (found,) = averaged([[row(1.0)], [row(None, reason="9 images of dark")]])
    assert found["value"] is found["low"] is found["high"] is None
    assert found["reason"] == "defined in 1 of 2 folds: 9 images of dark"


@pytest.mark.parametrize(
    ("metric", "values", "least", "most"),
    [
        ("fid_indomain", (0.1, 9.0), 0, math.inf),
        ("anatomy_distance", (0.1, 2.0), 0, math.inf),
        ("label_consistency", (0.5, 0.9), 0, 1),
        ("kid_indomain", (0.1, 9.0), -math.inf, math.inf),
    ],
)
def test_an_interval_stays_where_its_figure_can_lie(metric, values, least, most):
    (found,) = averaged([[row(v, metric=metric)] for v in values])
    spread = t.ppf(0.975, 1) * np.std(values, ddof=1) / math.sqrt(2)
    assert found["low"] == pytest.approx(max(least, np.mean(values) - spread))
    assert found["high"] == pytest.approx(min(most, np.mean(values) + spread))
