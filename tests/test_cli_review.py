import json
import shutil

import pytest
from tests.preferences.conftest import generated
from tests.test_cli import refused, run

from fairgen.cohort.split import SplitSettings
from fairgen.engine.backbone import save_pipeline
from fairgen.engine.settings import TrainSettings
from fairgen.engine.tiny import tiny_backbone
from fairgen.engine.train import train
from fairgen.files.folder import read_cohort
from fairgen.files.layout import split_folder
from fairgen.files.preferences import read_preferences
from fairgen.intake.phantom import write_phantom
from fairgen.methods import METHODS

pytestmark = pytest.mark.usefixtures("toy_oracle")


@pytest.fixture
def toy_oracle(monkeypatch):
    from tests.preferences.conftest import TOY

    monkeypatch.setattr("fairgen.preferences.oracle.PHANTOMS", {"toy": TOY})


@pytest.fixture
def made(tmp_path):
    return generated(tmp_path / "made", ("good", "bad", "good", "bad"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return a model of brain phantoms that was trained for one step."""
    root = tmp_path_factory.mktemp("review")
    save_pipeline(tiny_backbone(size=32), root / "base")
    write_phantom("mri", root / "cohort", count=60, size=32, seed=0)
    settings = TrainSettings(
        steps=1, batch_size=2, accumulation=1, grid_columns=0, tracker="none", probe_every=0
    )
    cohort = split_folder(root / "cohort", SplitSettings())
    base = str(root / "base")
    return train(cohort, method=METHODS["sd"], base=base, out=root / "m", settings=settings)


def pairs(made, out, *more):
    return ("review", "pairs", "--protocol", "preference", "--synthetic", made.root, "--out", out,
            *more)  # fmt: skip


def test_help_has_an_example(capsys):
    status, out, _ = run(capsys, "review", "pairs", "--help")
    assert status == 0
    assert "Example: fairgen review pairs" in " ".join(out.split())


def test_the_oracle_answers_and_repeating_the_command_does_nothing(made, tmp_path, capsys):
    command = pairs(made, tmp_path / "r", "--per-group", 6, "--oracle", "--error-rate", 0.25)
    status, out, err = run(capsys, *command)
    assert (status, err) == (0, "")
    assert out == (
        f"{tmp_path / 'r'}: 24 comparisons of 4 groups\n"
        "  24 preferences by the oracle, 25% turned round; 0% of the answers are 'cannot judge'\n"
    )
    assert len(read_preferences(tmp_path / "r" / "preferences.jsonl", made.prompts)) == 24
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "r").rglob("*")}
    assert run(capsys, *command) == (0, out, "")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "r").rglob("*")} == before
    err = refused(capsys, *pairs(made, tmp_path / "r", "--per-group", 5, "--oracle"))
    assert "holds a review of other images or settings; give another --out" in err


def test_questions_alone_are_written_for_people(made, tmp_path, capsys):
    status, out, _ = run(capsys, *pairs(made, tmp_path / "r", "--per-group", 2, "--seed", 4))
    assert (status, out) == (0, f"{tmp_path / 'r'}: 8 comparisons of 4 groups\n")
    assert not (tmp_path / "r" / "preferences.jsonl").exists()
    assert json.loads((tmp_path / "r" / "manifest.json").read_text())["seed"] == 4


def test_a_model_draws_its_own_candidates_and_repeating_draws_none(
    model, tmp_path, capsys, monkeypatch
):
    command = ("review", "pairs", "--model", model, "--out", tmp_path / "r", "--per-group", 2,
               "--steps", 2, "--guidance", 2)  # fmt: skip
    status, out, err = run(capsys, *command)
    assert (status, err) == (0, "")
    assert out == f"{tmp_path / 'r'}: 8 comparisons of 4 groups\n"
    drawn = read_cohort(tmp_path / "r" / "synthetic")
    assert set(drawn.cohort.counts().values()) == {3}
    assert {r.extra["guidance"] for r in drawn.cohort.records} == {"2.0"}
    assert {r.extra["steps"] for r in drawn.cohort.records} == {"2"}
    monkeypatch.setattr("fairgen.engine.generate.draw", None)
    assert run(capsys, *command) == (0, out, "")
    err = refused(capsys, *command[:-1], 3)
    assert "holds a set with another model, plan or settings" in err


def test_candidates_are_not_drawn_into_a_folder_that_holds_something_else(
    model, made, tmp_path, capsys
):
    command = ("review", "pairs", "--model", model, "--per-group", 1, "--out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert "is no review" in refused(capsys, *command, tmp_path / "mine")
    run(capsys, *pairs(made, tmp_path / "r", "--per-group", 1))
    assert "holds a review of other images" in refused(capsys, *command, tmp_path / "r")
    assert not (tmp_path / "mine" / "synthetic").exists()
    assert not (tmp_path / "r" / "synthetic").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--protocol", "blinded"), "--protocol blinded: is not built yet; expected preference"),
        (("--protocol", "duel"), "--protocol duel: unknown; expected preference"),
        (("--model", "m"), "expected one of --synthetic S and --model DIR"),
        (("--oracle", "--proxy", "e"),
         "--oracle and --proxy: expected one of them, or none for people"),
        (("--error-rate", "0.1"), "--error-rate: belongs to --oracle"),
        (("--proxy", "e", "--error-rate", "0.1"), "--error-rate: belongs to --oracle"),
        (("--steps", "3"), "--steps: belongs to --model"),
        (("--guidance", "3"), "--guidance: belongs to --model"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_refused_in_one_line(
    made, tmp_path, capsys, more, message
):
    assert refused(capsys, *pairs(made, tmp_path / "r", *more)) == f"fairgen: {message}\n"
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("rate", ["0.6", "-0.1", "nan"])
def test_an_error_rate_beyond_a_half_is_refused(made, tmp_path, capsys, rate):
    command = pairs(made, tmp_path / "r", "--oracle", "--error-rate", rate)
    assert "error" in refused(capsys, *command, command="review pairs")
    assert not (tmp_path / "r").exists()


def test_neither_a_set_nor_a_model_is_refused(tmp_path, capsys):
    err = refused(capsys, "review", "pairs", "--out", tmp_path / "r")
    assert err == "fairgen: expected one of --synthetic S and --model DIR\n"


def test_a_real_cohort_and_one_that_is_no_phantom_are_refused(tmp_path, capsys):
    real = generated(tmp_path / "real", ("good", "bad"), source={"phantom": "toy"})
    assert "is no generated set" in refused(capsys, *pairs(real, tmp_path / "r", "--per-group", 1))
    source = {"synthetic": True, "trained_on": {"release": "milk10k"}}
    photos = generated(tmp_path / "photos", ("good", "bad"), source=source)
    err = refused(capsys, *pairs(photos, tmp_path / "r", "--per-group", 1, "--oracle"))
    assert "its model was not trained on a phantom" in err
    shutil.rmtree(real.root)
    shutil.rmtree(photos.root)
    assert not list(tmp_path.iterdir())


def test_an_extractor_that_is_missing_is_refused(made, tmp_path, capsys):
    err = refused(capsys, *pairs(made, tmp_path / "r", "--proxy", tmp_path / "none"))
    assert "extractor.json: no such file; expected a trained extractor" in err
    assert not (tmp_path / "r").exists()
