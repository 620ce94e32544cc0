import json
import math
from dataclasses import replace

import numpy as np
import pytest

from fairgen.classifiers.predictions import write_predictions
from fairgen.classifiers.sources import split_source
from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Schema
from fairgen.engine.extractor import ExtractorSettings
from fairgen.engine.features import train_extractor
from fairgen.errors import CohortError, StudyError
from fairgen.files.folder import CohortFolder, write_cohort
from fairgen.metrics import DIRECTIONS, direction
from fairgen.modalities import MODALITIES, Prompts
from fairgen.study.scoring import (
    Origin,
    fidelity_size,
    score_fidelity,
    score_floors,
    score_predictions,
)

SCHEMA = Schema((Attribute("tone", ("dark", "light")),), Attribute("disease", ("none", "spot")))
KEYS = {
    "metric", "method", "classifier", "reweight", "split", "group", "value", "low", "high", "n",
    "seed", "direction", "preferences",
}  # fmt: skip


def picture(group, seed, dim=0.0):
    random = np.random.default_rng(seed)
    image = np.full((16, 16, 3), 70.0 if group.levels == ("dark",) else 150.0)
    if group.label == "spot":
        image[5:11, 5:11] += 80 - dim
    return (image + random.normal(0, 12, image.shape)).clip(0, 255).astype(np.uint8)


def toy(root, *, split=True, seed=0, dim=0.0):
    places = ("train",) * 3 + ("valid",) + ("test",)
    records = tuple(
        Record(
            f"images/{i:03d}.png",
            f"s{i // 2}",
            SCHEMA.groups()[i // 2 % 4],
            split=places[i // 8 % 5] if split else "",
        )
        for i in range(240)
    )
    kind = MODALITIES["skin"]
    source = {} if split else {"synthetic": True, "method": "sd"}
    prompts = Prompts(SCHEMA, kind.template)
    folder = CohortFolder(root, Cohort(SCHEMA, records), prompts, kind, source)
    return write_cohort(folder, lambda r: picture(r.group, seed * 1000 + int(r.image[7:10]), dim))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toy(tmp_path_factory.mktemp("cohort") / "real")


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return toy(tmp_path_factory.mktemp("cohort") / "made", split=False, seed=1, dim=60.0)


@pytest.fixture(scope="module")
def extractor(folder, tmp_path_factory):
    settings = ExtractorSettings(
        size=16, dimension=4, widths=(8, 8), steps=40, batch_size=16, evaluations=2, shift=0.0
    )
    return train_extractor(folder, settings, out=tmp_path_factory.mktemp("e") / "extractor")


def predictions(folder, path, right):
    """Write predictions whose chance to be right depends on the subgroup."""
    random, scores = np.random.default_rng(0), []
    sources = [split_source(folder, split) for split in ("valid", "test")]
    for source in sources:
        truth = np.array([SCHEMA.label.levels.index(r.group.label) for r in source.records])
        chance = np.array([right[r.group.subgroup] for r in source.records])
        said = np.where(random.random(len(truth)) < chance, truth, 1 - truth)
        scores.append(np.eye(2)[said] * 0.8 + 0.1)
    write_predictions(path, sources, scores)
    return path


def by_key(rows):
    return {(r["metric"], r["group"]): r for r in rows}


def test_rows_are_json_with_every_key_and_null_only_with_a_reason(folder, tmp_path):
    path = predictions(folder, tmp_path / "p.parquet", {"dark": 0.6, "light": 0.9})
    origin = Origin("sd", "vit-tiny", reweight=True, seed=3, preferences="oracle")
    rows = score_predictions([path], origin, replicates=50)
    for row in rows:
        assert set(row) - {"reason", "note"} == KEYS
        assert (row["method"], row["classifier"], row["reweight"], row["seed"]) == (
            "sd", "vit-tiny", True, 3,
        )  # fmt: skip
        assert row["preferences"] == "oracle"
        assert (row["value"] is None) == ("reason" in row)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_scores_of_a_classifier_cover_the_metrics_and_groups(folder, tmp_path):
    path = predictions(folder, tmp_path / "p.parquet", {"dark": 0.6, "light": 0.9})
    found = by_key(score_predictions([path], Origin("real", "vit-tiny"), replicates=50))
    for metric in (
        "accuracy", "auc", "demographic_parity_worst", "demographic_parity_mean",
        "equal_opportunity_worst", "equal_opportunity_mean", "equal_opportunity_permuted", "essp",
        "nar", "worst_subgroup_accuracy",
    ):  # fmt: skip
        assert (metric, "overall") in found
    for metric in ("accuracy", "auc"):
        assert {(metric, s) for s in ("dark", "light")} <= set(found)
    assert found["accuracy", "dark|spot"]["n"] == 12
    assert found["accuracy", "overall"]["n"] == len(folder.cohort.part("test"))
    assert not any(metric.startswith("fairness") for metric, _ in found)


def test_a_base_adds_improvement_terms_and_levelling(folder, tmp_path):
    base = predictions(folder, tmp_path / "base.parquet", {"dark": 0.5, "light": 0.9})
    new = predictions(folder, tmp_path / "new.parquet", {"dark": 0.8, "light": 0.85})
    found = by_key(score_predictions([new], Origin("sd", "vit-tiny"), base=[base], replicates=50))
    for metric in (
        "accuracy_change", "worst_subgroup_accuracy_change",
        "fairness_improvement", "essp_term", "demographic_parity_term", "equal_opportunity_term",
        "nar_term", "levelling_best", "levelling_worst",
    ):  # fmt: skip
        assert (metric, "overall") in found
    assert found["levelling_worst", "overall"]["value"] > 0
    assert found["levelling_worst", "overall"]["note"] == "subgroup dark"


def test_a_base_on_other_images_is_refused(folder, tmp_path):
    import pandas as pd

    path = predictions(folder, tmp_path / "p.parquet", {"dark": 0.6, "light": 0.9})
    frame = pd.read_parquet(path)
    frame.iloc[:-1].to_parquet(tmp_path / "short.parquet")
    with pytest.raises(StudyError, match="other images than"):
        score_predictions([path], Origin("sd"), base=[tmp_path / "short.parquet"], replicates=5)


def test_the_size_is_matched_over_all_sets_and_subgroups(folder, synthetic, extractor):
    assert fidelity_size(folder, [synthetic], extractor) == 24
    few = synthetic.cohort.select(lambda r: r.group.subgroup == "light" or int(r.image[7:10]) < 40)
    smaller = replace(synthetic, cohort=few)
    counts = few.subgroup_counts()
    assert fidelity_size(folder, [synthetic, smaller], extractor) == min(24, counts["dark"])


def test_fidelity_rows_name_the_extractor_and_their_size(folder, synthetic, extractor):
    rows = score_fidelity(folder, synthetic, extractor, Origin("sd", seed=1), replicates=30)
    found = by_key(rows)
    for group in ("overall", "dark", "light"):
        fid, kid = (found[f"{m}_indomain", group] for m in ("fid", "kid"))
        assert fid["n"] == kid["n"] == 24
        assert fid["low"] <= fid["value"] <= fid["high"]
        assert (fid["classifier"], fid["reweight"]) == (None, None)
    assert ("fid_indomain_variance", "overall") in found
    assert found["attribute_consistency", "dark"]["n"] == 120
    assert found["attribute_consistency", "overall"]["value"] > 0.9
    assert "label_consistency" in {metric for metric, _ in found}


def test_a_generated_set_says_itself_whose_preferences_its_model_learned_from(
    folder, synthetic, extractor
):
    def said(source, known=None):
        noted = replace(synthetic, source={**synthetic.source, **source})
        rows = score_fidelity(
            folder, noted, extractor, Origin("sd", preferences=known), replicates=20
        )
        return {r["preferences"] for r in rows}

    assert said({"preferences": "proxy"}) == {"proxy"}
    assert said({"preferences": "proxy"}, "oracle") == {"oracle"}
    assert said({}) == {None}


def test_images_that_differ_lie_further_away_than_real_ones(folder, synthetic, extractor):
    made = by_key(score_fidelity(folder, synthetic, extractor, Origin("sd"), replicates=20))
    floors = score_floors(folder, extractor, size=24, replicates=20)
    real = by_key([r for r in floors if r["method"] == "real"])
    assert {r["method"] for r in floors} == {"real"}
    for group in ("overall", "dark", "light"):
        key = "fid_indomain", group
        assert made[key]["value"] > 3 * real[key]["value"]
    for group in ("dark", "light"):
        key = "fid_indomain", group
        assert made[key]["low"] > real[key]["high"]


def test_a_round_trip_that_loses_nothing_is_as_near_as_real_images(folder, extractor):
    rows = score_floors(folder, extractor, size=24, roundtrip=lambda x: x, replicates=20)
    real, trip = (
        {k: v["value"] for k, v in by_key([r for r in rows if r["method"] == m]).items()}
        for m in ("real", "autoencoder")
    )
    assert real == trip
    lossy = score_floors(folder, extractor, size=24, roundtrip=lambda x: x // 2, replicates=20)
    blurred = by_key([r for r in lossy if r["method"] == "autoencoder"])
    assert blurred["fid_indomain", "overall"]["value"] > real["fid_indomain", "overall"]


def test_too_few_images_for_the_features_are_missing_with_the_reason(folder, synthetic, extractor):
    dark = synthetic.cohort.select(lambda r: r.group.subgroup == "light" or int(r.image[7:10]) < 4)
    few = replace(synthetic, cohort=dark)
    found = by_key(score_fidelity(folder, few, extractor, Origin("sd"), replicates=20))
    assert found["fid_indomain", "dark"]["value"] is None
    assert found["fid_indomain", "dark"]["reason"].startswith("4 images of dark")
    assert found["fid_indomain", "light"]["value"] > 0
    assert found["fid_indomain_variance", "overall"]["value"] is None


def test_every_metric_in_the_rows_has_a_direction(folder, synthetic, extractor, tmp_path):
    path = predictions(folder, tmp_path / "p.parquet", {"dark": 0.6, "light": 0.9})
    rows = score_predictions([path], Origin("sd"), base=[path], replicates=5)
    rows += score_fidelity(folder, synthetic, extractor, Origin("sd"), replicates=5)
    seen = {row["metric"].replace("_indomain", "") for row in rows}
    oracle = {f"{p}_{q}" for p in ("phenotype", "unseen") for q in ("fit", "label", "attribute")}
    oracle |= {"measurable", "anatomy_distance", "wasserstein"}
    assert seen == set(DIRECTIONS) - oracle
    assert all(row["direction"] == direction(row["metric"]) for row in rows)
    assert not any(isinstance(r["value"], float) and math.isnan(r["value"]) for r in rows)


def test_real_images_are_not_scored_as_generated_ones(folder, extractor):
    with pytest.raises(CohortError, match="is no generated set"):
        score_fidelity(folder, folder, extractor, Origin("sd"))


def test_a_set_of_other_groups_is_refused_with_the_difference(folder, synthetic, extractor):
    levels = Schema((Attribute("tone", ("dark", "pale")),), SCHEMA.label)
    name = Schema((Attribute("sex", ("dark", "light")),), SCHEMA.label)
    for schema, message in ((levels, "tone: dark, pale in place of dark, light"),
                            (name, "'sex' in place of 'tone'")):  # fmt: skip
        other = replace(synthetic, cohort=Cohort(schema, ()))
        with pytest.raises(CohortError, match=f"other groups than .*{message}"):
            score_fidelity(folder, other, extractor, Origin("sd"))


def test_cells_with_too_few_images_are_kept_back_and_say_why(folder, tmp_path):
    path = predictions(folder, tmp_path / "p.parquet", {"dark": 0.6, "light": 0.9})
    every = by_key(score_predictions([path], Origin("real"), replicates=20, least=0))
    n = every["accuracy", "dark"]["n"]
    found = by_key(score_predictions([path], Origin("real"), replicates=20, least=n + 1))
    for key in (("accuracy", "dark"), ("auc", "dark")):
        kept_back = found[key]
        assert kept_back["value"] is kept_back["low"] is kept_back["high"] is None
        assert kept_back["n"] == n
        assert kept_back["reason"] == f"{n} images; fewer than {n + 1} are not reported"
    assert found["auc", "overall"] == every["auc", "overall"]
    exactly = by_key(score_predictions([path], Origin("real"), replicates=20, least=n))
    assert exactly["accuracy", "dark"] == every["accuracy", "dark"]
