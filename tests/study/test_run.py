import json
import shutil
import signal

import pytest

from fairgen.cli import main
from fairgen.engine import checks
from fairgen.engine import train as train_module
from fairgen.errors import CohortError, FairGenError, StudyError
from fairgen.study import run as module
from fairgen.study.config import read_study
from fairgen.study.run import run_study
from fairgen.study.stages import check_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory, base):
    from tests.study.conftest import SMALL

    folder = tmp_path_factory.mktemp("study")
    (folder / "small.toml").write_text(SMALL)
    study = read_study(folder / "small.toml", [f"base.path={base}"])
    return study, run_study(study, folder / "run").parent.parent


def rows(run):
    return [json.loads(line) for line in (run / "scores.jsonl").read_text().splitlines()]


def test_a_study_ends_in_a_report_and_in_scores_of_every_arm(finished):
    _, run = finished
    assert (run / "report" / "index.html").stat().st_size > 10_000
    found = {(r["method"], r["classifier"], r["reweight"]) for r in rows(run)}
    arms = {(m, "vit-tiny", w) for m in ("real", "sd", "fairgen") for w in (False, True)}
    assert found == arms | {(m, None, None) for m in ("real", "autoencoder", "sd", "fairgen")}
    assert {r["split"] for r in rows(run)} == {"test"}


def test_each_method_has_a_guidance_chosen_on_validation_data(finished):
    _, run = finished
    for method in ("sd", "fairgen"):
        chosen = json.loads((run / "seed0" / method / "guidance.json").read_text())
        assert chosen["chosen_by"] == "fid_indomain on the validation split"
        assert set(chosen["distances"]) == {"1", "2"}
        least = min(chosen["distances"], key=chosen["distances"].get)
        assert chosen["guidance"] == float(least)
        made = json.loads((run / "seed0" / method / "synthetic" / "manifest.json").read_text())
        assert made["settings"]["guidance"] == chosen["guidance"]


def test_repeating_a_finished_study_does_nothing(finished, monkeypatch):
    study, run = finished
    before = {
        p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file() and "stud" not in p.name
    }
    for name in ("make_cohort", "train", "generate", "classify", "score_run", "write_report"):
        monkeypatch.setattr(module, name, None)
    run_study(study, run)
    after = {
        p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file() and "stud" not in p.name
    }
    assert before.keys() == after.keys()
    assert {p.name for p in before if before[p] != after[p]} <= {"manifest.json"}


def test_a_changed_setting_remakes_only_what_depends_on_it(finished, monkeypatch):
    study, run = finished
    for name in ("make_cohort", "train", "generate", "classify"):
        monkeypatch.setattr(module, name, None)
    changed = study.model_copy(update={"score": study.score.model_copy(update={"replicates": 25})})
    run_study(changed, run)
    assert json.loads((run / "study.json").read_text())["score"]["replicates"] == 25


def test_a_folder_that_is_no_run_is_refused(finished, tmp_path):
    study, _ = finished
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StudyError, match="exists and is no run"):
        run_study(study, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def contents(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({"name": "other"}, "name was 'small', is 'other'"),
        ({"data": {"phantom": {"count": 300, "size": 32}}}, "count was 400, is 300"),
        ({"split": {"seed": 1}}, "seed was 0, is 1"),
        ({"split": {"folds": 2}}, "folds was 0, is 2"),
    ],
)
def test_the_folder_of_another_study_is_left_as_it_is(update, said, finished):
    study, run = finished
    other = changed(study, update)
    before = contents(run)
    with pytest.raises(StudyError, match=f"holds another study .*{said}.*--overwrite"):
        run_study(other, str(run))
    assert contents(run) == before


def changed(study, update):
    content = study.model_dump()
    for key, value in update.items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    return type(study).model_validate(content)


def test_overwriting_removes_what_another_study_left(finished, tmp_path, monkeypatch):
    study, run = finished
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("mine")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "make_cohort", stop)
    with pytest.raises(KeyboardInterrupt):
        run_study(changed(study, {"name": "other"}), tmp_path / "run", overwrite=True)
    left = sorted(p.name for p in (tmp_path / "run").rglob("*") if p.is_file())
    assert left == ["manifest.json", "notes.txt", "study.json"]


def test_an_empty_group_stops_a_run_right_after_the_split(small, base, tmp_path):
    study = read_study(small, [f"base.path={base}", "data.phantom.count=40"])
    allowed = study.train.model_copy(update={"empty_groups": "error"})
    with pytest.raises(CohortError, match="has no training image"):
        run_study(study.model_copy(update={"train": allowed}), tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "audit.json", "cohort", "manifest.json", "study.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("base.path=./nowhere", "no such folder"),
        ("downstream.settings.size=30", "expected a multiple of patch"),
        ("train.tracker=mlflow", "mlflow is not installed"),
    ],
)
def test_what_is_not_at_hand_is_told_before_anything_is_made(
    assignment, message, small, tmp_path, monkeypatch
):
    monkeypatch.setattr(checks, "get_available_trackers", list)
    with pytest.raises(FairGenError, match=message):
        run_study(read_study(small, [assignment]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_report_is_written_of_runs_alone(finished, tmp_path):
    _, run = finished
    check_run(run)
    for name, text in (("a.png", ""), ("manifest.json", '{"key": "of a model"}')):
        (tmp_path / name).write_text(text)
        with pytest.raises(StudyError, match=r"is no run .*manifest.json are missing"):
            check_run(tmp_path)
    with pytest.raises(StudyError, match="no such folder"):
        check_run(tmp_path / "none")


def test_a_run_of_an_earlier_version_is_refused_by_the_setting_that_it_lacks(finished, tmp_path):
    study, run = finished
    for name in ("manifest.json", "study.json"):
        shutil.copy(run / name, tmp_path / name)
    content = json.loads((tmp_path / "study.json").read_text())
    del content["split"]["folds"]
    (tmp_path / "study.json").write_text(json.dumps(content))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["stages"]["cohort"]["key"] = "of an earlier version"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StudyError, match=r"split\.folds is new since the version that made it"):
        run_study(study, tmp_path)


def test_a_run_stopped_by_sigterm_says_so_in_one_line_and_goes_on(
    small, base, tmp_path, monkeypatch, capsys
):
    steps = train_module.training_steps

    def terminated(training, first):
        for report in steps(training, first):
            signal.raise_signal(signal.SIGTERM)
            yield report

    monkeypatch.setattr(train_module, "training_steps", terminated)
    model = tmp_path / "run" / "seed0" / "sd" / "model"
    for step in (1, 2):
        with pytest.raises(SystemExit) as ended:
            main(["run", str(small), "--out", str(tmp_path / "run"), "--set", f"base.path={base}"])
        assert ended.value.code == 143
        said = f"fairgen: {model}: stopped by SIGTERM at step {step}; repeat the command to go on"
        assert capsys.readouterr().err.splitlines()[-1] == said
