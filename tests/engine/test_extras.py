"""What users expect of a fine-tuning: adapters, v-prediction, Min-SNR, noise offset, export."""

import json
import logging
import shutil
from importlib.util import find_spec

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file

from fairgen.engine.average import Average
from fairgen.engine.export import export_pipeline
from fairgen.engine.generate import open_generator
from fairgen.engine.optimizer import expected_tensors
from fairgen.engine.settings import TrainSettings
from fairgen.engine.train import train
from fairgen.errors import CheckpointError, MissingExtra, StudyError
from fairgen.methods import METHODS

UNET = "unet/diffusion_pytorch_model.safetensors"


def unet(folder):
    return load_file(folder / UNET)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def lines(out):
    return [json.loads(t) for t in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def run(cohort, base, quick, tmp_path):
    def start(name="m", method="sd", **change):
        return train(cohort, method=METHODS[method], base=base, out=tmp_path / name,
                     settings=quick.model_copy(update=change))  # fmt: skip

    return start


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_adapters_that_diffusers_loads(method, run, base, tmp_path):
    out = run(method=method, lora_rank=2, learning_rate=1e-2)
    before, after = load_file(f"{base}/{UNET}"), unet(out / "pipeline")
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed
    assert all("attn" in k and k.endswith("weight") for k in changed)
    assert set(before) == set(after)
    assert (out / "lora" / "pytorch_lora_weights.safetensors").stat().st_size < 200_000
    pipeline = StableDiffusionPipeline.from_pretrained(base)
    pipeline.load_lora_weights(out / "lora")
    pipeline.fuse_lora()
    own = {k.replace("base_layer.", ""): v for k, v in pipeline.unet.state_dict().items()}
    for key in changed:
        torch.testing.assert_close(own[key], after[key])


def test_adapters_change_nothing_before_the_first_step(run, base):
    out = run(lora_rank=2, steps=1, learning_rate=1e-12)
    before, after = load_file(f"{base}/{UNET}"), unet(out / "pipeline")
    for key in before:
        torch.testing.assert_close(before[key], after[key])


def test_adapters_resume_to_the_same_weights(run, cut_short):
    whole = run("whole", lora_rank=2)
    cut_short(lambda: run("cut", lora_rank=2), 3)
    again = run("cut", lora_rank=2)
    assert same(unet(whole / "pipeline"), unet(again / "pipeline"))


def test_settings_that_cannot_be_are_refused(run):
    with pytest.raises(StudyError, match="lora_targets: nothing; expected names"):
        run(lora_rank=2, lora_targets=("nothing",))
    with pytest.raises(StudyError, match="expected train_text_encoder=false"):
        run(lora_rank=2, train_text_encoder=True)
    with pytest.raises(StudyError, match="expected channels_last=false"):
        run(compile=True, channels_last=True)


def test_the_prediction_type_can_be_chosen_and_is_saved(run):
    found = {}
    for kind in ("epsilon", "v_prediction"):
        out = run(kind, prediction=kind)
        config = json.loads((out / "pipeline" / "scheduler" / "scheduler_config.json").read_text())
        assert config["prediction_type"] == kind
        found[kind] = unet(out / "pipeline")
    assert not same(*found.values())


@pytest.mark.parametrize("change", [{"min_snr_gamma": 5.0}, {"noise_offset": 0.1}])
def test_weighting_and_offset_change_the_training_and_no_draw(change, run):
    plain, other = run("plain"), run("other", **change)
    assert [r["draws"] for r in lines(plain)] == [r["draws"] for r in lines(other)]
    assert not same(unet(plain / "pipeline"), unet(other / "pipeline"))
    assert lines(plain)[0]["loss"] != lines(other)[0]["loss"]


@pytest.mark.parametrize("rank", [None, 2])
def test_the_averaged_or_the_last_weights_are_exported(rank, run, tmp_path):
    out = run(lora_rank=rank, learning_rate=1e-2, ema_decay=0.5)
    ema = export_pipeline(out, tmp_path / "ema", weights="ema")
    last = export_pipeline(out, tmp_path / "last", weights="last")
    assert same(unet(ema), unet(out / "pipeline"))
    assert not same(unet(ema), unet(last))
    assert (tmp_path / "last" / "lora").is_dir() == (rank is not None)
    StableDiffusionPipeline.from_pretrained(last)
    assert json.loads((tmp_path / "last" / "export.json").read_text())["weights"] == "last"


def test_an_export_that_cannot_be_done_is_refused(run, tmp_path):
    out = run()
    with pytest.raises(StudyError, match="--weights best: unknown; expected one of ema, last"):
        export_pipeline(out, tmp_path / "x", weights="best")
    shutil.rmtree(out / "checkpoints")
    with pytest.raises(CheckpointError, match="holds no checkpoint of step 6, the last"):
        export_pipeline(out, tmp_path / "x")
    with pytest.raises(CheckpointError, match=r"no manifest\.json"):
        export_pipeline(tmp_path, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert open_generator(out)


@pytest.mark.parametrize("change", [{"optimizer": "adamw-plain"}, {"channels_last": True}])
def test_how_the_same_is_computed_changes_nothing_but_rounding(change, run):
    usual, other = (unet(run(name, **own) / "pipeline") for name, own in (("a", {}), ("b", change)))
    for key, values in usual.items():
        torch.testing.assert_close(values, other[key], rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("change", [{}, {"channels_last": True}, {"optimizer": "adamw-plain"}])
def test_without_averages_the_last_weights_are_saved_and_a_resume_finds_them(
    change, run, cut_short
):
    change = {"ema": False, **change}
    whole = run("whole", **change)
    state = load_file(whole / "checkpoints" / "step-000006" / "model.safetensors")
    saved = unet(whole / "pipeline")
    assert all(torch.equal(saved[k.removeprefix("unet.")], v) for k, v in state.items())
    cut_short(lambda: run("cut", **change), after=3)
    assert same(saved, unet(run("cut", **change) / "pipeline"))
    assert not same(saved, unet(run("averaged", **{**change, "ema": True}) / "pipeline"))


def test_moments_in_eight_bits_are_taken_up_to_the_last_bit(run, cut_short, caplog):
    pytest.importorskip("bitsandbytes")
    eight = {"optimizer": "adamw-8bit", "ema": False}
    whole, name = run("whole", **eight), "checkpoints/step-000006/optimizer.safetensors"
    moments = load_file(whole / name)
    assert {v.dtype for k, v in moments.items() if "state" in k} == {torch.uint8, torch.float32}
    cut_short(lambda: run("cut", **eight), after=4)
    with caplog.at_level(logging.INFO, "fairgen"):
        again = run("cut", **eight)
    assert "resuming at step 4" in caplog.text
    assert same(unet(whole / "pipeline"), unet(again / "pipeline"))
    found = load_file(again / name)
    assert same(moments, found)
    assert {k: v.dtype for k, v in moments.items()} == {k: v.dtype for k, v in found.items()}
    assert not same(unet(whole / "pipeline"), unet(run("usual", ema=False) / "pipeline"))


def test_large_weights_have_a_scale_for_every_256_of_their_moments_in_eight_bits():
    weights = [torch.nn.Parameter(torch.zeros(n)) for n in (4095, 4097)]
    wanted = expected_tensors(weights, TrainSettings(optimizer="adamw-8bit"))
    small, large = (
        {k[2:]: len(v) for k, v in wanted.items() if k[0] == p and v.ndim} for p in "01"
    )
    assert small == {"state1": 4095, "state2": 4095}
    scales = {"qmap1": 256, "qmap2": 256, "absmax1": 17, "absmax2": 17}
    assert large == {"state1": 4097, "state2": 4097, **scales}


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is there")
def test_an_optimizer_that_is_not_installed_is_refused_before_work_begins(run):
    with pytest.raises(MissingExtra, match="adamw-8bit needs bitsandbytes"):
        run(optimizer="adamw-8bit")


def test_averages_are_those_of_diffusers_up_to_rounding():
    weights = [torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(7))]
    own, theirs = Average(weights, decay=0.99), EMAModel(weights, decay=0.99)
    for _ in range(20):
        for weight in weights:
            weight.data.add_(torch.randn_like(weight))
        own.step(weights)
        theirs.step(weights)
    assert own.optimization_step == theirs.optimization_step == 20
    assert own.cur_decay_value == theirs.cur_decay_value
    for one, two in zip(own.shadow_params, theirs.shadow_params, strict=True):
        assert torch.allclose(one, two, atol=1e-6)
