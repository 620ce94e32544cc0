import json
import shutil
from dataclasses import replace

import pytest
import torch
from diffusers import StableDiffusionPipeline
from pydantic import ValidationError
from safetensors.torch import load_file

from fairgen.classifiers import ClassifySettings
from fairgen.engine import checks
from fairgen.engine import train as module
from fairgen.engine.extractor import ExtractorSettings
from fairgen.engine.loop import learning_rate, other_groups
from fairgen.engine.sampling import SampleSettings
from fairgen.engine.settings import TrainSettings
from fairgen.engine.tiny import TinySettings
from fairgen.engine.train import train
from fairgen.errors import CheckpointError, CohortError, MissingExtra, StudyError
from fairgen.methods import METHODS
from fairgen.objectives import Diversity


def weights(out):
    return load_file(out / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors")


def lines(out):
    return [json.loads(t) for t in (out / "log.jsonl").read_text().splitlines()]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_to_a_pipeline_folder(name, cohort, base, quick, tmp_path):
    out = train(cohort, method=METHODS[name], base=base, out=tmp_path / "m", settings=quick)
    assert [r["step"] for r in lines(out)] == [2, 4, 6]
    plain = METHODS[name].without_preferences
    assert set(lines(out)[0]["parts"]) == {t.name for t in plain.objective.terms}
    assert sum(lines(out)[0]["draws"].values()) == 2 * 4
    assert sum(lines(out)[0]["expected_draws"].values()) == pytest.approx(8, abs=1e-3)
    assert ("hardness" in lines(out)[0]) == (plain.awareness is not None)
    assert set(lines(out)[-1]["condition_strength"]) == {
        f"t={t}" for t in (100, 300, 500, 700, 900)
    }
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["preferences"] == "none"
    assert manifest["draws"] == 24
    assert not same(weights(out), load_file(f"{base}/unet/diffusion_pytorch_model.safetensors"))
    pipeline = StableDiffusionPipeline.from_pretrained(out / "pipeline")
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline("a photograph", num_inference_steps=2, output_type="np").images
    assert picture.shape == (1, 32, 32, 3)


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_training_cut_short_goes_on_to_the_same_weights(
    after, cohort, base, quick, tmp_path, cut_short
):
    whole = train(cohort, method=METHODS["fairgen"], base=base, out=tmp_path / "a", settings=quick)

    def start():
        return train(
            cohort, method=METHODS["fairgen"], base=base, out=tmp_path / "b", settings=quick
        )

    cut_short(start, after)
    again = start()
    assert same(weights(whole), weights(again))
    timeless = [{k: v for k, v in r.items() if k != "images_per_second"} for r in lines(whole)]
    assert timeless == [
        {k: v for k, v in r.items() if k != "images_per_second"} for r in lines(again)
    ]


def test_a_finished_training_is_not_repeated(cohort, base, quick, tmp_path, monkeypatch):
    out = train(cohort, method=METHODS["sd"], base=base, out=tmp_path / "m", settings=quick)
    monkeypatch.setattr(module, "prepare", None)
    assert train(cohort, method=METHODS["sd"], base=base, out=out, settings=quick) == out


def test_another_training_is_not_overwritten(cohort, base, quick, tmp_path):
    out = train(cohort, method=METHODS["sd"], base=base, out=tmp_path / "m", settings=quick)
    other = quick.model_copy(update={"learning_rate": 1e-4})
    with pytest.raises(CheckpointError, match="other settings"):
        train(cohort, method=METHODS["sd"], base=base, out=out, settings=other)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    cohort, base, quick, tmp_path, cut_short, caplog
):
    whole = train(cohort, method=METHODS["sd"], base=base, out=tmp_path / "a", settings=quick)
    interrupted(cohort, base, quick, tmp_path / "b", cut_short)
    torn = tmp_path / "b" / "checkpoints" / "step-000004" / "model.safetensors"
    torn.write_bytes(torn.read_bytes()[:1000])
    again = train(cohort, method=METHODS["sd"], base=base, out=tmp_path / "b", settings=quick)
    assert "model.safetensors is missing or damaged" in caplog.text
    assert same(weights(whole), weights(again))


def test_accumulated_batches_give_the_step_of_one_large_batch(cohort, base, quick, tmp_path):
    split = quick.model_copy(update={"batch_size": 2, "accumulation": 2})
    a = train(cohort, method=METHODS["fairgen"], base=base, out=tmp_path / "a", settings=quick)
    b = train(cohort, method=METHODS["fairgen"], base=base, out=tmp_path / "b", settings=split)
    for one, two in zip(lines(a), lines(b), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-4)


def test_only_the_training_split_is_read(cohort, base, quick, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(cohort.root, root)
    for split in ("validation", "test"):
        for image in (root / split / "images").iterdir():
            image.write_bytes(b"broken")
    poisoned = replace(cohort, root=root)
    train(poisoned, method=METHODS["sd"], base=base, out=tmp_path / "m", settings=quick)


def test_a_cohort_without_splits_is_refused(cohort, base, quick, tmp_path):
    bare = replace(
        cohort,
        cohort=replace(
            cohort.cohort, records=tuple(replace(r, split="") for r in cohort.cohort.records)
        ),
    )
    with pytest.raises(CohortError, match="fairgen split"):
        train(bare, method=METHODS["sd"], base=base, out=tmp_path / "m", settings=quick)
    assert not (tmp_path / "m").exists()


def test_the_learning_rate_warms_up_and_falls_along_half_a_cosine():
    settings = TrainSettings(steps=110, warmup=10, learning_rate=1.0)
    assert learning_rate(settings, 0) == pytest.approx(0.1)
    assert learning_rate(settings, 9) == pytest.approx(1.0)
    assert learning_rate(settings, 60) == pytest.approx(0.5)
    assert learning_rate(settings, 109) < 0.001


def test_other_groups_follow_their_rows_law():
    law = torch.tensor([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])
    rows = torch.arange(2).repeat(500)
    chosen = other_groups(law[rows], torch.rand(1000, generator=torch.Generator().manual_seed(0)))
    assert set(chosen[rows == 1].tolist()) == {0}
    share = (chosen[rows == 0] == 1).float().mean().item()
    assert 0.4 < share < 0.6
    assert 0 not in chosen[rows == 0]


def interrupted(cohort, base, quick, out, cut_short):
    cut_short(lambda: train(cohort, method=METHODS["sd"], base=base, out=out, settings=quick), 5)


def test_damaged_lines_of_a_log_are_dropped_with_a_warning(
    cohort, base, quick, tmp_path, cut_short, caplog
):
    interrupted(cohort, base, quick, tmp_path / "m", cut_short)
    log = tmp_path / "m" / "log.jsonl"
    log.write_bytes(b"garbage\n" + log.read_bytes() + b'\xff\xfe\n[2]\n{"step": "x"}\n')
    train(cohort, method=METHODS["sd"], base=base, out=tmp_path / "m", settings=quick)
    assert [r["step"] for r in lines(tmp_path / "m")] == [2, 4, 6]
    assert caplog.text.count("is damaged; dropped") == 4
    assert "log.jsonl: line 1 is damaged" in caplog.text


@pytest.mark.parametrize("text", ['{"format": 1}', '{"format": 1, "files": []}', "[]"])
def test_a_checkpoint_that_does_not_describe_itself_is_passed_over(
    text, cohort, base, quick, tmp_path, cut_short, caplog
):
    interrupted(cohort, base, quick, tmp_path / "m", cut_short)
    (tmp_path / "m" / "checkpoints" / "step-000004" / "state.json").write_text(text)
    train(cohort, method=METHODS["sd"], base=base, out=tmp_path / "m", settings=quick)
    assert "state.json" in caplog.text
    assert [r["step"] for r in lines(tmp_path / "m")] == [2, 4, 6]


def test_a_folder_of_other_things_is_not_trained_into(cohort, base, quick, tmp_path):
    (tmp_path / "a.png").write_bytes(b"mine")
    for out, named in ((cohort.root, "cohort.json"), (tmp_path, "a.png")):
        before = sorted(p.name for p in out.iterdir())
        with pytest.raises(CheckpointError, match=f"is no training .it holds '{named}'"):
            train(cohort, method=METHODS["sd"], base=base, out=out, settings=quick)
        assert sorted(p.name for p in out.iterdir()) == before


def test_a_damaged_manifest_is_not_trained_over(cohort, base, quick, tmp_path):
    (tmp_path / "manifest.json").write_text("not json")
    with pytest.raises(CheckpointError, match=r"manifest\.json: is damaged"):
        train(cohort, method=METHODS["sd"], base=base, out=tmp_path, settings=quick)


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_made(
    cohort, base, quick, tmp_path, monkeypatch
):
    monkeypatch.setattr(checks, "get_available_trackers", list)
    asked = quick.model_copy(update={"tracker": "wandb"})
    with pytest.raises(
        MissingExtra, match=r"tracker: wandb is not installed; .*'fairgen\[wandb\]'"
    ):
        train(cohort, method=METHODS["sd"], base=base, out=tmp_path / "m", settings=asked)
    assert not (tmp_path / "m").exists()


def test_settings_that_base_or_machine_cannot_serve_are_refused(
    cohort, base, quick, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for change, message in (
        ({"size": 30}, "size: 30; the base shrinks images by 4"),
        ({"mixed_precision": "fp16"}, "fp16 needs a GPU"),
    ):
        with pytest.raises(StudyError, match=message):
            train(cohort, method=METHODS["sd"], base=base, out=tmp_path / "m",
                  settings=quick.model_copy(update=change))  # fmt: skip
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_numbers_that_are_not_finite_are_refused(value):
    for settings, key in (
        (TrainSettings, "learning_rate"), (SampleSettings, "guidance"),
        (TinySettings, "colour_weight"), (ClassifySettings, "weight_decay"),
        (ExtractorSettings, "weight_decay"),
    ):  # fmt: skip
        with pytest.raises(ValidationError, match="finite"):
            settings.model_validate({key: value})


def test_a_ramp_and_rare_borrowing_reach_the_training(cohort, base, quick, tmp_path):
    settings = quick.model_copy(update={"steps": 4, "log_every": 1})
    parts = {}
    for name, change in (("none", {}), ("up", {"ramp": "up"}), ("down", {"ramp": "down"}),
                         ("rare", {"rare": True})):  # fmt: skip
        recipe = METHODS["fairgen"].model_copy(update={"diversity": Diversity(**change)})
        out = train(cohort, method=recipe, base=base, out=tmp_path / name, settings=settings)
        parts[name] = [row["parts"]["diversity"] for row in lines(out)]
    assert parts["up"][0] == 0 < parts["up"][1]
    assert parts["down"][0] == parts["none"][0]
    assert parts["down"][3] < parts["none"][3] / 2
    assert 0 < parts["rare"][0] < parts["none"][0]
