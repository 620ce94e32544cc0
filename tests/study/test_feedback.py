"""Preferences inside a study: order and keys of the stages, and whole runs."""

import json
import shutil

import pytest
from tests.study.conftest import SMALL

from fairgen.errors import FairGenError, PreferenceError, StudyError
from fairgen.files.image import read_image
from fairgen.files.preferences import read_preferences
from fairgen.preferences import Judge
from fairgen.preferences.oracle import oracle_judge
from fairgen.study import feedback
from fairgen.study import run as module
from fairgen.study.config import read_study
from fairgen.study.feedback import pairs_digest
from fairgen.study.part import Part
from fairgen.study.run import run_study
from fairgen.study.stages import Stages, stage_key

ARMS = """
[arms.more]
like = "sd"
after = "sd"
train = { steps = 2 }

[arms.margin]
like = "more"
method = { alignment = { variant = "fairgen", reward = "margin" } }

[preferences]
source = "oracle"
per_group = 4
candidates = 6
reward = { steps = 3, widths = [8] }
"""
SET = ["methods=['fairgen', 'more', 'margin']", "downstream.classifiers=[]",
       "generate.guidance=[1.0]", "train.grid_columns=0"]  # fmt: skip
MADE = ("model", "guidance.json", "synthetic", "anatomy.parquet")


def bright_judge(folder, *, error_rate=0.0):
    """Prefer the brighter image, for a model that has learned nothing draws no anatomy."""
    return Judge("oracle", lambda: lambda path, group: float(read_image(path).mean()),
                 error_rate=error_rate)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory, base):
    """Return a study with preferences, and its run folder."""
    root = tmp_path_factory.mktemp("told")
    (root / "small.toml").write_text(SMALL + ARMS)
    study = read_study(root / "small.toml", [*SET, f"base.path={base}"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feedback, "oracle_judge", bright_judge)
        run_study(study, root / "run")
    return study, root / "run"


def read(path):
    return json.loads(path.read_text())


def methods_of(names):
    return [f"seed0/{name}/{part}" for name in names for part in MADE]


def test_stages_come_in_the_order_in_which_they_need_one_another(finished):
    _, run = finished
    assert list(read(run / "manifest.json")["stages"]) == [
        "cohort", "audit.json", "extractor", "anatomy.parquet",
        "seed0/sd/model", "seed0/candidates", "seed0/preferences", "seed0/reward",
        *methods_of(["fairgen", "more", "margin"]),
        "scores.jsonl", "report",
    ]  # fmt: skip


def test_every_manifest_and_row_says_whose_preferences_were_learned_from(finished):
    _, run = finished
    assert read(run / "manifest.json")["preferences"] == "oracle"
    said = {"sd": "none", "more": "none", "fairgen": "oracle", "margin": "oracle"}
    for method, source in said.items():
        manifest = read(run / "seed0" / method / "model" / "manifest.json")
        assert manifest["preferences"] == source
        assert ("pairs" in manifest) == (source == "oracle")
    rows = [json.loads(line) for line in (run / "scores.jsonl").read_text().splitlines()]
    found = {r["method"]: r["preferences"] for r in rows}
    floors = {"real": None, "autoencoder": None}
    assert found == floors | {m: s for m, s in said.items() if m != "sd"}


def test_the_reward_model_goes_to_the_methods_that_take_one(finished):
    _, run = finished
    taken = {
        m: read(run / "seed0" / m / "model" / "manifest.json").get("reward_digest") is not None
        for m in ("fairgen", "margin", "more")
    }
    assert taken == {"fairgen": False, "margin": True, "more": False}


def test_a_training_after_another_begins_from_its_finished_model(finished):
    _, run = finished
    start = run / "seed0" / "sd" / "model"
    for method in ("more", "margin"):
        manifest = read(run / "seed0" / method / "model" / "manifest.json")
        assert manifest["base"] == str(start / "pipeline")
        assert manifest["base_digest"] == read(start / "manifest.json")["pipeline_digest"]
        assert manifest["settings"]["steps"] == 2


def test_pairs_are_made_of_candidates_that_sd_drew_and_of_nothing_else(finished):
    study, run = finished
    drawn = read(run / "seed0" / "candidates" / "manifest.json")
    assert drawn["settings"]["guidance"] == study.generate.guidance[0]
    assert set(drawn["counts"].values()) == {study.preferences.candidates}
    images = {p.read_bytes() for p in (run / "seed0" / "candidates" / "images").iterdir()}
    cohort = Part(study, run, Stages(run)).cohort()
    said = read_preferences(run / "seed0" / "preferences" / "preferences.jsonl", cohort.prompts)
    assert 0 < len(said) <= 15 * study.preferences.per_group
    assert all(p.winner.read_bytes() in images for p in said)
    assert all(p.loser.read_bytes() in images for p in said)


def test_a_model_that_is_not_compared_is_neither_drawn_from_nor_scored(finished):
    _, run = finished
    assert [p.name for p in (run / "seed0" / "sd").iterdir()] == ["model"]


def test_a_study_without_classifiers_ends_in_a_report(finished):
    _, run = finished
    text = (run / "report" / "index.html").read_text()
    assert "The study trains no classifier" in text
    assert "No downstream classifier was scored" not in text
    assert "preferences: oracle (fairgen and margin)" in text
    assert "seed0/sd: no generated images" not in text


def contents(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_repeating_a_finished_study_does_nothing(finished, monkeypatch):
    study, run = finished
    before = contents(run)
    for name in ("train", "generate", "score_run", "write_report"):
        monkeypatch.setattr(module, name, None)
    for name in ("generate", "write_review", "train_reward"):
        monkeypatch.setattr(feedback, name, None)
    run_study(study, run)
    after = contents(run)
    assert before.keys() == after.keys()
    assert {p.name for p in before if before[p] != after[p]} <= {"manifest.json", "study.json"}


def test_an_interrupted_reward_model_is_made_anew_and_the_rest_kept(
    finished, tmp_path, monkeypatch
):
    study, run = finished
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    manifest = read(copy / "manifest.json")
    manifest["stages"]["seed0/reward"]["finished"] = False
    (copy / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(copy / "seed0" / "reward")
    for name in ("train", "generate", "score_run", "write_report"):
        monkeypatch.setattr(module, name, None)
    for name in ("generate", "write_review"):
        monkeypatch.setattr(feedback, name, None)
    run_study(study, copy)
    old, new = (read(r / "seed0" / "reward" / "reward.json") for r in (run, copy))
    assert old == new


class Noted(Stages):
    """Notes the keys of stages in place of making them."""

    def make(self, name, inputs, make):
        self.notes[name] = stage_key(name, inputs)
        return self.notes[name]


def keys(study, run):
    noted = Noted(run)
    module._run_part(Part(study, run, noted))
    return noted.notes


def changed(study, **tables):
    """Return the study with some settings of each table replaced, as a file would say them."""
    content = study.model_dump()
    for table, values in tables.items():
        for path, value in values.items():
            *outer, last = path.split("__")
            inner = content[table]
            for key in outer:
                inner = inner[key]
            inner[last] = value
    return type(study).model_validate(content)


LEARNING = {*methods_of(["fairgen", "margin"]), "seed0/reward"}
EVERY = {
    "seed0/sd/model",
    "seed0/candidates",
    "seed0/preferences",
    *methods_of(["more"]),
} | LEARNING
GENERATED = {n for n in methods_of(["fairgen", "more", "margin"]) if not n.endswith("model")}


@pytest.mark.parametrize(
    ("change", "remade"),
    [
        ({"preferences": {"error_rate": 0.1}}, {"seed0/preferences"} | LEARNING),
        ({"preferences": {"per_group": 3}}, {"seed0/preferences"} | LEARNING),
        (
            {"preferences": {"candidates": 7}},
            {"seed0/candidates", "seed0/preferences"} | LEARNING,
        ),
        ({"preferences": {"reward__steps": 4}}, {"seed0/reward", *methods_of(["margin"])}),
        ({"arms": {"margin__train": {"steps": 1}}}, set(methods_of(["margin"]))),
        ({"arms": {"more__train": {"steps": 1}}}, set(methods_of(["more", "margin"]))),
        ({"train": {"steps": 4}}, EVERY),
        ({"extractor": {"steps": 4}}, {"extractor"} | GENERATED),
        (
            {"generate": {"guidance": (2.0,)}},
            {"seed0/candidates", "seed0/preferences"} | LEARNING | GENERATED,
        ),
        ({"generate": {"per_group": 3}}, {"anatomy.parquet"} | GENERATED),
    ],
)
def test_a_change_remakes_what_depends_on_it_and_nothing_else(change, remade, finished):
    study, run = finished
    before, after = keys(study, run), keys(changed(study, **change), run)
    assert list(before) == list(after)
    assert {n for n in before if before[n] != after[n]} == remade


def test_a_proxy_depends_on_the_extractor(finished):
    study, run = finished
    one = changed(study, preferences={"source": "proxy"})
    two = changed(one, extractor={"steps": 4})
    before, after = keys(one, run), keys(two, run)
    assert before["seed0/preferences"] != after["seed0/preferences"]
    assert before["seed0/candidates"] == after["seed0/candidates"]


def test_without_preferences_nothing_is_drawn_asked_or_rewarded(finished):
    study, run = finished
    found = keys(changed(study, preferences={"source": "none"}), run)
    shared = ["cohort", "audit.json", "extractor", "anatomy.parquet"]
    own = methods_of(["fairgen"])
    assert list(found) == [*shared, *own, "seed0/sd/model", *methods_of(["more", "margin"])]


def test_two_seeds_have_candidates_and_answers_of_their_own(finished):
    study, run = finished
    found = keys(study.model_copy(update={"seeds": (0, 1)}), run)
    for part in ("candidates", "preferences", "reward"):
        assert found[f"seed0/{part}"] != found[f"seed1/{part}"]


def test_a_file_takes_the_place_of_candidates_and_answers(finished, tmp_path):
    study, run = finished
    shutil.copytree(run / "seed0" / "preferences", tmp_path / "said")
    file = tmp_path / "said" / "preferences.jsonl"
    own = changed(study, preferences={"source": "file", "file": file})
    found = keys(own, run)
    assert "seed0/candidates" not in found
    assert "seed0/preferences" not in found
    assert "seed0/reward" in found
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-1]))
    other = keys(own, run)
    assert {n for n in found if found[n] != other[n]} == LEARNING


def test_the_digest_of_pairs_sees_the_images(finished, tmp_path):
    study, run = finished
    prompts = Part(study, run, Stages(run)).cohort().prompts
    shutil.copytree(run / "seed0" / "preferences", tmp_path / "said")
    file = tmp_path / "said" / "preferences.jsonl"
    assert pairs_digest(file, prompts) == pairs_digest(
        run / "seed0" / "preferences" / "preferences.jsonl", prompts
    )
    first = read_preferences(file, prompts)[0]
    shutil.copy(next(p for p in first.loser.parent.iterdir()
                     if p not in (first.loser, first.winner)), first.winner)  # fmt: skip
    assert pairs_digest(file, prompts) != pairs_digest(
        run / "seed0" / "preferences" / "preferences.jsonl", prompts
    )


def test_the_proxy_answers_through_the_runs_extractor(finished, tmp_path):
    study, run = finished
    part = Part(changed(study, preferences={"source": "proxy"}), run, Stages(run))
    feedback._answer(part, 0, tmp_path / "said")
    assert read(tmp_path / "said" / "manifest.json")["source"] == "proxy"
    assert (tmp_path / "said" / "preferences.jsonl").is_file()


def test_an_oracle_is_asked_about_phantoms_alone(finished, tmp_path):
    study, run = finished
    data = type(study.data)(root=run / "cohort")
    with pytest.raises(StudyError, match=r"preferences\.source: oracle; .* no phantom whose"):
        run_study(study.model_copy(update={"data": data}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (None, StudyError, r"preferences\.file: .*said.jsonl: no such file"),
        ("", PreferenceError, "said.jsonl: holds no preference"),
        ('{"text": "a cat"}\n', PreferenceError, "line 1: text 'a cat' names no group"),
    ],
)
def test_a_preference_file_is_read_before_anything_is_written(
    text, error, message, finished, tmp_path
):
    study, run = finished
    file = tmp_path / "said.jsonl"
    if text is not None:
        file.write_text(text)
    own = changed(study, preferences={"source": "file", "file": file})
    for data in (study.data, type(study.data)(root=run / "cohort")):
        with pytest.raises(error, match=message):
            run_study(own.model_copy(update={"data": data}), tmp_path / "run")
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": {"more__train": {"tracker": "mlflow"}}}, "mlflow is not installed"),
        ({"arms": {"more__like": "sdd"}}, r"arms\.more\.like: unknown method 'sdd'"),
        (
            {"preferences": {"reward__backbone": "./nowhere"}},
            "nowhere",
        ),
    ],
)
def test_an_arm_is_checked_before_anything_is_written(
    change, message, finished, tmp_path, monkeypatch
):
    from fairgen.engine import checks

    monkeypatch.setattr(checks, "get_available_trackers", list)
    study, _ = finished
    with pytest.raises(FairGenError, match=message):
        run_study(changed(study, **change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_too_few_pairs_for_a_reward_model_stop_a_run_right_after_the_split(finished, tmp_path):
    study, _ = finished
    own = changed(study, preferences={"per_group": 1})
    with pytest.raises(StudyError, match=r"preferences\.per_group: 1 of 15 groups; expected 20"):
        run_study(own, tmp_path / "run")
    assert not (tmp_path / "run" / "extractor").exists()


@pytest.mark.slow
def test_the_oracle_of_a_phantom_teaches_a_model_from_anatomy(tmp_path, monkeypatch):
    """Run the shipped base for a few steps, so that it draws anatomy that can be measured."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL + ARMS)
    given = ["data.phantom.size=64", "base.path=tiny", "train.steps=20", "train.ema_decay=0.5",
             "train.learning_rate=1e-3", "generate.guidance=[3.0]", "generate.sample.steps=10",
             "preferences.per_group=6", "preferences.candidates=8"]  # fmt: skip
    study = read_study(path, [*SET, *given])

    def few(folder, *, error_rate):
        return oracle_judge(folder, error_rate=error_rate, per_group=10)

    monkeypatch.setattr(feedback, "oracle_judge", few)
    run_study(study, tmp_path / "run")
    review = read(tmp_path / "run" / "seed0" / "preferences" / "manifest.json")
    assert review["source"] == "oracle"
    assert set(review["looked_at"]).isdisjoint(review["kept_back"])
    log = (tmp_path / "run" / "seed0" / "margin" / "model" / "log.jsonl").read_text()
    last = json.loads(log.splitlines()[-1])
    assert {"winner_gap", "loser_gap"} == set(last["preference_probe"])
