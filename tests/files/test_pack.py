import gc
import json
import shutil
import tarfile

import numpy as np
import pytest

from fairgen.cohort.split import SplitSettings
from fairgen.errors import CohortError, PreferenceError, StudyError
from fairgen.files.digest import file_digest, folder_digest
from fairgen.files.facts import audit_folder
from fairgen.files.folder import read_cohort
from fairgen.files.image import read_image
from fairgen.files.layout import split_folder
from fairgen.files.pack import pack_cohort
from fairgen.files.preferences import check_unseen
from fairgen.files.shards import opened_file, shard_of, size_of


@pytest.fixture
def split(make_folder):
    return split_folder(make_folder().root, SplitSettings(fractions=(0.5, 0.25, 0.25)))


def by_age(folder):
    return {r.extra["age"]: r for r in folder.cohort.records}


def test_a_packed_cohort_is_read_as_the_one_that_was_packed(split, tmp_path):
    packed = pack_cohort(split.root, tmp_path / "packed", images=5)
    assert packed.split == split.split
    assert packed.prompts == split.prompts
    old, new = by_age(split), by_age(packed)
    assert old.keys() == new.keys()
    for age, record in old.items():
        own = new[age]
        assert (own.subject, own.group, own.split, own.text) == (
            record.subject, record.group, record.split, record.text,
        )  # fmt: skip
        assert shard_of(packed.path(own)) is not None
        assert np.array_equal(read_image(packed.path(own)), read_image(split.path(record)))
        assert file_digest(packed.path(own)) == file_digest(split.path(record))
        assert size_of(packed.path(own)) == split.path(record).stat().st_size


def test_shards_hold_as_many_images_as_asked_for_and_tables_are_parquet(split, tmp_path):
    root = pack_cohort(split.root, tmp_path / "packed", images=5).root
    files = ("000000.tar", "000001.tar", "metadata.parquet")
    assert {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()} == {
        "cohort.json",
        *(f"{part}/{name}" for part in ("train", "validation", "test") for name in files),
    }  # fmt: skip
    with tarfile.open(root / "train" / "000001.tar") as tar:
        names = tar.getnames()
        row = json.load(tar.extractfile(names[2]))
    assert names[:3] == ["00000005.png", "00000005.txt", "00000005.json"]
    assert len(names) == 9
    assert row["subject_id"] == read_cohort(root).cohort.part("train").records[5].subject


def test_equal_cohorts_give_equal_bytes_and_an_unsplit_one_is_packed_too(make_folder, tmp_path):
    root = make_folder().root
    first, second = (pack_cohort(root, tmp_path / name).root for name in ("one", "two"))
    assert folder_digest(first) == folder_digest(second)
    with tarfile.open(first / "images" / "000000.tar") as tar:
        assert {(m.mtime, m.uid, m.uname, m.mode) for m in tar} == {(0, 0, "", 0o644)}
    assert len(read_cohort(first).cohort) == 24


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the library leaves its files open
def test_the_datasets_library_reads_the_shards(split, tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    packed = pack_cohort(split.root, tmp_path / "packed", images=5)
    shards = [str(p) for p in sorted((packed.root / "train").glob("*.tar"))]
    found = datasets.load_dataset(
        "webdataset", data_files={"train": shards}, cache_dir=str(tmp_path / "cache")
    )["train"]
    records = packed.cohort.part("train").records
    assert len(found) == len(records)
    assert found[7]["json"]["subject_id"] == records[7].subject
    assert found[7]["txt"] == records[7].text
    assert np.array_equal(np.asarray(found[7]["png"]), read_image(packed.path(records[7])))
    del found
    gc.collect()


def test_an_audit_looks_into_shards(split, tmp_path):
    packed = pack_cohort(split.root, tmp_path / "packed", images=5)
    found = audit_folder(packed.root)
    assert found.checked == 24
    assert found.sound()


def test_a_packed_cohort_is_not_divided_anew(make_folder, tmp_path):
    root = pack_cohort(make_folder().root, tmp_path / "packed").root
    before = folder_digest(root)
    with pytest.raises(CohortError, match="images are in shards; split the folder"):
        split_folder(root, SplitSettings())
    assert folder_digest(root) == before


def test_test_images_in_shards_are_told_among_preferences(split, tmp_path):
    packed = pack_cohort(split.root, tmp_path / "packed")
    tested = split.path(split.cohort.part("test").records[0])
    with pytest.raises(PreferenceError, match="of split 'test'"):
        check_unseen(packed, [tested])


def cut(path):
    path.write_bytes(path.read_bytes()[:2000])


def spoilt(path):
    path.write_bytes(b"no tar" * 1000)


@pytest.mark.parametrize("harm", [cut, spoilt, lambda path: path.unlink()])
def test_a_damaged_shard_is_refused_with_the_image_s_name(split, tmp_path, harm):
    root = pack_cohort(split.root, tmp_path / "packed").root
    harm(root / "test" / "000000.tar")
    with pytest.raises(CohortError, match=r"test/000000.tar/0000000\d.png: no such image"):
        read_cohort(root)


def test_a_shard_that_is_cut_short_inside_an_image_is_told(split, tmp_path):
    folder = pack_cohort(split.root, tmp_path / "packed")
    shard = folder.root / "test" / "000000.tar"
    with tarfile.open(shard) as tar:
        last = tar.getmembers()[-3]
    shard.write_bytes(shard.read_bytes()[: last.offset_data + last.size - 3])
    with pytest.raises(CohortError, match=f"{last.name}: (image cannot be decoded|no such image)"):
        read_image(shard / last.name)


def test_a_member_that_is_a_link_is_no_image(tmp_path):
    shard = tmp_path / "a.tar"
    with tarfile.open(shard, "x") as tar:
        link = tarfile.TarInfo("x.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    assert size_of(shard / "x.png") is None
    with (
        pytest.raises(FileNotFoundError, match=r"a.tar has no member x.png"),
        opened_file(shard / "x.png"),
    ):
        pass


def test_packing_writes_nothing_over_another_folder_and_takes_the_terms(make_folder, tmp_path):
    folder = make_folder()
    (folder.root / "TERMS.md").write_text("research only")
    card = folder.root / "cohort.json"
    card.write_text(card.read_text().replace('"terms": ""', '"terms": "TERMS.md"'))
    out = tmp_path / "packed"
    assert (pack_cohort(folder.root, out).root / "TERMS.md").read_text() == "research only"
    with pytest.raises(StudyError, match="exists and is not empty"):
        pack_cohort(folder.root, out)


def test_training_images_are_encoded_from_shards_as_from_files(split, tmp_path):
    torch = pytest.importorskip("torch")
    from fairgen.engine.backbone import load_backbone
    from fairgen.engine.latents import Encoding, encode_once

    packed = pack_cohort(split.root, tmp_path / "packed", images=5)
    how = Encoding(size=64, flip=False, device=torch.device("cpu"), store=tmp_path / "store")
    vae = load_backbone("tiny").vae

    def means(folder):
        return encode_once(vae, [folder.path(r) for r in folder.cohort.records], how).means()

    files = means(split)
    made = {p.name for p in (tmp_path / "store").rglob("*.safetensors")}
    ages = [r.extra["age"] for r in split.cohort.records]
    order = [ages.index(r.extra["age"]) for r in packed.cohort.records]
    assert torch.equal(means(packed), files[order])
    assert {p.name for p in (tmp_path / "store").rglob("*.safetensors")} == made
    shutil.rmtree(tmp_path / "store")
    assert torch.allclose(means(packed), files[order], atol=1e-5)
