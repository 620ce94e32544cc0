from hashlib import sha256

import pytest

from fairgen.errors import StudyError
from fairgen.files.digest import file_digest, folder_digest


def test_the_digest_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert file_digest(tmp_path / "a") == sha256(b"abc" * 100_000).hexdigest()


def test_a_folder_changes_its_digest_with_every_name_and_content(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a").write_text("1")
    first = folder_digest(tmp_path)
    assert first == folder_digest(tmp_path)
    (tmp_path / "sub/a").write_text("2")
    second = folder_digest(tmp_path)
    (tmp_path / "sub/a").rename(tmp_path / "sub/b")
    assert len({first, second, folder_digest(tmp_path)}) == 3


def test_temporary_files_do_not_count(tmp_path):
    (tmp_path / "a").write_text("1")
    first = folder_digest(tmp_path)
    (tmp_path / ".a.partial").write_text("half")
    assert folder_digest(tmp_path) == first


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(StudyError, match="cannot be read"):
        file_digest(tmp_path / "a")
    with pytest.raises(StudyError, match="no such folder"):
        folder_digest(tmp_path / "b")
