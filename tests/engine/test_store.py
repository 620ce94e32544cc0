"""What is computed once is kept, found again, and made anew where it was damaged."""

import pytest
import torch

from fairgen.engine import store
from fairgen.engine.store import Crew, kept_or_made, store_folder

KEYS = [f"image {i}" for i in range(10)]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(store, "SHARD", 4)


@pytest.fixture
def made():
    return []


@pytest.fixture
def make(made):
    """Return what computes a key's row from its number, three at a time, and notes the key."""

    def compute(keys):
        for start in range(0, len(keys), 3):
            part = keys[start : start + 3]
            made.extend(part)
            yield {"value": torch.tensor([[float(k.split()[1])] * 2 for k in part])}

    return compute


def values(kept, keys=KEYS):
    return kept.rows("value", keys)[:, 0].tolist()


def test_rows_come_in_the_order_asked_whatever_shard_holds_them(tmp_path, make):
    kept = kept_or_made(tmp_path, KEYS, make, what="")
    assert values(kept, ["image 7", "image 0", "image 7", "image 9"]) == [7, 0, 7, 9]
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_kept_is_not_computed_again_and_only_the_rest_is(tmp_path, make, made):
    kept_or_made(tmp_path, KEYS[:4], make, what="")
    made.clear()
    assert values(kept_or_made(tmp_path, KEYS, make, what="")) == list(range(10))
    assert made == KEYS[4:]
    made.clear()
    assert values(kept_or_made(tmp_path, KEYS, make, what="")) == list(range(10))
    assert made == []


def test_a_key_that_occurs_twice_is_computed_once(tmp_path, make, made):
    kept_or_made(tmp_path, ["image 1", "image 1", "image 2"], make, what="")
    assert made == ["image 1", "image 2"]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "foreign"])
def test_a_damaged_shard_is_told_and_made_anew(tmp_path, make, made, damage, caplog):
    kept_or_made(tmp_path, KEYS[:4], make, what="")
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    damaged = {"flip": bytes(data), "cut": bytes(data[:-8]), "empty": b"", "foreign": b"{}" * 99}
    path.write_bytes(damaged[damage])
    made.clear()
    assert values(kept_or_made(tmp_path, KEYS[:4], make, what=""), KEYS[:4]) == [0, 1, 2, 3]
    assert made == KEYS[:4]
    assert f"{path}: cannot be used" in caplog.text


def test_a_kill_loses_at_most_the_shard_in_the_making(tmp_path, make, made):
    def dies(keys):
        for number, batch in enumerate(make(keys)):
            if number == 2:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        kept_or_made(tmp_path, KEYS, dies, what="")
    made.clear()
    assert values(kept_or_made(tmp_path, KEYS, make, what="")) == list(range(10))
    assert made == KEYS[6:]


def test_processes_share_the_work_and_each_has_all(tmp_path, make, made):
    """The other process computes its share while this one waits."""

    def other():
        made.clear()
        kept_or_made(tmp_path, KEYS[1::2], make, what="")
        assert made == KEYS[1::2]
        made.clear()

    kept = kept_or_made(tmp_path, KEYS, make, what="", crew=Crew(0, 2, other))
    assert made == []
    assert values(kept) == list(range(10))


def test_a_folder_that_cannot_be_written_keeps_rows_in_memory(tmp_path, make, caplog):
    (tmp_path / "file").write_bytes(b"")
    kept = kept_or_made(tmp_path / "file" / "store", KEYS, make, what="")
    assert values(kept) == list(range(10))
    assert "held in memory" in caplog.text


def test_the_store_lies_in_the_cohort_unless_the_environment_names_a_place(tmp_path, monkeypatch):
    assert store_folder(tmp_path) == tmp_path / ".fairgen"
    monkeypatch.setenv("FAIRGEN_CACHE", str(tmp_path / "all"))
    assert store_folder(tmp_path) == tmp_path / "all"
