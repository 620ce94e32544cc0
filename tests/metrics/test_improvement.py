import math

import pytest

from fairgen.metrics import fairness_improvement, levelling

BASE = {"essp": 0.5, "demographic_parity": 0.2, "equal_opportunity": 0.1, "nar": 0.4}
COLUMNS = ("essp", "demographic_parity", "equal_opportunity", "nar")


@pytest.mark.parametrize(
    ("base", "new", "percent"),
    [
        ((5.11, 18.22, 7.56, 0.36), (15.47, 4.51, 2.70, 0.21), 95.98),
        ((48.24, 2.68, 1.68, 0.06), (52.38, 1.66, 0.66, 0.04), 35.17),
        ((25.62, 1.61, 0.61, 0.04), (61.08, 0.21, 0.49, 0.01), 80.01),
    ],
)
def test_the_papers_printed_table_gives_its_headline(base, new, percent):
    found = fairness_improvement(
        dict(zip(COLUMNS, base, strict=True)), dict(zip(COLUMNS, new, strict=True))
    )
    assert 100 * found.value == pytest.approx(percent, abs=0.02)


def test_each_term_is_positive_where_fairness_grew():
    new = {"essp": 0.6, "demographic_parity": 0.1, "equal_opportunity": 0.15, "nar": 0.4}
    found = fairness_improvement(BASE, new)
    assert found.terms == {
        "essp": pytest.approx(0.2),
        "demographic_parity": pytest.approx(0.5),
        "equal_opportunity": pytest.approx(-0.5),
        "nar": pytest.approx(0.0),
    }
    assert found.value == pytest.approx(0.05)
    assert found.reason == ""
    assert fairness_improvement(BASE, BASE).value == 0


def test_a_base_gap_near_zero_makes_the_mean_missing_and_leaves_the_other_terms():
    found = fairness_improvement(BASE | {"equal_opportunity": 0.004}, BASE)
    assert math.isnan(found.value)
    assert math.isnan(found.terms["equal_opportunity"])
    assert found.terms["essp"] == 0
    assert found.reason == "base equal_opportunity 0.004 is below 0.02"


def test_an_undefined_value_makes_the_mean_missing():
    found = fairness_improvement(BASE, BASE | {"nar": math.nan})
    assert math.isnan(found.value)
    assert found.reason == "nar is undefined"
    zero = fairness_improvement(BASE | {"nar": 0.0}, BASE, near_zero=0.0)
    assert math.isnan(zero.terms["nar"])
    assert zero.reason == "base nar 0.000 is below 0.0"


def test_lacking_and_negative_values_are_refused():
    with pytest.raises(ValueError, match="new: no 'nar'"):
        fairness_improvement(BASE, {k: v for k, v in BASE.items() if k != "nar"})
    with pytest.raises(ValueError, match=r"base: nar is -0\.1"):
        fairness_improvement(BASE | {"nar": -0.1}, BASE)


def test_levelling_follows_the_subgroups_that_the_base_names():
    base = {"light": 0.8, "medium": 0.7, "dark": 0.5}
    found = levelling(base, {"light": 0.6, "medium": 0.75, "dark": 0.7})
    assert (found.best_subgroup, found.worst_subgroup) == ("light", "dark")
    assert found.best == pytest.approx(-0.2)
    assert found.worst == pytest.approx(0.2)


def test_levelling_leaves_out_subgroups_without_samples():
    found = levelling({"light": 0.8, "dark": math.nan}, {"light": 0.9, "dark": 0.1})
    assert found.best_subgroup == found.worst_subgroup == "light"
    with pytest.raises(ValueError, match="expected the same"):
        levelling({"light": 0.8}, {"dark": 0.8})
    with pytest.raises(ValueError, match="no subgroup has an accuracy"):
        levelling({"light": math.nan}, {"light": math.nan})
