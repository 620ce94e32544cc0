import json
from pathlib import Path

import pytest

from fairgen.errors import StudyError
from fairgen.files.atomic import copy_file, fresh_folder, write_bytes, write_json, write_text


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_is_written_with_its_parents(tmp_path):
    write_text(tmp_path / "a" / "b" / "c.txt", "héllo\n")
    assert (tmp_path / "a/b/c.txt").read_bytes() == "héllo\n".encode()


def test_a_failed_write_leaves_the_old_content_and_no_other_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StudyError) as error:
        write_text(path, "new")
    assert str(error.value) == f"{path}: cannot be written (No space left on device)"
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_in_the_way_of_a_folder_is_one_clear_line(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(StudyError, match="a/b: cannot be written"):
        write_bytes(tmp_path / "a" / "b", b"")
    with (
        pytest.raises(StudyError, match="a/c: cannot be written"),
        fresh_folder(tmp_path / "a" / "c"),
    ):
        pytest.fail("the folder cannot be made")


def test_json_is_readable_and_refuses_what_json_cannot_hold(tmp_path):
    write_json(tmp_path / "a.json", {"ü": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"ü": [1, None]}
    assert "ü" in (tmp_path / "a.json").read_text()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", float("nan"))
    assert names(tmp_path) == ["a.json"]


def test_a_fresh_folder_appears_whole(tmp_path):
    with fresh_folder(tmp_path / "out") as partial:
        (partial / "a").write_text("1")
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["a"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_in_the_middle_leaves_nothing(tmp_path, failure):
    def fail(partial):
        (partial / "a").write_text("1")
        raise failure

    with pytest.raises(failure), fresh_folder(tmp_path / "out") as partial:
        fail(partial)
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_cleared(tmp_path):
    left = tmp_path / ".out.partial"
    left.mkdir()
    (left / "half").write_text("")
    with fresh_folder(tmp_path / "out") as partial:
        (partial / "a").write_text("1")
    assert names(tmp_path / "out") == ["a"]


def test_an_empty_folder_is_filled_and_another_one_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with fresh_folder(tmp_path / "empty") as partial:
        (partial / "a").write_text("1")
    with (
        pytest.raises(StudyError, match="exists and is not empty"),
        fresh_folder(tmp_path / "empty"),
    ):
        pytest.fail("the folder holds something")
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="a file of that name"), fresh_folder(tmp_path / "file"):
        pytest.fail("a file is in the way")
    assert names(tmp_path / "empty") == ["a"]


@pytest.mark.parametrize("link", [True, False])
def test_a_copy_has_the_same_content_and_is_never_laid_over_a_file(tmp_path, link):
    (tmp_path / "a").write_text("1")
    copy_file(tmp_path / "a", tmp_path / "b" / "c", link=link)
    assert (tmp_path / "b/c").read_text() == "1"
    assert (tmp_path / "b/c").samefile(tmp_path / "a") == link
    (tmp_path / "d").write_text("2")
    with pytest.raises(StudyError, match="File exists"):
        copy_file(tmp_path / "a", tmp_path / "d", link=link)
    assert (tmp_path / "d").read_text() == "2"


def test_where_links_are_impossible_files_are_copied(tmp_path, monkeypatch):
    def refuse(target, source):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    (tmp_path / "a").write_text("1")
    copy_file(tmp_path / "a", tmp_path / "b", link=True)
    assert (tmp_path / "b").read_text() == "1"
