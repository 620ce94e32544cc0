import json
import logging
import re
import shutil
import sys

import nibabel
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import fairgen
from fairgen.cli import main


def run(capsys, *arguments):
    """Return exit status, standard output and standard error of one command."""
    status = 0
    try:
        main([str(a) for a in arguments])
    except SystemExit as exit_:
        status = exit_.code or 0
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def refused(capsys, *arguments, command=""):
    """Return the one line on stderr of a command that ends with status 2."""
    status, _, err = run(capsys, *arguments)
    assert status == 2, err
    assert err.startswith(f"fairgen {command}: " if command else "fairgen: ")
    assert err.count("\n") == 1, err
    return err


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli") / "skin"
    with pytest.raises(SystemExit) as done:
        main(["phantom", "skin", "--out", str(root), "--count", "60", "--size", "32"])
    assert done.value.code == 0
    return root


@pytest.fixture
def cohort(phantom, tmp_path):
    return shutil.copytree(phantom, tmp_path / "cohort")


@pytest.fixture
def table(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["file,patient,sex,finding"]
    for i in range(12):
        pixels = rng.integers(0, 255, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        lines.append(f"{i}.png,p{i // 2},{'FM'[i % 2]},{'no' if i % 3 else 'yes'}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder


def importing(table, out, *more):
    return (
        "import", "table", table / "table.csv", "--images", table, "--file-column", "file",
        "--subject-column", "patient", "--attribute", "sex", "--label", "finding",
        "--modality", "chest", "--out", out, *more,
    )  # fmt: skip


def test_the_version_is_printed(capsys):
    assert re.fullmatch(r"fairgen \d+\.\d+\.\d+\n", run(capsys, "--version")[1])


def test_of_a_launchers_processes_the_first_alone_prints_and_each_says_its_errors(
    capsys, monkeypatch
):
    monkeypatch.setenv("RANK", "0")
    assert run(capsys, "--version")[1]
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("sys.stdout", sys.stdout)
    assert run(capsys, "--version") == (0, "", "")
    assert "no such" in refused(capsys, "show", "missing.toml")


COMMANDS = [
    ["show"], ["phantom"], ["import", "table"], ["audit"], ["split"], ["base", "tiny"], ["train"],
    ["generate"], ["classify"], ["score", "fidelity"], ["score", "fairness"], ["report"], ["run"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command, capsys):
    status, out, _ = run(capsys, *command, "--help")
    assert status == 0
    assert f"Example: fairgen {' '.join(command)}" in " ".join(out.split())


def test_a_phantom_is_audited_and_split(cohort, capsys):
    status, out, _ = run(capsys, "audit", cohort, "--json")
    assert status == 0
    assert json.loads(out)["parts"][0]["images"] == 60
    status, out, _ = run(capsys, "split", cohort)
    assert status == 0
    assert re.search(r"train: \d+ images of \d+ subjects", out)
    assert "×sqrs" in run(capsys, "audit", cohort)[1]


def test_a_table_is_imported_and_importing_again_does_nothing(table, tmp_path, capsys):
    status, out, _ = run(capsys, *importing(table, tmp_path / "c"))
    assert status == 0
    assert "12 images of 6 subjects" in out
    assert "prompts read: " in out
    assert run(capsys, *importing(table, tmp_path / "c"))[0] == 0


def test_progress_is_logged_where_there_is_no_bar_though_nothing_else_is(tmp_path, capsys):
    run(capsys, "show", tmp_path)
    assert logging.getLogger("fairgen.files.progress").isEnabledFor(logging.INFO)
    assert not logging.getLogger("fairgen.engine.train").isEnabledFor(logging.INFO)


def test_an_import_tells_what_became_of_rows_and_images(table, tmp_path, capsys):
    picture = Image.new("L", (400, 300), 60)
    ImageDraw.Draw(picture).text((9, 9), "SMITH JOHN", 255, ImageFont.load_default(20))
    picture.save(table / "5.png")
    (table / "7.png").write_bytes(b"")
    more = ("--unreadable", "drop", "--workers", "1", "--size", "8")
    status, out, _ = run(capsys, *importing(table, tmp_path / "c", *more))
    assert status == 0
    assert "11 images of 6 subjects" in out
    assert "rows: 12 in = 12 kept + 0 left out" in out
    assert "left out: 1 images, unreadable" in out
    assert "subjects keep the ids of the source; --salt FILE makes pseudonyms" in out
    assert "words seem to be burned into 1 images: images/000005.png; look at them" in out
    salted = importing(table, tmp_path / "d", *more, "--salt", tmp_path / "salt", "--no-flag-text")
    out = run(capsys, *salted)[1]
    assert "--salt" not in out
    assert "words" not in out


def test_slices_and_windows_are_options_of_the_import(table, tmp_path, capsys):
    values = np.zeros((16, 20, 11), np.float32)
    values[2:14, 3:17] = np.arange(11) + 1
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), table / "v.nii")
    text = (table / "table.csv").read_text().replace("0.png", "v.nii", 1)
    (table / "table.csv").write_text(text)
    more = ("--slice", "3", "--slice", "0.9", "--slice", "largest", "--show", "axis=coronal")
    assert "14 images of 6 subjects" in run(capsys, *importing(table, tmp_path / "c", *more))[1]
    shown = json.loads((tmp_path / "c/cohort.json").read_text())["source"]["settings"]
    assert shown["slices"] == [3, 0.9, "largest brain area"]
    with Image.open(tmp_path / "c/images/000000.png") as picture:
        assert picture.size == (16, 11)


def test_settings_are_shown_with_every_default(tmp_path, capsys):
    (tmp_path / "s.toml").write_text('name = "s"\n[data.phantom]\n')
    status, out, _ = run(capsys, "show", tmp_path / "s.toml", "--set", "train.steps=7")
    assert status == 0
    assert json.loads(out)["train"]["steps"] == 7
    assert json.loads(out)["generate"]["sample"]["sampler"] == "ddim"


def test_a_missing_column_is_refused_with_the_nearest_name(table, tmp_path, capsys):
    arguments = [a if a != "patient" else "patents" for a in importing(table, tmp_path / "c")]
    err = refused(capsys, *arguments)
    assert "'patents'" in err
    assert "patient" in err
    assert not (tmp_path / "c").exists()


def test_an_unknown_key_in_a_study_is_refused(tmp_path, capsys):
    (tmp_path / "s.toml").write_text('name = "s"\n[data.phantom]\n[train]\nstep = 3\n')
    err = refused(capsys, "run", tmp_path / "s.toml", "--out", tmp_path / "run")
    assert "s.toml: train.step: unknown; did you mean steps?" in err
    assert not (tmp_path / "run").exists()


def test_an_unreadable_image_is_refused_by_row_and_name(table, tmp_path, capsys):
    whole = (table / "3.png").read_bytes()
    (table / "3.png").write_bytes(whole[: len(whole) // 2])
    err = refused(capsys, *importing(table, tmp_path / "c"))
    assert "row 5" in err
    assert "3.png" in err
    assert not (tmp_path / "c").exists()


def test_a_text_file_named_png_is_refused(table, tmp_path, capsys):
    (table / "3.png").write_text("not an image")
    err = refused(capsys, *importing(table, tmp_path / "c"))
    assert "is not an image" in err


def test_a_subject_in_two_splits_is_refused(cohort, tmp_path, capsys):
    run(capsys, "split", cohort)
    train, test = (cohort / s / "metadata.csv" for s in ("train", "test"))
    subject = train.read_text().splitlines()[1].split(",")[1]
    lines = test.read_text().splitlines()
    cells = lines[1].split(",")
    cells[1] = subject
    test.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    err = refused(capsys, "train", "--method", "sd", "--cohort", cohort, "--base", "tiny",
                  "--out", tmp_path / "m")  # fmt: skip
    assert f"subject '{subject}' is in splits train, test" in err
    assert not (tmp_path / "m").exists()


def test_an_empty_group_is_reported_by_the_audit_and_refused_in_training(table, tmp_path, capsys):
    text = (table / "table.csv").read_text()
    lines = [line for line in text.splitlines() if not line.endswith("F,yes")]
    (table / "table.csv").write_text("\n".join(lines) + "\n")
    run(capsys, *importing(table, tmp_path / "c"))
    assert "empty groups in 'all': 1 (F|yes)" in run(capsys, "audit", tmp_path / "c")[1]
    run(capsys, "split", tmp_path / "c")
    err = refused(capsys, "train", "--method", "sd", "--cohort", tmp_path / "c", "--base", "tiny",
                  "--out", tmp_path / "m")  # fmt: skip
    assert "group 'F|yes' has no training image" in err
    assert not (tmp_path / "m").exists()


def test_an_unknown_method_is_refused(cohort, tmp_path, capsys):
    err = refused(capsys, "train", "--method", "fairgan", "--cohort", cohort, "--base", "tiny",
                  "--out", tmp_path / "m")  # fmt: skip
    assert "unknown method 'fairgan'" in err
    assert "did you mean fairgen?" in err


def test_a_path_that_leaves_the_folder_is_refused(table, tmp_path, capsys):
    secret = tmp_path / "secret.png"
    shutil.copy(table / "1.png", secret)
    text = (table / "table.csv").read_text().replace("3.png", "../secret.png")
    (table / "table.csv").write_text(text)
    err = refused(capsys, *importing(table, tmp_path / "c"))
    assert "../secret.png" in err
    assert not (tmp_path / "c").exists()


def test_a_missing_folder_is_refused(tmp_path, capsys):
    assert "expected a cohort folder" in refused(capsys, "audit", tmp_path / "none")


def test_an_output_that_cannot_be_written_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    err = refused(capsys, "phantom", "skin", "--out", tmp_path / "file" / "c", "--count", "5")
    assert "cannot be written" in err
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_base_that_is_missing_is_refused(cohort, tmp_path, capsys):
    run(capsys, "split", cohort)
    err = refused(capsys, "train", "--method", "sd", "--cohort", cohort, "--base", "./none",
                  "--out", tmp_path / "m", "--set", "empty_groups=allow")  # fmt: skip
    assert not (tmp_path / "m").exists()
    assert "no such folder" in err


def test_a_command_without_its_options_exits_with_two(capsys):
    assert "Missing option '--out'" in refused(capsys, "phantom", "skin", command="phantom")


@pytest.mark.parametrize(
    ("arguments", "command", "message"),
    [
        ("fly", "", "No such command 'fly'"),
        ("--fly", "", "No such option: --fly"),
        ("train --fly", "train", "No such option: --fly"),
        ("phantom skin --out x --count 0", "phantom", "'--count': Input should be greater than"),
        ("phantom skin --out x --seed y", "phantom", "'--seed': Input should be a valid integer"),
        ("phantom skin --out x --seed -1", "phantom", "'--seed': Input should be greater than"),
        ("generate --model m --out x --guidance 0", "generate", "'--guidance'"),
        ("generate --model m --out x --guidance nan", "generate", "'--guidance'"),
        ("score fairness --out x", "score fairness", "Missing option '--predictions'"),
    ],
)
def test_a_usage_error_is_one_line_that_names_the_command(arguments, command, message, capsys):
    assert message in refused(capsys, *arguments.split(), command=command)


def test_without_arguments_the_help_is_shown(capsys):
    for arguments in ((), ("score",)):
        status, out, err = run(capsys, *arguments)
        assert (status, err) == (2, "")
        assert "Usage: fairgen" in out


def test_an_interrupted_command_ends_with_one_line_and_the_status_of_shells(
    tmp_path, capsys, monkeypatch
):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("fairgen.intake.phantom.write_phantom", interrupt)
    status, _, err = run(capsys, "phantom", "skin", "--out", tmp_path / "c")
    assert status == 130
    assert err == "fairgen: interrupted; repeating the command goes on from here\n"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--steps", "2000", "generate: steps: .*less than or equal to 1000"),
        ("--guidance", "inf", "generate: guidance: .*finite"),
    ],
)
def test_sampling_settings_out_of_range_are_refused(option, value, message, tmp_path, capsys):
    err = refused(capsys, "generate", "--model", tmp_path, "--out", tmp_path / "s",
                  "--per-group", "1", option, value)  # fmt: skip
    assert re.search(message, err)


def test_a_real_cohort_is_refused_as_a_generated_set(cohort, tmp_path, capsys):
    run(capsys, "split", cohort)
    err = refused(capsys, "classify", "--cohort", cohort, "--synthetic", cohort,
                  "--out", tmp_path / "v")  # fmt: skip
    assert "is no generated set" in err
    err = refused(capsys, "score", "fidelity", "--cohort", cohort, "--synthetic", cohort,
                  "--extractor", tmp_path / "e", "--out", tmp_path / "f.jsonl")  # fmt: skip
    assert "is no generated set" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cohort"]


def test_fairness_rows_name_the_generator_that_the_classifier_learned_from(tmp_path, capsys):
    from tests.classifiers.conftest import toy

    real = toy(tmp_path / "real", 240)
    made = toy(tmp_path / "made", 72, split=False, seed=1, prefix="synthetic-")
    quick = [f"--set={k}" for k in ("steps=2", "size=16", "width=16", "patch=8", "depth=1")]
    out = tmp_path / "vit"
    run(capsys, "classify", "--cohort", real.root, "--synthetic", made.root, "--out", out, *quick)
    score = ("score", "fairness", "--predictions", out / "predictions.parquet", "--json",
             "--out", tmp_path / "f.jsonl")  # fmt: skip
    for given, expected in (((), {"sd"}), (("--method", "mine"), {"mine"})):
        status, text, _ = run(capsys, *score, *given)
        assert status == 0
        assert {row["method"] for row in json.loads(text)} == expected


def test_a_report_on_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"")
    assert "is no run" in refused(capsys, "report", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_the_python_audit_agrees_with_the_command(cohort, capsys):
    found = json.loads(run(capsys, "audit", cohort, "--json")[1])
    assert json.loads(json.dumps(fairgen.audit(str(cohort)).as_dict())) == found


def test_every_release_has_a_command_that_names_it():
    from fairgen.cli_import import RELEASES
    from fairgen.intake.sources import SOURCES

    assert tuple(SOURCES) == RELEASES


def test_a_release_is_imported_and_importing_again_does_nothing(tmp_path, capsys):
    for people, value in (("African", 90), ("Caucasian", 200)):
        for disease in ("psoriasis", "lichen planus"):
            folder = tmp_path / "release" / f"{people}_people_with_{disease}".replace(" ", "_")
            folder.mkdir(parents=True)
            for i in range(2):
                image = np.full((40, 40, 3), value - 30 * i, np.uint8)
                Image.fromarray(image).save(folder / f"{i}.png")
    wanted = ("import", "imagefolder", tmp_path / "release", "--preset", "released-skin")
    status, out, err = run(capsys, *wanted, "--out", tmp_path / "c", "--size", 32)
    assert (status, err) == (0, "")
    assert "8 images" in out
    before = sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "c").rglob("*"))
    assert run(capsys, *wanted, "--out", tmp_path / "c", "--size", 32)[0] == 0
    assert sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "c").rglob("*")) == before


def test_an_unknown_setting_of_a_release_is_one_line(tmp_path, capsys):
    given = ("import", "oasis", tmp_path, "--out", tmp_path / "c", "--set", "plain=1")
    assert "plain" in refused(capsys, *given)
    assert not (tmp_path / "c").exists()


def test_a_reward_that_the_method_would_not_take_is_refused(tmp_path, capsys):
    said = refused(
        capsys, "train", "--method", "fairgen", "--cohort", tmp_path, "--base", "tiny",
        "--out", tmp_path / "m", "--preferences", tmp_path / "p.jsonl", "--reward", tmp_path / "r",
    )  # fmt: skip
    assert "--reward: the method takes no reward; expected --set method.alignment.reward" in said
    said = refused(
        capsys, "train", "--method", "sd", "--cohort", tmp_path, "--base", "tiny",
        "--out", tmp_path / "m", "--reward", tmp_path / "r",
    )  # fmt: skip
    assert "--reward: a reward model needs --preferences FILE beside it" in said
