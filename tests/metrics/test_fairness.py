import math
import time
from dataclasses import replace

import numpy as np
import pytest

from fairgen.metrics import demographic_parity, equal_opportunity, essp, nar
from fairgen.metrics.change import improvement_scores
from fairgen.metrics.fairness import Predictions, draws_of, fairness_scores
from fairgen.metrics.tally import Coded

CLASSES, SUBGROUPS = ("c0", "c1", "c2"), ("dark", "medium", "light")


def predictions(n=600, seed=0, *, right=(0.7, 0.7, 0.7)):
    """Return predictions that are right with a probability that depends on the subgroup."""
    random = np.random.default_rng(seed)
    truth, subgroup = random.integers(0, 3, n), random.choice(3, n, p=[0.2, 0.3, 0.5])
    hit = random.random(n) < np.array(right)[subgroup]
    said = np.where(hit, truth, (truth + random.integers(1, 3, n)) % 3)
    scores = random.dirichlet(np.ones(3), n)
    scores[np.arange(n), said] += 1
    samples = Coded(CLASSES, SUBGROUPS, truth, said, subgroup)
    return Predictions(
        samples, scores / 2, tuple(f"s{i // 2}" for i in range(n)), tuple(map(str, range(n)))
    )


def kept(given, rows):
    """Return the predictions of some rows alone."""
    s = given.samples
    part = replace(s, truth=s.truth[rows], prediction=s.prediction[rows], subgroup=s.subgroup[rows])
    who, what = (tuple(np.array(names)[rows].tolist()) for names in (given.subjects, given.images))
    return Predictions(part, given.probabilities[rows], who, what)


def scores_of(predictions, replicates=200):
    found = fairness_scores(predictions, draws_of(predictions, replicates=replicates, seed=0))
    return {(s.metric, s.group): s for s in found}


def test_scores_are_those_of_the_array_functions():
    given = predictions()
    found = scores_of(given)
    s = given.samples
    args = ([CLASSES[t] for t in s.truth], [CLASSES[p] for p in s.prediction], s.subgroup)
    expected = {
        "demographic_parity_worst": demographic_parity(*args),
        "demographic_parity_mean": demographic_parity(*args, over="mean"),
        "equal_opportunity_worst": equal_opportunity(*args),
        "equal_opportunity_mean": equal_opportunity(*args, over="mean", at_least=10),
        "essp": essp(*args),
        "nar": nar(*args),
    }
    for metric, value in expected.items():
        assert found[metric, "overall"].value == pytest.approx(value, rel=1e-12), metric


def test_counts_of_subgroups_and_groups_add_up():
    found = scores_of(predictions())
    for metric in ("accuracy", "auc"):
        assert sum(found[metric, s].n for s in SUBGROUPS) == found[metric, "overall"].n == 600
    cells = [found["accuracy", f"{s}|{c}"].n for s in SUBGROUPS for c in CLASSES]
    assert sum(cells) == 600


def test_intervals_hold_their_values():
    for (metric, group), score in scores_of(predictions()).items():
        assert score.low <= score.high, (metric, group)
        if metric in ("accuracy", "auc", "essp"):
            assert score.low <= score.value <= score.high, (metric, group)


def test_a_random_attribute_gives_no_gap_beyond_permuted_subgroups():
    inside = 0
    for seed in range(20):
        found = scores_of(predictions(seed=seed), replicates=2)
        noise = found["equal_opportunity_permuted", "overall"]
        inside += noise.low <= found["equal_opportunity_mean", "overall"].value <= noise.high
    assert inside >= 17


def test_a_real_gap_stands_out_from_permuted_subgroups():
    found = scores_of(predictions(right=(0.4, 0.6, 0.9)))
    noise = found["equal_opportunity_permuted", "overall"]
    assert found["equal_opportunity_mean", "overall"].low > noise.high


def test_the_worst_cell_is_mostly_noise_as_the_method_says():
    given = predictions(n=322, seed=1)
    found = scores_of(given, replicates=2)
    assert found["equal_opportunity_worst", "overall"].value > 0.1
    assert "smallest cell" in found["equal_opportunity_worst", "overall"].note


def test_an_empty_subgroup_is_missing_with_the_reason():
    given = predictions()
    found = scores_of(kept(given, given.samples.subgroup != 0))
    for key in (("accuracy", "dark"), ("auc", "dark"), ("accuracy", "dark|c1")):
        assert math.isnan(found[key].value)
        assert found[key].reason == f"no image of {key[1]}"
        assert found[key].as_dict()["value"] is None
    assert found["equal_opportunity_mean", "overall"].value >= 0
    assert found["essp", "overall"].note == "2 subgroups"


def test_mean_equal_opportunity_without_a_large_class_is_missing_with_the_reason():
    found = scores_of(predictions(n=40))
    for metric in ("equal_opportunity_mean", "equal_opportunity_permuted"):
        assert math.isnan(found[metric, "overall"].value)
        assert found[metric, "overall"].reason == "no class has 10 images in every subgroup"


def test_gaps_with_one_subgroup_are_missing_with_the_reason():
    given = predictions()
    alone = replace(given.samples, subgroup=np.zeros(600, int), subgroups=("all",))
    found = scores_of(replace(given, samples=alone))
    for metric in ("demographic_parity_mean", "equal_opportunity_worst", "nar"):
        assert found[metric, "overall"].reason == "1 subgroup with images; a gap needs two"


def test_a_class_that_a_subgroup_lacks_is_named_beside_its_area():
    given = predictions()
    found = scores_of(kept(given, (given.samples.subgroup != 0) | (given.samples.truth != 1)))
    assert found["auc", "dark"].note == "without c1: no image"
    assert found["auc", "light"].note == ""


def test_improvement_is_paired_and_positive_where_gaps_shrink():
    base, new = predictions(right=(0.4, 0.6, 0.9)), predictions(right=(0.75, 0.75, 0.85))
    draws = draws_of(base, replicates=200, seed=0)
    found = {s.metric: s for s in improvement_scores(base, new, draws)}
    assert found["fairness_improvement"].low > 0
    assert found["levelling_worst"].value > 0.2
    assert found["levelling_worst"].note == "subgroup dark"
    assert found["levelling_best"].note == "subgroup light"
    assert found["levelling_best"].value < 0.05
    terms = [found[f"{t}_term"].value for t in ("essp", "demographic_parity", "nar")]
    terms.append(found["equal_opportunity_term"].value)
    assert found["fairness_improvement"].value == pytest.approx(np.mean(terms))


def test_a_classifier_does_not_improve_on_itself():
    base = predictions(right=(0.4, 0.6, 0.9))
    for score in improvement_scores(base, base, draws_of(base, replicates=50, seed=0)):
        assert score.value == pytest.approx(0)
        assert (score.low, score.high) == (pytest.approx(0), pytest.approx(0))


def test_improvement_over_a_perfect_base_is_missing_with_the_reason():
    perfect, new = predictions(right=(1, 1, 1)), predictions()
    found = improvement_scores(perfect, new, draws_of(new, replicates=50, seed=0))
    by_metric = {s.metric: s for s in found}
    assert by_metric["nar_term"].reason == "base nar 0.000 is below 0.02"
    assert "base equal_opportunity 0.000" in by_metric["fairness_improvement"].reason
    assert by_metric["fairness_improvement"].as_dict()["value"] is None
    assert by_metric["essp_term"].value < 0


def test_classifiers_on_different_images_are_not_compared():
    base, other = predictions(), replace(predictions(), images=("another",) * 600)
    with pytest.raises(ValueError, match="different samples"):
        improvement_scores(base, other, draws_of(base, replicates=2, seed=0))


def test_scoring_eight_hundred_images_takes_a_few_seconds_at_most():
    given = predictions(n=800)
    begin = time.process_time()
    scores_of(given, replicates=500)
    assert time.process_time() - begin < 5
