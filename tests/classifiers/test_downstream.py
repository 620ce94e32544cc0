import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from transformers import AutoModelForImageClassification, ViTConfig, ViTForImageClassification
from transformers import pipeline as make_pipeline

from fairgen.classifiers import CLASSIFIERS, Classifier, ClassifySettings, Predictor, classify
from fairgen.classifiers.downstream import read_method, read_methods
from fairgen.engine import hub
from fairgen.errors import CohortError, StudyError

QUICK = ClassifySettings(
    steps=60,
    size=16,
    width=32,
    depth=2,
    heads=2,
    patch=4,
    evaluations=3,
    learning_rate=5e-3,
    shift=0,
)
SHORT = QUICK.model_copy(update={"steps": 6})


def log_of(path):
    return [json.loads(line) for line in (path.parent / "log.jsonl").read_text().splitlines()]


def card_of(path):
    return json.loads((path.parent / "settings.json").read_text())


@pytest.fixture(scope="module")
def predictions(cohort, tmp_path_factory):
    return classify(cohort, settings=QUICK, out=tmp_path_factory.mktemp("run") / "vit")


def test_predictions_hold_one_row_for_each_validation_and_test_image(cohort, predictions):
    frame = pd.read_parquet(predictions)
    assert list(frame.columns) == [
        "image", "subject", "split", "label", "prediction",
        "probability_rows", "probability_columns", "tone",
    ]  # fmt: skip
    records = {r.image: r for r in cohort.cohort.records if r.split != "train"}
    assert set(frame["image"]) == set(records)
    assert frame["image"].is_unique
    for row in frame.itertuples():
        record = records[row.image]
        own = (record.subject, record.split, record.group.label, record.group.levels[0])
        assert (row.subject, row.split, row.label, row.tone) == own


def test_probabilities_sum_to_one_and_the_largest_is_the_prediction(predictions):
    frame = pd.read_parquet(predictions)
    scores = frame[["probability_rows", "probability_columns"]].to_numpy()
    np.testing.assert_allclose(scores.sum(1), 1)
    said = np.array(["rows", "columns"])[scores.argmax(1)]
    assert (frame["prediction"] == said).all()


def test_a_small_vit_learns_the_toy_labels(predictions):
    frame = pd.read_parquet(predictions)
    test = frame[frame["split"] == "test"]
    assert (test["label"] == test["prediction"]).mean() > 0.9


def test_the_log_has_a_line_for_each_period_and_weights_of_one_without_reweighting(predictions):
    lines = log_of(predictions)
    assert [line["step"] for line in lines] == [20, 40, 60]
    assert all(line["weights"] == {"dark": 1.0, "light": 1.0} for line in lines)
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_the_card_names_the_classifier_and_counts_its_images(cohort, predictions):
    card = card_of(predictions)
    assert (card["classifier"], card["title"]) == ("vit-tiny", "small ViT from scratch")
    assert card["settings"]["flip"] is True
    assert sum(card["real"].values()) == len(cohort.cohort.part("train"))
    assert card["synthetic"] == {}


def test_the_saved_model_predicts_the_same_through_transformers(cohort, predictions):
    frame = pd.read_parquet(predictions).set_index("image")
    classify_image = make_pipeline(
        "image-classification", model=str(predictions.parent / "model"), device="cpu"
    )
    for image in frame.index[:4]:
        best = classify_image(str(cohort.root / image))[0]
        assert best["label"] == frame.loc[image, "prediction"]
        assert best["score"] == pytest.approx(
            frame.loc[image, f"probability_{best['label']}"], abs=1e-4
        )


def test_repeating_a_run_does_nothing_and_other_settings_are_refused(cohort, predictions):
    before = predictions.stat().st_mtime_ns
    assert classify(cohort, settings=QUICK, out=predictions.parent) == predictions
    assert predictions.stat().st_mtime_ns == before
    other = QUICK.model_copy(update={"steps": 61})
    with pytest.raises(StudyError, match="other settings or images"):
        classify(cohort, settings=other, out=predictions.parent)
    with pytest.raises(StudyError, match="other settings or images"):
        classify(cohort, settings=QUICK, out=predictions.parent, seed=1)


def test_the_same_seed_gives_the_same_predictions(cohort, tmp_path):
    first, again, other = (
        pd.read_parquet(classify(cohort, settings=SHORT, out=tmp_path / name, seed=seed))
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    pd.testing.assert_frame_equal(first, again)
    assert (first["probability_rows"] != other["probability_rows"]).any()


def test_synthetic_images_join_the_training_split_alone(cohort, synthetic, predictions, tmp_path):
    path = classify(cohort, synthetic=synthetic, settings=SHORT, out=tmp_path / "both")
    card, alone = card_of(path), card_of(predictions)
    assert card["real"] == alone["real"]
    assert sum(card["synthetic"].values()) == len(synthetic.cohort)
    assert [line["step"] for line in log_of(path)] == [2, 4, 6]
    frame = pd.read_parquet(path)
    assert (frame["image"] == pd.read_parquet(predictions)["image"]).all()


def test_a_ratio_spreads_evenly_over_groups(cohort, synthetic, tmp_path):
    path = classify(cohort, synthetic=synthetic, ratio=0.3, settings=SHORT, out=tmp_path / "third")
    counts = card_of(path)["synthetic"]
    assert sum(counts.values()) == round(0.3 * len(cohort.cohort.part("train")))
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len(counts) == 4


def test_synthetic_images_alone_can_teach(cohort, synthetic, tmp_path):
    settings = SHORT.model_copy(update={"only_synthetic": True})
    path = classify(cohort, synthetic=synthetic, settings=settings, out=tmp_path / "cas")
    assert card_of(path)["real"] == {}


def test_reweighting_follows_validation_accuracy_of_the_period_before(cohort, tmp_path):
    changed = {"reweight": True, "steps": 24, "evaluations": 12, "learning_rate": 1e-3}
    settings = QUICK.model_copy(update=changed)
    lines = log_of(classify(cohort, settings=settings, out=tmp_path / "reweighted"))
    assert lines[0]["weights"] == {"dark": 1.0, "light": 1.0}
    for before, after in pairwise(lines):
        inverse = {s: 1 / (v + 0.05) for s, v in before["valid_by_subgroup"].items()}
        total = sum(inverse.values())
        expected = {s: 2 * v / total for s, v in inverse.items()}
        assert after["weights"] == pytest.approx(expected)
    assert any(line["weights"]["dark"] != 1.0 for line in lines)


def test_weights_may_enter_the_draws_instead(cohort, tmp_path):
    changed = {"reweight": True, "reweight_by": "draws", "normalise": "samples", "steps": 8}
    settings = QUICK.model_copy(update={**changed, "evaluations": 2})
    lines = log_of(classify(cohort, settings=settings, out=tmp_path / "draws"))
    shares = {"dark": 1 / 3, "light": 2 / 3}
    last = lines[-1]["weights"]
    assert sum(shares[s] * last[s] for s in shares) == pytest.approx(1)


def test_a_broken_run_leaves_nothing_behind(cohort, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise StudyError("no space")

    monkeypatch.setattr("fairgen.classifiers.downstream.write_predictions", fail)
    settings = QUICK.model_copy(update={"steps": 1, "evaluations": 1})
    with pytest.raises(StudyError, match="no space"):
        classify(cohort, settings=settings, out=tmp_path / "broken")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def pretrained_folder(tmp_path_factory):
    config = ViTConfig(
        image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, num_labels=1000,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    ViTForImageClassification(config).save_pretrained(folder)
    return folder


def test_pretrained_weights_of_a_folder_get_a_new_head(cohort, pretrained_folder, tmp_path):
    settings = ClassifySettings(
        classifier="vit", model=str(pretrained_folder), steps=2, evaluations=1
    )
    path = classify(cohort, settings=settings, out=tmp_path / "vit")
    card = card_of(path)
    assert (card["title"], card["settings"]["size"]) == ("pretrained ViT", 32)
    assert card["settings"]["learning_rate"] == 5e-5
    model = AutoModelForImageClassification.from_pretrained(path.parent / "model")
    assert model.config.id2label == {0: "rows", 1: "columns"}


def test_absent_weights_are_named_with_what_to_do(cohort, tmp_path):
    settings = ClassifySettings(classifier="vit", model=str(tmp_path / "nowhere"))
    with pytest.raises(StudyError, match=r"classify.model: no weights of '.*nowhere' on this"):
        classify(cohort, settings=settings, out=tmp_path / "vit")


def test_the_paper_sized_vit_is_the_default_of_vit():
    assert ClassifySettings(classifier="vit").model == "google/vit-base-patch16-224"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classifier": "vit-tny"}, "unknown 'vit-tny'; expected one of vit-tiny, vit"),
        ({"size": 18}, "classify.size: 18; expected a multiple of patch 4"),
        ({"heads": 3}, "classify.width: 32; expected a multiple of heads 3"),
        ({"model": "other/weights"}, "classify.model: 'vit-tiny' reads it not; 'vit' does"),
        ({"only_synthetic": True}, "needs a synthetic set"),
    ],
)
def test_wrong_settings_are_refused_in_clear_words(cohort, tmp_path, changes, message):
    with pytest.raises(StudyError, match=message):
        classify(cohort, settings=QUICK.model_copy(update=changes), out=tmp_path / "wrong")


def test_wrong_synthetic_sets_are_refused(cohort, synthetic, tmp_path):
    for ratio, message in ((9.0, "ratio 9.0 asks for 324"), (0.0, "expected more than zero")):
        with pytest.raises(StudyError, match=message):
            classify(cohort, synthetic=synthetic, ratio=ratio, settings=QUICK, out=tmp_path / "x")
    with pytest.raises(StudyError, match="a ratio or only_synthetic needs"):
        classify(cohort, ratio=1.0, settings=QUICK, out=tmp_path / "x")
    with pytest.raises(CohortError, match="no record belongs to split 'train'"):
        classify(synthetic, settings=QUICK, out=tmp_path / "x")


def test_learning_rate_and_size_are_each_classifiers_own_unless_set():
    open_ended = CLASSIFIERS["vit-tiny"].resolve(ClassifySettings())
    assert (open_ended.learning_rate, open_ended.size) == (2e-3, 64)
    assert CLASSIFIERS["vit-tiny"].resolve(QUICK) == QUICK


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_member_is_a_classifier_named_by_its_key(name):
    member = CLASSIFIERS[name]
    assert isinstance(member, Classifier)
    assert member.name == name
    assert member.own <= set(ClassifySettings.model_fields)


def test_a_fitted_network_is_a_predictor():
    from fairgen.classifiers.fit import NetworkPredictor

    assert issubclass(NetworkPredictor, Predictor)


def test_a_set_that_is_not_generated_is_refused(cohort, synthetic, tmp_path):
    for made in (cohort, replace(synthetic, source={"synthetic": "yes"})):
        with pytest.raises(CohortError, match=r"is no generated set .* expected a folder written"):
            classify(cohort, synthetic=made, settings=SHORT, out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("ratio", [float("nan"), float("inf"), -1.0])
def test_a_ratio_is_a_finite_number_above_zero(ratio, cohort, synthetic, tmp_path):
    with pytest.raises(StudyError, match="expected more than zero, and finite"):
        classify(cohort, synthetic=synthetic, ratio=ratio, settings=SHORT, out=tmp_path / "x")


def test_the_card_names_the_generator_and_folds_must_agree_on_it(
    cohort, synthetic, predictions, tmp_path
):
    made = classify(cohort, synthetic=synthetic, settings=SHORT, out=str(tmp_path / "made"))
    assert read_method(predictions.parent) == "real"
    assert read_method(made.parent) == "sd"
    assert read_methods([made.parent, made.parent]) == "sd"
    with pytest.raises(StudyError, match="classifiers of different generators"):
        read_methods([made.parent, predictions.parent])


def test_a_card_of_an_earlier_version_asks_for_the_generators_name(tmp_path):
    (tmp_path / "settings.json").write_text('{"synthetic": {}}')
    assert read_method(tmp_path) == "real"
    (tmp_path / "settings.json").write_text('{"synthetic": {"dark|rows": 3}}')
    with pytest.raises(StudyError, match="does not name the generator; expected --method"):
        read_method(tmp_path)
    (tmp_path / "settings.json").write_text("garbage")
    with pytest.raises(StudyError, match=r"settings\.json: is damaged"):
        read_method(tmp_path)


def test_absent_weights_are_asked_for_once_and_quietly(cohort, tmp_path, monkeypatch, caplog):
    asked = []

    def unreachable(*args, **kwargs):
        asked.append(args)
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(hub.constants, "is_offline_mode", lambda: False)
    monkeypatch.setattr(hub, "get_hf_file_metadata", unreachable)
    settings = ClassifySettings(classifier="vit", model="nobody/nothing")
    with pytest.raises(StudyError, match="no weights of 'nobody/nothing' on this machine"):
        classify(cohort, settings=settings, out=tmp_path / "x")
    assert (len(asked), caplog.text) == (1, "")
