"""What each method is, whom it learned from, and for how long."""

from dataclasses import replace

import pytest

from fairgen.methods import METHODS
from fairgen.report.recipes import blocks, changes, learns, notices, start, total_steps
from fairgen.report.run import Trained, read_run

ARMS = {
    "more": {"like": "sd", "after": "sd", "method": {}, "train": {"steps": 300}},
    "dpo": {"like": "more", "after": None, "method": {"alignment": {"variant": "diffusion-dpo"}}},
    "fresh": {"like": "dpo", "after": "none", "method": {"alignment": "none"}},
    "late": {"like": "dpo", "after": "dpo"},
    "round": {"like": "trip"},
    "trip": {"like": "round"},
}
STUDY = {"methods": ["dpo", "more", "sd"], "arms": ARMS, "preferences": {"source": "oracle"}}


def trained(method, steps, source="none", seed=0, **more):
    manifest = {"settings": {"steps": steps}, "preferences": source, **more}
    return Trained(seed, method, manifest=manifest)


@pytest.fixture
def run(full_run):
    made = (
        trained("sd", 1000),
        trained("more", 300),
        trained("dpo", 300, "oracle", pairs=280),
    )
    found = replace(read_run(full_run), study=STUDY, trained=made)
    return replace(found, scores=replace(found.scores, rows=()))


def test_what_an_arm_changes_is_told_in_words():
    arm = {
        "like": "fairgen",
        "method": {"diversity": "none", "awareness": {}, "alignment": {"shared_noise": False}},
        "train": {"steps": 300, "learning_rate": 3e-4},
    }
    assert changes(arm) == (
        "without diversity, with awareness, without alignment.shared_noise, steps = 300, "
        "learning_rate = 0.0003"
    )
    assert changes({"like": "sd", "after": "sd"}) == ""


def test_a_start_is_taken_over_from_the_arm_that_one_is_like():
    assert [start(STUDY, m) for m in ("sd", "more", "dpo", "fresh", "late")] == [
        "", "sd", "sd", "", "dpo",
    ]  # fmt: skip
    assert start(STUDY, "round") == ""


def test_who_would_learn_from_preferences_is_known():
    for method in METHODS.values():
        assert learns({}, method.name) == (method.alignment is not None)
    assert [learns(STUDY, m) for m in ("more", "dpo", "fresh", "late", "round")] == [
        False, True, False, True, False,
    ]  # fmt: skip


def test_steps_are_counted_from_the_base_on(run):
    assert [total_steps(run, m) for m in ("sd", "more", "dpo")] == [1000, 1300, 1300]
    assert total_steps(run, "late") is None


def test_the_table_says_what_differs_and_what_was_trained_further(run):
    table = blocks(run)[0]
    rows = {r[0].text: [c.text for c in r[1:]] for r in table.rows}
    assert list(rows) == ["sd", "dpo", "more"]
    assert rows["sd"] == ["–", METHODS["sd"].source, "the base", "1,000", "1,000", "none", "–"]
    assert rows["more"] == ["sd", "steps = 300", "sd", "300", "1,300", "none", "–"]
    assert rows["dpo"] == [
        "more", "alignment.variant = diffusion-dpo", "sd", "300", "1,300", "oracle", "280",
    ]  # fmt: skip
    assert "Preferences ask for further compute" in table.note


def test_notices_tell_whose_preferences_and_who_had_more_steps(run):
    assert list(notices(run)) == [
        "preferences: oracle (dpo): the phantom's known anatomy chose, in a physician's place.",
        "Not all methods were trained equally long. 1,000 steps: sd. 1,300 steps: dpo and more "
        "(300 of them after sd).",
    ]


def test_methods_that_lack_their_preferences_are_named(run):
    made = (trained("fairgen", 9), trained("dpo", 9), trained("fresh", 9), trained("sd", 9))
    own = replace(run, trained=made, study={**STUDY, "methods": ["fairgen", "dpo", "fresh", "sd"]})
    assert next(notices(own)).startswith("preferences: none (fairgen and dpo): trained without")


def test_pairs_and_reward_model_of_each_seed_are_told(run):
    review = {
        "source": "oracle", "error_rate": 0.1, "comparisons": {"a": 20, "b": 20},
        "preferences": {"a": 19, "b": 20}, "looked_at": ["ita"], "kept_back": ["redness", "crust"],
    }  # fmt: skip
    accuracy = {"value": 0.75, "low": 0.5, "high": 0.875, "n": 40}
    reward = {"accuracy": accuracy, "after": {"ece": 0.0625}}
    told = {0: {"preferences": review, "reward": reward}, 1: {"preferences": {}, "reward": reward}}
    table = blocks(replace(run, told=told))[1]
    assert [[c.text for c in row] for row in table.rows] == [
        ["0", "oracle", "0.1", "40", "39", "ita", "redness, crust",
         "0.750 [0.500, 0.875], n 40", "0.062"],
        ["1", *["–"] * 6, "0.750 [0.500, 0.875], n 40", "0.062"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "study",
    [{"arms": 3}, {"arms": {"a": 3}}, {"arms": {"a": {"like": 3, "method": "x", "train": None}}},
     {"methods": "sd", "preferences": "oracle"}],
)  # fmt: skip
def test_settings_that_are_damaged_are_passed_over(study, run):
    own = replace(run, study=study, told={0: {"preferences": {"comparisons": 3}, "reward": {}}})
    assert blocks(own)
    assert list(notices(own))
