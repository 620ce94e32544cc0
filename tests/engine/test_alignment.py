"""Preference terms, reward readings and the reference network, inside real trainings."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fairgen.engine import probes
from fairgen.engine.latents import Encoding, encode_once
from fairgen.engine.pairs import Feedback
from fairgen.engine.prepare import prepare
from fairgen.engine.reward import RewardModel, RewardSettings, train_reward
from fairgen.engine.settings import TrainSettings
from fairgen.engine.train import train
from fairgen.engine.training import pair_batch, safeguarded
from fairgen.errors import CheckpointError, PreferenceError, StudyError
from fairgen.files.image import write_image
from fairgen.files.preferences import Preference, read_preferences, write_preferences
from fairgen.methods import Method
from fairgen.objectives import Alignment, preference_loss
from fairgen.objectives.objective import pair_logit

PAIRS = 48


def weights(out):
    return load_file(out / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors")


def lines(out):
    return [json.loads(t) for t in (out / "log.jsonl").read_text().splitlines()]


def differ(a, b):
    return any(not torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="session")
def reward(cohort, base, said, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("reward") / "reward"
    train_reward(
        read_preferences(said, cohort.prompts),
        folder=cohort,
        base=base,
        settings=RewardSettings(steps=30, widths=(8, 16), noise=0.0),
        out=out,
    )
    return out


def method(**alignment):
    return Method(name="sd", alignment=Alignment(**{"pairs": 4, "weight": 1.0, **alignment}))


@pytest.fixture
def run(cohort, base, quick, said, reward, tmp_path):
    def start(name, recipe, feedback=True, settings=quick, **change):
        return train(
            cohort,
            method=recipe,
            base=base,
            out=tmp_path / name,
            settings=settings.model_copy(update=change),
            feedback=Feedback(said, reward) if feedback else None,
        )

    return start


def test_each_reading_of_the_reward_is_a_training_of_its_own(run):
    found = {r: weights(run(r, method(reward=r))) for r in ("none", "margin", "offset", "x0")}
    names = list(found)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert differ(found[one], found[other]), (one, other)


@pytest.mark.parametrize("reading", ["margin", "x0"])
def test_a_constant_reward_and_its_negative_train_otherwise(reading, run, monkeypatch):
    true = RewardModel.score
    own = weights(run("own", method(reward=reading)))
    monkeypatch.setattr(RewardModel, "score", lambda self, x, g: 0 * true(self, x, g))
    constant = weights(run("constant", method(reward=reading)))
    monkeypatch.setattr(RewardModel, "score", lambda self, x, g: -true(self, x, g))
    negative = weights(run("negative", method(reward=reading)))
    assert differ(own, constant)
    assert differ(own, negative)
    assert differ(constant, negative)
    assert not differ(constant, weights(run("none", method(reward="none"))))


@pytest.mark.parametrize("lora", [None, 2])
def test_with_a_reference_the_loss_begins_at_ln_2(lora, run):
    out = run("dpo", method(variant="diffusion-dpo"), steps=1, log_every=1, lora_rank=lora)
    first = lines(out)[0]
    assert first["parts"]["preference"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["preference"]["implicit_accuracy"] == 0.5
    assert first["preference"]["winner_gap"] == first["preference"]["loser_gap"] == 0
    assert first["loss"] == pytest.approx(sum(first["parts"].values()), rel=1e-5)


@pytest.mark.parametrize(("lora", "rate"), [(None, 3e-4), (2, 1e-2)])
def test_against_a_reference_the_model_comes_to_favour_winners(lora, rate, run):
    recipe = method(variant="diffusion-dpo", winner_weight=0.0, beta=20.0)
    out = run("dpo", recipe, steps=24, log_every=8, probe_every=24, lora_rank=lora,
              learning_rate=rate)  # fmt: skip
    last = lines(out)[-1]
    assert last["preference"]["implicit_accuracy"] > 0.6
    assert last["parts"]["preference"] < math.log(2)
    assert last["preference"]["loser_gap"] > last["preference"]["winner_gap"]


def test_without_preferences_the_term_is_left_out_and_the_manifest_says_so(run):
    out = run("m", method(), feedback=False)
    assert set(lines(out)[0]["parts"]) == {"denoising"}
    assert json.loads((out / "manifest.json").read_text())["preferences"] == "none"


def test_the_manifest_tells_source_number_and_strength(run, said):
    manifest = json.loads((run("m", method()) / "manifest.json").read_text())
    assert manifest["preferences"] == "file"
    assert manifest["pairs"] == PAIRS
    assert manifest["error_weight"] > 1
    assert manifest["reward_digest"] is None


def test_lambda_gives_the_difference_of_errors_unit_spread(cohort, base, quick, said, tmp_path):
    training = probes.calibrated(
        prepare(
            cohort, method=method(), base=base, settings=quick,
            feedback=Feedback(said), seed=0, out=tmp_path,
        )
    )  # fmt: skip
    winner, loser = probes.pair_errors(training, 256)
    assert (training.bank.error_weight * (winner - loser)).std().item() == pytest.approx(1)


def test_fixed_pairs_have_no_gap_before_the_first_step(cohort, base, quick, said, tmp_path):
    training = probes.calibrated(
        prepare(
            cohort, method=method(), base=base, settings=quick,
            feedback=Feedback(said), seed=0, out=tmp_path,
        )
    )  # fmt: skip
    assert probes.probe_pairs(training) == pytest.approx(
        {"winner_gap": 0.0, "loser_gap": 0.0}, abs=1e-7
    )


@pytest.mark.parametrize("change", [{"reward": "x0"}, {"variant": "diffusion-dpo"}])
def test_a_training_with_preferences_resumes_to_the_same_weights(change, run, cut_short):
    """The resumed reference is the network before the first step, and so is lambda's."""
    recipe = method(**change)
    whole = run("whole", recipe)
    cut_short(lambda: run("cut", recipe), 3)
    again = run("cut", recipe)
    assert not differ(weights(whole), weights(again))
    speedless = [
        [{k: v for k, v in row.items() if k != "images_per_second"} for row in lines(out)]
        for out in (whole, again)
    ]
    assert speedless[0] == speedless[1]


def test_shared_noise_is_a_choice_that_matters(run):
    assert differ(
        weights(run("shared", method(shared_noise=True))),
        weights(run("apart", method(shared_noise=False))),
    )


def test_other_preferences_are_another_training(run, cohort, said):
    recipe = method()
    out = run("m", recipe)
    pairs = read_preferences(said, cohort.prompts)
    write_preferences(said.parent / "fewer.jsonl", pairs[:-1])
    with pytest.raises(CheckpointError, match="other settings"):
        train(
            cohort, method=recipe, base=json.loads((out / "manifest.json").read_text())["base"],
            out=out, settings=TrainSettings.model_validate(
                json.loads((out / "manifest.json").read_text())["settings"]
            ), feedback=Feedback(said.parent / "fewer.jsonl"),
        )  # fmt: skip


def test_preferences_and_methods_that_do_not_fit_are_refused(cohort, base, quick, said, tmp_path):
    cases = (
        (Method(name="sd"), Feedback(said), "method sd: uses no preferences"),
        (method(reward="x0"), Feedback(said), "alignment.reward is x0, yet no reward"),
        (
            method(variant="diffusion-dpo", reward="margin"),
            Feedback(said, tmp_path),
            "alignment.reward: margin; diffusion-dpo takes none",
        ),
    )
    for recipe, feedback, message in cases:
        with pytest.raises(StudyError, match=message):
            train(cohort, method=recipe, base=base, out=tmp_path / "m", settings=quick,
                  feedback=feedback)  # fmt: skip
    broken = tmp_path / "broken.jsonl"
    broken.write_text("[]\n")
    with pytest.raises(PreferenceError, match=r"broken\.jsonl"):
        train(cohort, method=method(), base=base, out=tmp_path / "m", settings=quick,
              feedback=Feedback(broken))  # fmt: skip
    assert not (tmp_path / "m").exists()


def test_images_of_the_validation_and_test_split_reach_no_training(
    cohort, base, quick, said, tmp_path
):
    pairs = read_preferences(said, cohort.prompts)
    for split in ("valid", "test"):
        record = next(r for r in cohort.cohort.records if r.split == split)
        image = said.parent / f"{split}.png"
        image.write_bytes(cohort.path(record).read_bytes())
        poisoned = said.parent / f"{split}.jsonl"
        write_preferences(poisoned, [*pairs, replace(pairs[0], loser=image)])
        with pytest.raises(PreferenceError, match=f"{split}.png: is .* of split '{split}'"):
            train(cohort, method=method(), base=base, out=tmp_path / "m", settings=quick,
                  feedback=Feedback(poisoned))  # fmt: skip
    assert not (tmp_path / "m").exists()


def test_a_reward_of_another_autoencoder_is_refused(cohort, quick, said, reward, tmp_path):
    with pytest.raises(StudyError, match="another autoencoder than the base's"):
        train(cohort, method=method(reward="margin"), base="tiny", out=tmp_path / "m",
              settings=quick.model_copy(update={"size": 32}),
              feedback=Feedback(said, reward))  # fmt: skip


def test_the_safeguards_step_never_raises_the_winners_errors(cohort, quick, tmp_path):
    """Along the exact gradient of all weights of the base that ships with the package.

    The losers are nearly the winners, but of more contrast: their gradients are alike and larger.
    """
    rng, groups, pairs = np.random.default_rng(0), cohort.cohort.schema.groups(), []
    for i in range(24):
        shape = rng.normal(size=(8, 8, 3)).repeat(8, 0).repeat(8, 1)
        images = [tmp_path / f"{i}{name}.png" for name in "wl"]
        for image, contrast in zip(images, (20, 60), strict=True):
            write_image(image, (128 + contrast * shape).clip(0, 255).astype(np.uint8))
        group = groups[i % len(groups)]
        pairs.append(Preference(group, cohort.prompts.render(group), *images))
    write_preferences(tmp_path / "p.jsonl", pairs)
    changes = {}
    for safe in (False, True):
        recipe = method(safeguard=safe, winner_weight=0.0, beta=5.0)
        training = probes.calibrated(
            prepare(cohort, method=recipe, base="tiny", settings=quick, seed=0, out=tmp_path,
                    feedback=Feedback(tmp_path / "p.jsonl"))
        )  # fmt: skip
        changes[safe] = [along(training, number) for number in range(8)]
    assert min(changes[True]) >= -1e-5 * max(map(abs, changes[False]))
    assert min(changes[False]) < 0


def along(training, number):
    """Return how fast the winners' weighted errors fall along the preference term's step."""
    draw = training.draws.draw_pairs(number, 4, len(training.bank), shared_noise=True)
    pairs = safeguarded(training, pair_batch(training, draw))
    logit = pair_logit(training.method.alignment, pairs)
    share = torch.sigmoid(-logit).detach()
    losses = preference_loss(logit).sum(), (share * pairs.errors[0]).sum()
    step, winner = (
        torch.cat(
            [
                g.flatten()
                for g in torch.autograd.grad(
                    loss, training.parameters, retain_graph=True, allow_unused=True
                )
                if g is not None
            ]
        )
        for loss in losses
    )
    return (step.double() @ winner.double()).item()


@pytest.fixture
def bank(cohort, base, quick, said, reward, tmp_path):
    def start(reading):
        return prepare(
            cohort, method=method(reward=reading), base=base, settings=quick,
            feedback=Feedback(said, reward), seed=0, out=tmp_path,
        )  # fmt: skip

    return start


def test_winners_and_losers_are_the_files_own(bank, cohort, said):
    training = bank("none")
    latents = training.bank.cache.means()
    winners = [p.winner for p in read_preferences(said, cohort.prompts)]
    how = Encoding(32, False, torch.device("cpu"))
    own = encode_once(training.backbone.vae, winners, how).means()
    torch.testing.assert_close(latents[training.bank.images[0]], own)
    assert not torch.allclose(latents[training.bank.images[1]], own)
    groups = [p.group for p in read_preferences(said, cohort.prompts)]
    known = cohort.cohort.schema.groups()
    assert [known[i] for i in training.bank.groups] == groups


def test_the_given_images_rewards_enter_with_their_signs(bank):
    """Margin is the winner's reward less the loser's, offset its negative."""
    found = {}
    for reading in ("none", "margin", "offset"):
        training = bank(reading)
        draw = training.draws.draw_pairs(0, 8, PAIRS, shared_noise=True)
        found[reading] = pair_batch(training, draw).margin
        rewards = training.bank.rewards
    assert found["none"] == 0.0
    torch.testing.assert_close(found["margin"], (rewards[0] - rewards[1])[draw.rows])
    torch.testing.assert_close(found["offset"], -found["margin"])
    assert (rewards[0] > rewards[1]).float().mean() > 0.6  # the brighter image was preferred


def test_under_x0_the_predicted_clean_latents_are_rewarded(bank, monkeypatch):
    def brightness(_model, latents, _groups):
        return latents.mean(dim=(1, 2, 3))

    training = bank("x0")
    draw = training.draws.draw_pairs(0, 8, PAIRS, shared_noise=True)
    monkeypatch.setattr(RewardModel, "score", brightness)
    pairs = pair_batch(training, draw)
    said, t = torch.cat([pairs.winner, pairs.loser]), draw.t.repeat(2)
    clean = training.schedule.clean(said, noised_of(training, draw), t)
    winner, loser = brightness(None, clean, None).chunk(2)
    torch.testing.assert_close(pairs.margin, winner - loser)
    assert pairs.margin.requires_grad


def noised_of(training, draw):
    own = training.bank
    clean = torch.cat(
        [own.cache.sample(own.images[i][draw.rows], draw.posterior[i], draw.flipped)
         for i in range(2)]
    )  # fmt: skip
    return training.schedule.add_noise(clean, torch.cat([*draw.noise]), draw.t.repeat(2))
