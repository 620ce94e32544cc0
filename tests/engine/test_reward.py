import json
import logging
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTModel

from fairgen.cli_reward import reward
from fairgen.cohort.schema import Attribute, Schema
from fairgen.engine.backbone import load_backbone
from fairgen.engine.latents import Encoding, encode_once
from fairgen.engine.reward import RewardSettings, load_reward, train_reward
from fairgen.engine.reward_model import group_levels
from fairgen.engine.reward_pairs import Pair, divide_pairs, units
from fairgen.engine.weights import vae_digest
from fairgen.errors import CheckpointError, CohortError, PreferenceError, StudyError
from fairgen.files.digest import file_digest
from fairgen.files.image import write_image
from fairgen.files.preferences import Preference, write_preferences

QUICK = RewardSettings(size=32, widths=(16, 16), steps=60, batch_size=16, evaluations=6, noise=0.05)
SHORT = QUICK.model_copy(update={"steps": 2, "evaluations": 1})
SCHEMA = Schema((Attribute("tone", ("light", "dark")),), Attribute("disease", ("eczema", "naevus")))
GROUPS = SCHEMA.groups()


def picture(level, seed):
    random = np.random.default_rng(seed)
    return (level + random.normal(0, 12, (32, 32, 3))).clip(0, 255).astype(np.uint8)


def preferences(root, n=100, *, wrong=0.0, groups=GROUPS, seed=0):
    """Return pairs of which the brighter picture is preferred, but for a share of them."""
    random, found = np.random.default_rng(seed), []
    for i in range(n):
        paths = [root / f"{i:04d}{side}.png" for side in "ab"]
        levels = sorted(random.choice(np.arange(60, 200, 10), 2, replace=False), reverse=True)
        for path, level in zip(paths, levels, strict=True):
            write_image(path, picture(level, random.integers(2**31)))
        winner, loser = paths if random.uniform() >= wrong else paths[::-1]
        found.append(Preference(groups[i % len(groups)], "", winner, loser))
    return tuple(found)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return preferences(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def trained(pairs, cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("reward") / "reward"
    return train_reward(pairs, folder=cohort, base="tiny", settings=QUICK, out=out), out


@pytest.fixture(scope="module")
def latents(cohort):
    """Return scaled latents and groups of the cohort's own pictures."""
    paths = [cohort.path(r) for r in cohort.cohort.records]
    cache = encode_once(load_backbone("tiny").vae, paths, Encoding(32, False, torch.device("cpu")))
    groups = torch.tensor([GROUPS.index(r.group) for r in cohort.cohort.records])
    return cache.means(), groups


def shown(pairs):
    """Return the pairs by their images' contents."""
    return tuple(Pair(p.group, file_digest(p.winner), file_digest(p.loser)) for p in pairs)


def images_of(part):
    return {image for p in part for image in (p.winner, p.loser)}


def test_a_planted_preference_is_learned_on_pairs_not_seen(trained):
    found = trained[0].card.accuracy
    assert found.value > 0.8
    assert found.low <= found.value <= found.high
    assert found.n == sum(trained[0].card.pairs["held_out"].values()) == 20


def test_a_brighter_picture_of_a_group_scores_higher(trained, latents):
    z, groups = latents
    levels = z.new_tensor([60, 180])[(groups < 2).long()]  # as tests/engine/conftest.py paints
    as_first = torch.zeros_like(groups)
    scores = trained[0].score(z, as_first)
    assert scores[levels == 180].min() > scores[levels == 60].max()


def test_scores_are_standardised_over_the_training_images(trained, pairs):
    card = trained[0].card
    parts, _ = divide_pairs(shown(pairs), QUICK, seed=0)
    files = {file_digest(path): path for p in pairs for path in (p.winner, p.loser)}
    rows = [(files[i], p.group) for p in parts[0] for i in (p.winner, p.loser)]
    scores = score_files(trained[0], rows)
    groups = np.array([GROUPS.index(g) for _, g in rows])
    for group in range(4):
        assert scores[groups == group].mean() == pytest.approx(0, abs=1e-4)
    assert scores.std() == pytest.approx(1, abs=1e-4)
    assert set(card.mean) == set(card.groups) == {g.key for g in GROUPS}


def score_files(model, rows, base="tiny"):
    from fairgen.engine.latents import pixels
    from fairgen.files.image import read_image

    vae = load_backbone(base).vae
    images = np.stack([read_image(path, size=32) for path, _ in rows])
    with torch.no_grad():
        z = vae.encode(pixels(images)).latent_dist.mean * vae.config.scaling_factor
    return model.score(z, torch.tensor([GROUPS.index(g) for _, g in rows])).numpy()


def test_the_held_out_figures_are_those_of_the_held_out_pairs(trained, pairs):
    model, card = trained[0], trained[0].card
    _, _, held_out = divide_pairs(shown(pairs), QUICK, seed=0)[0]
    files = {file_digest(path): path for p in pairs for path in (p.winner, p.loser)}
    winner, loser = (
        torch.from_numpy(score_files(model, [(files[getattr(p, side)], p.group) for p in held_out]))
        for side in ("winner", "loser")
    )
    assert card.accuracy.value == pytest.approx((winner > loser).double().mean().item())
    said = model.probability(winner, loser)
    assert card.after.brier == pytest.approx((1 - said).square().mean().item(), abs=1e-4)
    assert ((said > 0.5) == (winner > loser)).all()
    assert sum(f.n for f in card.by_subgroup.values()) == card.accuracy.n
    assert list(card.by_subgroup) == ["light", "dark"]
    assert sum(b.n for b in card.reliability) == card.accuracy.n


def test_raters_who_are_often_wrong_lower_the_accuracy_and_probabilities_say_so(cohort, tmp_path):
    said = preferences(tmp_path, 300, wrong=0.3, seed=2)
    settings = QUICK.model_copy(update={"held_out": 0.4})
    card = train_reward(
        said, folder=cohort, base="tiny", settings=settings, out=tmp_path / "out"
    ).card
    assert card.accuracy.value == pytest.approx(0.7, abs=0.1)
    assert card.after.brier == pytest.approx(0.7 * 0.3, abs=0.03)
    sure = sum(b.n * b.said for b in card.reliability) / card.accuracy.n
    assert sure == pytest.approx(card.accuracy.value, abs=0.08)
    assert card.after.ece < 0.12


def test_a_preference_for_sharp_pictures_is_learned_although_latents_are_blurred(cohort, tmp_path):
    found, random = [], np.random.default_rng(0)
    for i in range(100):
        paths = [tmp_path / f"{i}{name}.png" for name in ("sharp", "soft")]
        for path, spread in zip(paths, (25, 5), strict=True):
            noisy = random.integers(80, 180) + random.normal(0, spread, (32, 32, 3))
            write_image(path, noisy.clip(0, 255).astype(np.uint8))
        found.append(Preference(GROUPS[i % 4], "", *paths))
    model = train_reward(found, folder=cohort, base="tiny", settings=QUICK, out=tmp_path / "out")
    assert QUICK.blur == 1.0
    assert model.card.accuracy.value > 0.8


def test_scores_can_be_differentiated_with_respect_to_latents(trained, latents):
    z = latents[0][:3].clone().requires_grad_()
    (slope,) = torch.autograd.grad(trained[0].score(z, latents[1][:3]).sum(), z)
    assert slope.isfinite().all()
    assert (slope.flatten(1).norm(dim=1) > 1e-4).all()
    assert not any(p.requires_grad for p in trained[0].network.parameters())


def test_a_score_does_not_depend_on_the_company(trained, latents):
    z, groups = latents[0][:6], latents[1][:6]
    together = trained[0].score(z, groups)
    alone = torch.cat([trained[0].score(z[i : i + 1], groups[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_scores_are_computed_in_single_precision(trained, latents):
    z, groups = latents[0][:2], latents[1][:2]
    with torch.autocast("cpu", torch.bfloat16):
        found = trained[0].score(z.bfloat16(), groups)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, trained[0].score(z.bfloat16().float(), groups))


def test_latents_of_another_size_are_refused(trained):
    with pytest.raises(StudyError, match=r"shape \(4, 16, 16\); .* trained on \(4, 8, 8\)"):
        trained[0].score(torch.zeros(1, 4, 16, 16), torch.zeros(1, dtype=torch.long))


def test_a_saved_model_gives_the_same_scores(trained, latents):
    loaded = load_reward(trained[1])
    assert loaded.card == trained[0].card
    assert torch.equal(loaded.score(*latents), trained[0].score(*latents))
    assert not loaded.network.training


def test_the_card_says_what_the_model_is(trained, pairs):
    card = json.loads((trained[1] / "reward.json").read_text())
    assert (card["format"], card["space"], card["shape"]) == (1, "latent", [4, 8, 8])
    vae = load_backbone("tiny").vae
    assert (card["scaling"], card["vae"]) == (vae.config.scaling_factor, vae_digest(vae))
    assert {part: sum(n.values()) for part, n in card["pairs"].items()} == {
        "train": 64, "valid": 16, "held_out": 20,
    }  # fmt: skip
    assert 1 <= card["best_step"] <= QUICK.steps
    assert card["valid_loss"] < np.log(2)
    assert card["settings"]["steps"] == QUICK.steps


def test_repeating_a_training_loads_it_and_other_content_is_refused(
    trained, pairs, cohort, tmp_path
):
    out, how = trained[1], {"folder": cohort, "base": "tiny"}
    before = (out / "reward.json").stat().st_mtime_ns
    assert train_reward(pairs, settings=QUICK, out=out, **how).card == trained[0].card
    assert (out / "reward.json").stat().st_mtime_ns == before
    swapped = (replace(pairs[0], winner=pairs[0].loser, loser=pairs[0].winner), *pairs[1:])
    for said, settings, seed in ((pairs, SHORT, 0), (pairs, QUICK, 1), (swapped, QUICK, 0)):
        with pytest.raises(CheckpointError, match="reward model of other settings or pairs"):
            train_reward(said, settings=settings, out=out, seed=seed, **how)
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(StudyError, match="exists and is not empty"):
        train_reward(pairs, settings=QUICK, out=tmp_path, **how)


def test_the_same_seed_trains_the_same_network_and_leaves_global_randomness_alone(
    pairs, cohort, tmp_path
):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, again, other = (
        train_reward(
            pairs, folder=cohort, base="tiny", settings=SHORT, out=tmp_path / name, seed=seed
        ).network.state_dict()
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_the_cohorts_own_images_are_not_looked_at(pairs, cohort, tmp_path):
    nowhere = replace(cohort, root=tmp_path / "nowhere")
    how = {"base": "tiny", "settings": SHORT}
    seen = train_reward(pairs, folder=cohort, out=tmp_path / "seen", **how)
    blind = train_reward(pairs, folder=nowhere, out=tmp_path / "blind", **how)
    assert seen.card == blind.card


def test_validation_and_test_images_are_refused(pairs, cohort, tmp_path):
    test, train = (cohort.cohort.part(split).records[0] for split in ("test", "train"))
    how = {"folder": cohort, "base": "tiny", "settings": SHORT}
    copied = tmp_path / "copy.png"
    copied.write_bytes(cohort.path(test).read_bytes())
    with pytest.raises(PreferenceError, match=r"copy.png: is .*png of split 'test'; expected"):
        train_reward((*pairs, replace(pairs[0], loser=copied)), out=tmp_path / "out", **how)
    fine = (*pairs, replace(pairs[0], loser=cohort.path(train)))
    assert train_reward(fine, out=tmp_path / "out", **how).card.accuracy.n


def test_a_training_without_progress_stops_early_and_keeps_the_best_weights(cohort, tmp_path):
    said = preferences(tmp_path, 60, wrong=0.5, seed=2)
    changed = {"steps": 200, "evaluations": 40, "patience": 2, "learning_rate": 2e-2}
    settings = QUICK.model_copy(update=changed)
    card = train_reward(
        said, folder=cohort, base="tiny", settings=settings, out=tmp_path / "out"
    ).card
    assert card.best_step < 100


def test_a_group_without_pairs_is_told_of(cohort, tmp_path, caplog):
    said = preferences(tmp_path, 30, groups=GROUPS[:3])
    with caplog.at_level(logging.WARNING, "fairgen"):
        model = train_reward(said, folder=cohort, base="tiny", settings=SHORT, out=tmp_path / "out")
    assert f"group '{GROUPS[3].key}' has no pair" in caplog.text
    assert [counts[GROUPS[3].key] for counts in model.card.pairs.values()] == [0, 0, 0]
    known = [model.card.mean[g.key] for g in GROUPS[:3]]
    assert model.card.mean[GROUPS[3].key] == pytest.approx(np.mean(known))


def test_a_model_no_better_than_chance_is_told_of(cohort, tmp_path, caplog):
    said = preferences(tmp_path, 40, wrong=0.5, seed=3)
    with caplog.at_level(logging.WARNING, "fairgen"):
        train_reward(said, folder=cohort, base="tiny", settings=SHORT, out=tmp_path / "out")
    assert "on 8 held-out pairs is no better than chance" in caplog.text


def test_too_few_pairs_and_foreign_groups_are_refused(pairs, cohort, tmp_path):
    how = {"folder": cohort, "base": "tiny", "settings": SHORT, "out": tmp_path / "out"}
    with pytest.raises(PreferenceError, match="19 preferences; expected at least 20"):
        train_reward(pairs[:19], **how)
    foreign = Schema((Attribute("tone", ("pale",)),), SCHEMA.label).groups()[0]
    with pytest.raises(CohortError, match="tone: unknown level 'pale'"):
        train_reward((replace(pairs[0], group=foreign), *pairs[1:]), **how)


def test_damaged_and_foreign_files_are_refused_in_clear_words(trained, tmp_path):
    card, weights = (trained[1] / name for name in ("reward.json", "reward.safetensors"))
    with pytest.raises(CheckpointError, match=r"reward.json: no such file; expected a trained"):
        load_reward(tmp_path)
    content = json.loads(card.read_text())
    for wrong in ('{"format": 1}', "torn", json.dumps({**content, "format": 2})):
        (tmp_path / "reward.json").write_text(wrong)
        with pytest.raises(CheckpointError, match=r"reward.json: describes no reward model"):
            load_reward(tmp_path)
    (tmp_path / "reward.json").write_bytes(card.read_bytes())
    (tmp_path / "reward.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match=r"reward.safetensors: cannot be loaded"):
        load_reward(tmp_path)
    state = load_file(weights)
    save_file({k: v for k, v in state.items() if k != "mean"}, tmp_path / "reward.safetensors")
    with pytest.raises(CheckpointError, match=r"cannot be loaded \(.*mean"):
        load_reward(tmp_path)


def test_a_size_that_does_not_suit_the_base_is_refused(pairs, cohort, tmp_path):
    settings = SHORT.model_copy(update={"size": 34})
    with pytest.raises(StudyError, match="size: 34; the base shrinks images by 4; expected"):
        train_reward(pairs, folder=cohort, base="tiny", settings=settings, out=tmp_path / "out")


def test_parts_that_leave_nothing_to_learn_from_are_refused():
    with pytest.raises(ValueError, match=r"valid 0.5 and held_out 0.5; expected a sum below 1"):
        RewardSettings(valid=0.5, held_out=0.5)


# Pixels.


@pytest.fixture(scope="module")
def on_pixels(pairs, cohort, vit, tmp_path_factory):
    out = tmp_path_factory.mktemp("reward") / "pixels"
    settings = RewardSettings(backbone=str(vit), widths=(32,), steps=200, learning_rate=5e-3)
    return train_reward(pairs, folder=cohort, base="no/base", settings=settings, out=out), out


def test_a_head_on_an_image_model_learns_from_pixels_and_needs_no_base(on_pixels):
    model, out = on_pixels
    assert (model.card.space, model.card.shape) == ("pixel", (3, 32, 32))
    assert model.card.accuracy.value > 0.8
    assert (out / "reward.safetensors").stat().st_size < 20_000  # the head alone
    images = torch.rand(2, 3, 48, 48) * 2 - 1
    groups = torch.tensor([0, 3])
    assert torch.equal(load_reward(out).score(images, groups), model.score(images, groups))
    light, dark = torch.full((1, 3, 32, 32), 0.4), torch.full((1, 3, 32, 32), -0.4)
    assert model.score(light, groups[:1]) > model.score(dark, groups[:1])


def test_an_image_model_with_other_weights_is_refused(on_pixels, vit, tmp_path):
    out = on_pixels[1]
    content = json.loads((out / "reward.json").read_text())
    torch.manual_seed(1)
    ViTModel(ViTConfig.from_pretrained(vit)).save_pretrained(tmp_path / "vit")
    content["settings"]["backbone"] = str(tmp_path / "vit")
    moved = tmp_path / "reward"
    moved.mkdir()
    (moved / "reward.json").write_text(json.dumps(content))
    (moved / "reward.safetensors").write_bytes((out / "reward.safetensors").read_bytes())
    with pytest.raises(
        CheckpointError, match=r"was trained on other weights of '.*vit' than those"
    ):
        load_reward(moved)


# Parts.


def chain(group, n, name):
    """Return pairs of which each shares an image with the next."""
    return [Pair(group, f"{name}{i}", f"{name}{i + 1}") for i in range(n)]


def apart(group, n, name):
    return [Pair(group, f"{name}{i}w", f"{name}{i}l") for i in range(n)]


def test_pairs_hang_together_by_their_images():
    a, b, c, d = (
        Pair(GROUPS[0], w, loser) for w, loser in (("a", "b"), ("c", "d"), ("b", "e"), ("e", "f"))
    )
    names = units([a, b, c, d])
    assert names == ("a", "c", "a", "a")
    assert units([a, b, c, d, Pair(GROUPS[1], "f", "c")]) == ("a",) * 5


def test_pairs_without_common_images_are_divided_alike_in_every_group():
    pairs = [*apart(GROUPS[0], 60, "x"), *apart(GROUPS[1], 20, "y"), *apart(GROUPS[2], 20, "z")]
    parts, dropped = divide_pairs(pairs, RewardSettings(), seed=0)
    assert dropped == 0
    counts = [Counter(p.group for p in part) for part in parts]
    assert [c[GROUPS[0]] for c in counts] == [39, 9, 12]
    assert [c[GROUPS[1]] for c in counts] == [13, 3, 4]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60), st.integers(0, 60)), min_size=40))
def test_no_image_is_in_two_parts(rows):
    pairs = [Pair(GROUPS[g], f"{g}/{a}", f"{g}/{b}") for g, a, b in rows if a != b]
    try:
        parts, dropped = divide_pairs(pairs, RewardSettings(max_dropped=0.9), seed=1)
    except PreferenceError:
        return
    for one, other in combinations(parts, 2):
        assert not images_of(one) & images_of(other)
    assert all(parts)
    assert sum(map(len, parts)) + dropped == len(pairs)
    again, _ = divide_pairs(pairs[::-1], RewardSettings(max_dropped=0.9), seed=1)
    assert [sorted(p.as_row() for p in part) for part in again] == [
        sorted(p.as_row() for p in part) for part in parts
    ]


def test_one_long_chain_is_cut_where_few_pairs_are_lost():
    parts, dropped = divide_pairs(chain(GROUPS[0], 100, "x"), RewardSettings(), seed=0)
    assert dropped <= 3
    assert [len(p) for p in parts] == pytest.approx([65, 15, 20], abs=6)


def test_sets_within_a_group_do_not_keep_it_from_a_part():
    pairs = [pair for k, g in enumerate(GROUPS) for pair in chain(g, 25, f"{k}/")]
    parts, dropped = divide_pairs(pairs, RewardSettings(), seed=0)
    assert dropped <= 12
    for part in parts:
        assert set(Counter(p.group for p in part)) == set(GROUPS)


def test_small_groups_that_hang_together_are_divided_as_a_whole():
    groups = Schema(
        (Attribute("tone", ("a", "b", "c")),), Attribute("disease", ("x", "y"))
    ).groups()
    pairs = [Pair(g, f"{k}", f"{k}/{i}") for k, g in enumerate(groups) for i in range(4)]
    parts, dropped = divide_pairs(pairs, RewardSettings(), seed=0)
    assert dropped == 0
    assert [len(p) for p in parts] == [16, 4, 4]


def test_pairs_that_cannot_be_divided_are_refused_with_advice():
    names = [f"i{k}" for k in range(12)]
    pairs = [Pair(GROUPS[0], a, b) for a, b in combinations(names, 2)]
    with pytest.raises(PreferenceError, match=r"66 preferences: more than 30% would have to be"):
        divide_pairs(pairs, RewardSettings(), seed=0)
    parts, dropped = divide_pairs(pairs, RewardSettings(max_dropped=0.9), seed=0)
    assert all(parts)
    assert dropped < 50
    star = [Pair(GROUPS[0], "best", f"other{k}") for k in range(30)]
    with pytest.raises(PreferenceError, match="draw more images, fewer pairs of each"):
        divide_pairs(star, RewardSettings(), seed=0)


def test_one_content_under_two_names_is_one_image(pairs, cohort, tmp_path):
    hub = tmp_path / "hub.png"
    linked = []
    for i, p in enumerate(pairs):
        copied = tmp_path / f"copy{i}.png"
        copied.write_bytes(pairs[0].winner.read_bytes())
        linked.append(replace(p, winner=copied))
    assert not hub.exists()
    with pytest.raises(PreferenceError, match="an image occurs once or twice"):
        train_reward(linked, folder=cohort, base="tiny", settings=SHORT, out=tmp_path / "out")


def test_a_group_is_known_by_its_levels_its_label_and_itself():
    assert group_levels([g.key for g in GROUPS]) == (
        (0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3),
    )  # fmt: skip


# The command.


def test_the_command_prints_accuracy_with_interval_and_calibration(cohort, tmp_path, capsys):
    said = preferences(tmp_path, 40)
    file = tmp_path / "preferences.jsonl"
    texts = [replace(p, text=cohort.prompts.render(p.group)) for p in said]
    write_preferences(file, texts)
    given = {"preferences": file, "cohort": cohort.root, "base": "tiny", "out": tmp_path / "out"}
    changes = ["size=32", "widths=[16,16]", "steps=4", "evaluations=1"]
    reward(**given, assignments=changes)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith("learned from 24 pairs, chosen on 8, measured on 8")
    assert printed[1].startswith("held-out accuracy: ")
    assert printed[1].endswith("], 8 pairs")
    assert [line.split(":")[0] for line in printed[2:]] == [
        "light", "dark", "calibration error", "Brier score",
    ]  # fmt: skip
    reward(**given, assignments=changes, json_=True)
    card = json.loads(capsys.readouterr().out)
    assert card == json.loads((tmp_path / "out" / "reward.json").read_text())
