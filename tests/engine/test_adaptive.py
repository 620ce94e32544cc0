"""Gradient-aware draws and FairDiffusion's perturbation inside real trainings."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import binom, spearmanr

from fairgen.diffusion.schedule import Schedule
from fairgen.engine import loop
from fairgen.engine.adaptive import Tap
from fairgen.engine.backbone import embed, load_backbone
from fairgen.engine.latents import pixels, scaling
from fairgen.engine.prepare import prepare
from fairgen.engine.tiny import tiny_backbone
from fairgen.engine.train import train
from fairgen.methods import METHODS, Method
from fairgen.objectives import Awareness, Diversity, Perturbation
from fairgen.objectives.gradient_norm import last_layer_norm
from fairgen.phantoms import PHANTOMS


def weights(out):
    return load_file(out / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors")


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


def lines(out):
    return [json.loads(t) for t in (out / "log.jsonl").read_text().splitlines()]


def aware(alpha=1.0, resampler="sqrs"):
    return Method(name="x", resampler=resampler, awareness=Awareness(alpha=alpha, window=10))


def exact_norms(unet, noised, t, told, target):
    """Return each sample's gradient norm over all weights, by torch.func."""
    parameters = {k: v.detach() for k, v in unet.named_parameters()}

    def loss(weights, z, step, text, wanted):
        said = torch.func.functional_call(
            unet, weights, (z[None], step[None], text[None]), {"return_dict": False}
        )[0]
        return (said - wanted[None]).square().mean()

    slope = torch.func.grad(loss)
    return [
        torch.cat([g.flatten() for g in slope(parameters, *row).values()]).norm().item()
        for row in zip(noised, t, told, target, strict=True)
    ]


def test_the_last_layers_norm_ranks_samples_as_their_exact_gradients_do():
    """On the base that ships with the package and phantoms, within each noise step and over all."""
    backbone, phantom, n = load_backbone("tiny"), PHANTOMS["skin"], 32
    chosen = phantom.specimens(n, 3)
    images = np.stack([phantom.render(s, 64) for s in chosen])
    with torch.no_grad():
        clean = backbone.vae.encode(pixels(images)).latent_dist.mean * scaling(backbone.vae)
    schedule = Schedule(backbone.scheduler.alphas_cumprod, "v_prediction")
    noise = torch.randn_like(clean)
    told = embed(backbone, [f"{s.group.key}" for s in chosen])
    tap, found = Tap(backbone.unet), {}
    for mark in (200, 500, 800):
        t = torch.full((n,), mark)
        noised, target = (f(clean, noise, t) for f in (schedule.add_noise, schedule.target))
        tap.arm()
        with torch.no_grad():
            said = backbone.unet(noised, t, told).sample
        cheap = last_layer_norm(tap.read(), said, target).tolist()
        found[mark] = cheap, exact_norms(backbone.unet, noised, t, told, target)
        assert spearmanr(*found[mark]).statistic > 0.6, mark
    cheap, exact = np.concatenate([np.array(pair) for pair in found.values()], axis=1)
    assert spearmanr(cheap, exact).statistic > 0.8


def test_at_alpha_zero_draws_and_weights_are_the_plain_schemes(cohort, base, quick, tmp_path):
    plain = train(cohort, method=METHODS["sqrs"], base=base, out=tmp_path / "a", settings=quick)
    zero = train(cohort, method=aware(0.0), base=base, out=tmp_path / "b", settings=quick)
    assert [r["draws"] for r in lines(plain)] == [r["draws"] for r in lines(zero)]
    assert same(weights(plain), weights(zero))


@pytest.mark.parametrize(
    "change",
    [{}, {"batch_size": 2, "accumulation": 2}, {"gradient_checkpointing": True},
     {"mixed_precision": "bf16"}, {"lora_rank": 2}, {"min_snr_gamma": 5.0}],
    ids=lambda c: "-".join(c) or "plain",
)  # fmt: skip
def test_difficulty_is_measured_however_a_step_is_computed(change, cohort, base, quick, tmp_path):
    settings = quick.model_copy(update=change)
    out = train(cohort, method=aware(), base=base, out=tmp_path / "m", settings=settings)
    usual = train(cohort, method=aware(), base=base, out=tmp_path / "u", settings=quick)
    first, other = lines(out)[0]["hardness"], lines(usual)[0]["hardness"]
    assert any(v != 1 for v in first.values())
    assert first == pytest.approx(other, abs=0.05)


def test_a_planted_harder_group_is_drawn_as_the_weights_say(
    cohort, base, quick, tmp_path, monkeypatch
):
    """Images of one group get a target that cannot be predicted; all groups count alike."""
    schema = cohort.cohort.schema
    hard = schema.groups()[3]
    predictable = Schedule.target
    seen = {}

    def spoiled(self, clean, noise, t):
        target = predictable(self, clean, noise, t)
        drawn = seen["groups"] == 3
        return torch.where(drawn[:, None, None, None], 4 * target, target)

    forward = loop._forward

    def watched(training, draw, step, place):
        seen["groups"] = training.rows.groups[draw.rows]
        return forward(training, draw, step, place)

    monkeypatch.setattr(loop, "_forward", watched)
    monkeypatch.setattr(Schedule, "target", spoiled)
    settings = quick.model_copy(
        update={"steps": 60, "log_every": 10, "probe_every": 0, "checkpoint_every": 0}
    )
    out = train(cohort, method=aware(resampler="cbrs"), base=base, out=tmp_path / "m",
                settings=settings)  # fmt: skip
    log = lines(out)
    found = log[-1]["hardness"]
    assert found[hard.key] > 1.3 > max(v for k, v in found.items() if k != hard.key)
    share = (1 + found[hard.key]) / sum(1 + v for v in found.values())
    assert log[-1]["expected_draws"][hard.key] / 40 == pytest.approx(share, abs=0.03)
    drawn = sum(row["draws"][hard.key] for row in log)
    expected = sum(row["expected_draws"][hard.key] for row in log)
    low, high = binom.interval(0.9999, 240, expected / 240)
    assert low <= drawn <= high
    assert expected > 240 / 4 * 1.1


@pytest.mark.parametrize(
    "recipe",
    [aware(), Method(name="x", perturbation=Perturbation(window=2)),
     Method(name="x", perturbation=Perturbation(window=2, mode="repaired"))],
    ids=["aware", "faithful", "repaired"],
)  # fmt: skip
def test_what_was_learnt_about_groups_survives_an_interruption(
    recipe, cohort, base, quick, tmp_path, cut_short
):
    settings = quick.model_copy(update={"steps": 8, "checkpoint_every": 3})
    whole = train(cohort, method=recipe, base=base, out=tmp_path / "a", settings=settings)
    cut_short(
        lambda: train(cohort, method=recipe, base=base, out=tmp_path / "b", settings=settings), 4
    )
    again = train(cohort, method=recipe, base=base, out=tmp_path / "b", settings=settings)
    assert same(weights(whole), weights(again))
    assert [r["draws"] for r in lines(whole)] == [r["draws"] for r in lines(again)]


def test_perturbed_weights_change_the_training_and_nothing_else(cohort, base, quick, tmp_path):
    method = METHODS["fairdiffusion"]
    plain = train(cohort, method=METHODS["sd"], base=base, out=tmp_path / "a", settings=quick)
    moved = train(cohort, method=method, base=base, out=tmp_path / "b", settings=quick)
    mended = train(
        cohort, method=method.model_copy(update={"perturbation": Perturbation(mode="repaired")}),
        base=base, out=tmp_path / "c", settings=quick,
    )  # fmt: skip
    assert [r["draws"] for r in lines(plain)] == [r["draws"] for r in lines(moved)]
    assert not same(weights(plain), weights(moved))
    assert not same(weights(moved), weights(mended))


def test_dropped_captions_do_not_count(cohort, base, quick, tmp_path):
    settings = quick.model_copy(update={"caption_dropout": 1.0})
    out = train(cohort, method=aware(), base=base, out=tmp_path / "m", settings=settings)
    assert set(lines(out)[-1]["hardness"].values()) == {1.0}


def test_the_tap_keeps_only_the_pass_it_was_armed_for():
    backbone = tiny_backbone(size=32)
    told = embed(backbone, [""])
    tap = Tap(backbone.unet)
    z = torch.randn(1, 4, 8, 8)
    with pytest.raises(RuntimeError, match="was not run"):
        tap.read()
    with torch.no_grad():
        tap.arm()
        backbone.unet(z, torch.tensor([5]), told)
        backbone.unet(z + 1, torch.tensor([5]), told)
    kept = tap.read()
    with torch.no_grad():
        tap.arm()
        backbone.unet(z, torch.tensor([5]), told)
    assert np.allclose(kept.numpy(), tap.read().numpy())


def test_norms_are_those_under_the_own_prompt_whether_both_prompts_are_one_pass(
    cohort, base, quick, tmp_path
):
    told = {}
    for gamma in (0.0, 0.25):
        method = aware(1.0).model_copy(update={"diversity": Diversity(gamma=gamma)})
        training = prepare(cohort, method=method, base=base, settings=quick, seed=0, out=tmp_path)
        draw = training.draws.draw(0, 16, training.rows.weights)
        seen = loop._forward(training, draw, 0, 0)
        (told[gamma],) = loop._norms(training, draw, seen)
    assert told[0.0][0].sum() > 0
    torch.testing.assert_close(told[0.0], told[0.25], rtol=1e-5, atol=0)
