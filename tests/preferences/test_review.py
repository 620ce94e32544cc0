import json
import shutil
from collections import Counter

import numpy as np
import pytest
from tests.preferences.conftest import SCHEMA, SOURCE, generated

from fairgen.errors import CohortError, PreferenceError
from fairgen.files.digest import folder_digest
from fairgen.files.image import write_image
from fairgen.files.preferences import read_preferences
from fairgen.preferences import review as module
from fairgen.preferences.oracle import oracle_judge
from fairgen.preferences.pairs import Answer, draw_comparisons, preferences_of
from fairgen.preferences.review import (
    check_place,
    read_answers,
    read_comparisons,
    write_answers,
    write_review,
)

pytestmark = pytest.mark.usefixtures("toy_oracle")


def asked(folder, out, **options):
    judge = oracle_judge(folder, per_group=20, error_rate=options.pop("error_rate", 0.0))
    given = {"per_group": 3, "seed": 0, "judge": judge, **options}
    return write_review(folder, out, **given)


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_review_answered_by_the_oracle_holds_valid_preferences(folder, tmp_path):
    out = tmp_path / "r"
    manifest = asked(folder, out)
    assert sorted(p.name for p in out.iterdir()) == [
        "answers.jsonl", "comparisons.jsonl", "images", "manifest.json", "preferences.jsonl",
    ]  # fmt: skip
    said = read_preferences(out / "preferences.jsonl", folder.prompts)
    assert Counter(p.group for p in said) == dict.fromkeys(SCHEMA.groups(), 3)
    assert {p.rater for p in said} == {"oracle"}
    assert json.loads((out / "manifest.json").read_text()) == manifest
    assert not list(tmp_path.rglob("*.partial"))


def test_questions_and_answers_are_read_back(folder, tmp_path):
    out = tmp_path / "r"
    asked(folder, out)
    questions, answers = read_comparisons(out, SCHEMA), read_answers(out)
    drawn = draw_comparisons(folder, per_group=3, seed=0)
    assert [(q.id, q.group, q.text) for q in questions] == [(d.id, d.group, d.text) for d in drawn]
    for question, original in zip(questions, drawn, strict=True):
        assert question.left.read_bytes() == original.left.read_bytes()
        assert question.right.read_bytes() == original.right.read_bytes()
    said = read_preferences(out / "preferences.jsonl", folder.prompts)
    assert preferences_of(questions, answers) == said


def test_the_names_of_the_copies_give_nothing_away(folder, tmp_path):
    asked(folder, tmp_path / "r")
    names = sorted(p.name for p in (tmp_path / "r" / "images").iterdir())
    assert names == [f"{i:06d}.png" for i in range(len(names))]


def test_a_review_stays_right_where_it_is_moved_and_its_source_is_gone(folder, tmp_path):
    asked(folder, tmp_path / "r")
    shutil.rmtree(folder.root)
    moved = (tmp_path / "r").rename(tmp_path / "elsewhere")
    assert len(read_preferences(moved / "preferences.jsonl", folder.prompts)) == 12
    assert str(tmp_path) not in (moved / "manifest.json").read_text()


def test_the_manifest_says_where_everything_comes_from(folder, tmp_path):
    found = asked(folder, tmp_path / "r", error_rate=0.25, seed=7)
    wanted = {
        "protocol": "preference", "source": "oracle", "error_rate": 0.25, "seed": 7,
        "per_group": 3, "looked_at": ["red", "green"], "kept_back": ["blue"],
        "synthetic": folder_digest(folder.root), "model": "digest of a model", "method": "sd",
        "trained_on": SOURCE["trained_on"], "cannot_judge": 0.0, "finished": True,
        "comparisons": {g.key: 3 for g in SCHEMA.groups()},
        "preferences": {g.key: 3 for g in SCHEMA.groups()},
    }  # fmt: skip
    assert {k: found[k] for k in wanted} == wanted
    assert found["judge"] == {
        "phantom": "toy", "references_per_group": 20, "reference_size": 8,
    }  # fmt: skip
    assert sum(found["answers"].values()) == 12
    assert found["cohort"]["prompt"]["template"] == folder.prompts.template


def test_questions_alone_wait_for_people(folder, tmp_path):
    out = tmp_path / "r"
    found = asked(folder, out, judge=None)
    assert sorted(p.name for p in out.iterdir()) == ["comparisons.jsonl", "images", "manifest.json"]
    assert (found["source"], found["error_rate"], found["looked_at"]) == ("none", None, [])
    assert "answers" not in found


def test_what_cannot_be_judged_is_counted_and_no_preference(tmp_path):
    made = generated(tmp_path / "made", ("black", "good", "bad"))
    rest = [made.path(r) for r in made.cohort.records if "good" in r.image]
    for i, path in enumerate(rest):
        write_image(path, np.zeros((9 + i, 9, 3), np.uint8))
    found = asked(made, tmp_path / "r")
    assert found["cannot_judge"] == pytest.approx(1 / 3)
    assert found["answers"]["cannot judge"] == 4
    assert found["preferences"] == {g.key: 2 for g in SCHEMA.groups()}


def test_a_review_without_any_preference_is_refused(tmp_path):
    made = generated(tmp_path / "made", ("black", "good"))
    for i, record in enumerate(made.cohort.records):
        write_image(made.path(record), np.zeros((9 + i, 9, 3), np.uint8))
    with pytest.raises(PreferenceError, match="no preference to write; expected at least one"):
        asked(made, tmp_path / "r", per_group=1)
    assert json.loads((tmp_path / "r" / "manifest.json").read_text())["finished"] is False


def test_repeating_does_nothing_not_even_fitting_the_oracle(folder, tmp_path, monkeypatch):
    first = asked(folder, tmp_path / "r")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "r").rglob("*")}
    monkeypatch.setattr("fairgen.preferences.oracle.fit_oracle", None)
    assert asked(folder, tmp_path / "r") == first
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "r").rglob("*")} == before


def test_answers_of_people_survive_a_repetition_that_mends_the_review(folder, tmp_path):
    out = tmp_path / "r"
    asked(folder, out, judge=None)
    whole = contents(out)
    write_answers(out / "answers.jsonl", [Answer("00-00000", "left", "ann", "now", "scale")])
    (out / "images" / "000001.png").unlink()
    asked(folder, out, judge=None)
    assert read_answers(out) == (Answer("00-00000", "left", "ann", "now", "scale"),)
    assert {k: v for k, v in contents(out).items() if k.name != "answers.jsonl"} == whole


def test_an_interrupted_review_ends_as_an_uninterrupted_one(folder, tmp_path, monkeypatch):
    asked(folder, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_answers", interrupt)
        with pytest.raises(KeyboardInterrupt):
            asked(folder, tmp_path / "r")
    assert not (tmp_path / "r" / "preferences.jsonl").exists()
    asked(folder, tmp_path / "r")
    assert contents(tmp_path / "r") == contents(tmp_path / "whole")


def interrupt(*_):
    raise KeyboardInterrupt


def test_another_review_in_the_folder_is_refused(folder, tmp_path):
    out = tmp_path / "r"
    asked(folder, out)
    before = contents(out)
    other = generated(tmp_path / "other", ("bad", "good", "bad", "good"))
    for change in ({"seed": 1}, {"per_group": 2}, {"judge": None}, {"error_rate": 0.1}):
        with pytest.raises(PreferenceError) as error:
            asked(folder, out, **change)
        assert str(error.value) == (
            f"{out}: holds a review of other images or settings; give another --out"
        )
    with pytest.raises(PreferenceError, match="holds a review of other images"):
        asked(other, out)
    assert contents(out) == before


def test_a_folder_that_holds_something_else_is_refused(folder, tmp_path):
    out = tmp_path / "r"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    message = f"{out}: exists and is no review; give another --out"
    with pytest.raises(PreferenceError) as error:
        asked(folder, out)
    assert str(error.value) == message
    (out / "manifest.json").write_text('{"key": "of a generated set"}')
    with pytest.raises(PreferenceError) as error:
        asked(folder, out)
    assert str(error.value) == message
    assert sorted(p.name for p in out.iterdir()) == ["manifest.json", "notes.txt"]
    (out / "manifest.json").write_text("torn")
    with pytest.raises(PreferenceError, match=r"manifest\.json: is damaged"):
        asked(folder, out)


def test_the_generated_set_may_lie_in_the_review(tmp_path):
    made = generated(tmp_path / "r" / "synthetic", ("good", "bad", "good"))
    asked(made, tmp_path / "r")
    assert len(read_preferences(tmp_path / "r" / "preferences.jsonl", made.prompts)) == 12
    check_place(tmp_path / "r", made.root)
    with pytest.raises(PreferenceError, match="holds a review of other images"):
        check_place(tmp_path / "r", tmp_path / "r" / "elsewhere")


def test_a_set_that_is_too_small_leaves_nothing_behind(folder, tmp_path):
    with pytest.raises(CohortError, match="which make 6 pairs; expected at least 7"):
        asked(folder, tmp_path / "r", per_group=7)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("answers", '{"choice": "left"}', "line 1: 'comparison' is missing"),
        ("answers", '{"comparison": "q", "choice": "no"}', "line 1: comparison 'q': unknown answer "
         "'no'; expected one of left, right, both, neither, cannot judge"),
        ("answers", "{", "row 1 is not JSON"),
        ("comparisons", '{"id": "q"}', "line 1: 'left' is missing"),
        ("comparisons", '{"id": "q", "group": "dark|acne", "text": "t", "left": "../a.png", '
         '"right": "b.png"}', "line 1: file_name '../a.png' is empty or leaves the folder"),
        ("comparisons", '{"id": "q", "group": "x|acne", "text": "t", "left": "a.png", "right": '
         '"b.png"}', "line 1: tone: unknown level 'x'; expected one of dark, light"),
    ],
)  # fmt: skip
def test_a_wrong_line_of_a_review_is_refused_by_file_and_line(tmp_path, name, line, message):
    path = tmp_path / f"{name}.jsonl"
    path.write_text(line)
    with pytest.raises(PreferenceError) as error:
        read_answers(tmp_path) if name == "answers" else read_comparisons(tmp_path, SCHEMA)
    assert str(error.value).startswith(f"{path}: {message}")


def test_a_missing_file_of_a_review_is_refused(tmp_path):
    with pytest.raises(PreferenceError, match=r"answers\.jsonl: no such table"):
        read_answers(tmp_path)
