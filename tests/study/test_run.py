import json

import pytest

from fairgen.errors import StudyError
from fairgen.study import run as module
from fairgen.study.config import read_study
from fairgen.study.run import run_study


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
