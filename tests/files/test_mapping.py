import pytest

from fairgen.errors import CheckpointError
from fairgen.files.mapping import read_mapping


def test_an_object_is_returned(tmp_path):
    (tmp_path / "m.json").write_text('{"a": 1}')
    assert read_mapping(tmp_path / "m.json", CheckpointError, "a manifest") == {"a": 1}


@pytest.mark.parametrize("data", [b"garbage", b"[1]", b"", b"\xff\xfe", b'{"a": '])
def test_anything_else_is_refused_in_one_line(data, tmp_path):
    (tmp_path / "m.json").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"m\.json: is damaged.*expected a manifest") as told:
        read_mapping(tmp_path / "m.json", CheckpointError, "a manifest")
    assert "\n" not in str(told.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such file; expected a manifest"):
        read_mapping(tmp_path / "none", CheckpointError, "a manifest")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_mapping(tmp_path, CheckpointError, "a manifest")
