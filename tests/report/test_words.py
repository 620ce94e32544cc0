"""Names of metrics, groups and numbers."""

import pytest

from fairgen.report.words import (
    glossary,
    group_text,
    number,
    place_text,
    sequence,
    subgroup_text,
    word,
)


def test_a_distance_names_its_extractor():
    assert word("fid_indomain").label == "FID (indomain)"
    assert word("kid_inception").label == "KID (inception)"
    assert word("fid_indomain_variance").label == "Variance of subgroup FID (indomain)"


def test_an_arrow_tells_the_better_direction():
    assert word("essp").arrowed == "ESSP\u00a0↑"
    assert word("nar").arrowed == "NAR\u00a0↓"
    assert word("equal_opportunity_permuted").arrowed == "EO gap, permuted"


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("essp_term", "ESSP term"),
        ("demographic_parity_mean_term", "DP term"),
        ("fairness_improvement_equal_opportunity_term", "EO term"),
        ("nar_term", "NAR term"),
    ],
)
def test_a_term_names_its_gap(metric, label):
    assert word(metric).label == label


def test_a_distance_of_anatomy_names_its_quantity():
    assert word("wasserstein_lesion_area").label == "Distance of lesion area from real"
    assert word("wasserstein_ita").direction == word("anatomy_distance").direction == "lower"
    assert word("phenotype_fit").direction == "higher"


def test_a_place_is_shown_as_group_or_subgroup():
    assert place_text("dark|f", ["dark|f|acne"]) == "dark / f"
    assert place_text("dark|acne", ["dark|acne"]) == "dark · acne"


def test_an_unknown_metric_keeps_its_name():
    assert word("nearest_copy_rate").label == "Nearest copy rate"
    assert word("nearest_copy_rate").direction == "none"


def test_crossed_groups_stay_apart_from_their_label():
    assert subgroup_text("dark|female") == "dark / female"
    assert group_text("dark|female|eczema") == "dark / female · eczema"
    assert subgroup_text("overall") == "overall"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(None, 3, "–"), (0.12349, 3, "0.123"), (-0.5, 1, "−0.5"), (-0.0001, 2, "0.00"), (12, 0, "12")],
)
def test_numbers_have_fixed_decimals_and_a_true_minus(value, decimals, text):
    assert number(value, decimals) == text


def test_the_glossary_names_each_metric_once():
    items = glossary(["essp", "accuracy", "essp", "essp_term", "unheard_of"])
    assert [term for term, _ in items] == ["ESSP\u00a0↑", "Accuracy\u00a0↑"]


def test_a_list_reads_as_prose():
    assert sequence(["a"]) == "a"
    assert sequence(["a", "b", "c"]) == "a, b and c"
    assert sequence([]) == "none"
