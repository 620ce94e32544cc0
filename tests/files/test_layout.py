import gc
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from fairgen.cohort.cohort import SPLITS
from fairgen.cohort.split import SplitSettings, split_cohort
from fairgen.errors import CohortError
from fairgen.files import atomic, layout
from fairgen.files.card import read_card
from fairgen.files.facts import audit_folder
from fairgen.files.folder import read_cohort
from fairgen.files.image import read_image, write_image
from fairgen.files.layout import split_folder, write_split


def tree(root):
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def contents(folder):
    """Return the pixels of every image by its age, which no other image has."""
    return {r.extra["age"]: read_image(folder.path(r)).tobytes() for r in folder.cohort.records}


def splits(folder):
    return {r.extra["age"]: r.split for r in folder.cohort.records}


def test_a_split_folder_has_a_folder_a_split_and_nothing_else(make_folder):
    before = make_folder()
    expected = contents(before)
    found = split_folder(before.root, SplitSettings())
    assert {p.name for p in found.root.iterdir()} == {
        "cohort.json", "train", "validation", "test",
    }  # fmt: skip
    assert contents(found) == expected
    assert found.split["counts"] == {s: len(found.cohort.part(s)) for s in SPLITS}
    assert all(
        Path(r.image).parts[0] in ("train", "validation", "test") for r in found.cohort.records
    )
    assert read_cohort(found.root) == found


def test_the_split_on_disk_is_that_of_the_pure_function(make_folder):
    before = make_folder()
    expected = split_cohort(before.cohort, seed=4)
    found = split_folder(before.root, SplitSettings(seed=4))
    assert splits(found) == {r.extra["age"]: r.split for r in expected.records}


def test_the_same_split_again_does_nothing(make_folder):
    root = split_folder(make_folder().root, SplitSettings()).root
    times = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    split_folder(root, SplitSettings())
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == times


def test_another_split_is_refused_unless_it_may_be_overwritten(make_folder):
    before = make_folder()
    expected = contents(before)
    first = split_folder(before.root, SplitSettings())
    with pytest.raises(CohortError, match=r"already split with .*'seed': 0.*asked for .*'seed': 1"):
        split_folder(before.root, SplitSettings(seed=1))
    second = split_folder(before.root, SplitSettings(seed=1), overwrite=True)
    assert splits(first) != splits(second)
    assert contents(second) == expected
    assert not read_card(before.root).pending


def test_a_split_column_without_folders_counts_as_a_split(make_folder):
    before = make_folder("a")
    records = tuple(replace(r, split="test") for r in before.cohort.records)
    given = make_folder("b", cohort=replace(before.cohort, records=records))
    with pytest.raises(CohortError, match="already split"):
        split_folder(given.root, SplitSettings())
    assert set(splits(split_folder(given.root, SplitSettings(), overwrite=True)).values()) == set(
        SPLITS
    )


def test_a_leaky_split_can_be_replaced(make_folder):
    root = split_folder(make_folder().root, SplitSettings()).root
    table = root / "test" / "metadata.csv"
    subject = read_cohort(root).cohort.part("train").records[0].subject
    lines = table.read_text().splitlines()
    cells = lines[1].split(",")
    lines[1] = ",".join([cells[0], subject, *cells[2:]])
    table.write_text("\n".join(lines) + "\n")
    assert subject in audit_folder(root).straddling
    with pytest.raises(CohortError, match=f"subject '{subject}' is in splits"):
        split_folder(root, SplitSettings())
    split_folder(root, SplitSettings(seed=1), overwrite=True)
    assert audit_folder(root).straddling == {}


def test_a_split_without_a_part_has_no_folder_for_it(make_folder):
    found = split_folder(make_folder().root, SplitSettings(fractions=(0.75, 0.0, 0.25)))
    assert not (found.root / "validation").exists()
    assert read_cohort(found.root).split["counts"]["valid"] == 0


STEPS = ("write_card", "write_records", "copy_file", "mend", "remove_part", "prune")


def kill(monkeypatch, name, after):
    """Make a step of the change of layout fail, as a killed process would, after some calls."""
    step, calls = getattr(layout, name), []

    def fail(*args, **kwargs):
        calls.append(name)
        if len(calls) > after:
            raise KeyboardInterrupt
        return step(*args, **kwargs)

    monkeypatch.setattr(layout, name, fail)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("after", [0, 1, 2, 3])
@pytest.mark.parametrize("again", [False, True], ids=["first split", "second split"])
def test_a_split_that_is_killed_leaves_a_usable_folder(
    make_folder, monkeypatch, name, after, again
):
    before = make_folder()
    expected = contents(before)
    if again:
        split_folder(before.root, SplitSettings(seed=3))
    wanted = SplitSettings(seed=1)
    with monkeypatch.context() as patch:
        kill(patch, name, after)
        try:
            split_folder(before.root, wanted, overwrite=again)
        except KeyboardInterrupt:
            assert contents(read_cohort(before.root)) == expected
    found = split_folder(before.root, wanted, overwrite=again)
    assert contents(found) == expected
    assert {p.name for p in found.root.iterdir()} == {
        "cohort.json", "train", "validation", "test",
    }  # fmt: skip
    assert len(tree(found.root)) == 24 + 4
    assert not read_card(found.root).pending


def test_images_that_no_row_names_stay_where_they_are(make_folder):
    root = make_folder().root
    write_image(root / "images" / "extra.png", np.zeros((4, 4, 3), np.uint8))
    split_folder(root, SplitSettings())
    assert (root / "images" / "extra.png").is_file()
    split_folder(root, SplitSettings(seed=1), overwrite=True)
    assert (root / "images" / "extra.png").is_file()
    assert audit_folder(root).listing.unlisted == ("images/extra.png",)


def test_a_file_in_the_way_stops_the_split_before_anything_is_changed(make_folder):
    before = make_folder()
    (before.root / "train").mkdir()
    (before.root / "train" / "metadata.csv").write_text("mine\n")
    with pytest.raises(CohortError, match=r"train/metadata\.csv: is in the way of the split"):
        split_folder(before.root, SplitSettings())
    assert (before.root / "train" / "metadata.csv").read_text() == "mine\n"
    assert read_cohort(before.root) == before


def test_without_hard_links_images_are_copied(make_folder, monkeypatch):
    before = make_folder()
    expected = contents(before)
    monkeypatch.setattr(atomic, "linked", lambda source, target: False)
    assert contents(split_folder(before.root, SplitSettings())) == expected


def test_a_split_of_other_images_or_without_splits_is_refused(make_folder):
    folder = make_folder()
    done = split_cohort(folder.cohort)
    with pytest.raises(CohortError, match="names other images"):
        write_split(folder, replace(done, records=done.records[:-2]))
    with pytest.raises(CohortError, match="belongs to no split"):
        write_split(folder, folder.cohort)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the library leaves its tables open
def test_the_datasets_library_sees_the_splits(make_folder, tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    folder = make_folder()

    def load(cache):
        found = datasets.load_dataset(
            "imagefolder", data_dir=str(folder.root), cache_dir=str(tmp_path / cache)
        )
        gc.collect()
        return found

    flat = load("flat")
    assert {name: len(part) for name, part in flat.items()} == {"train": 24}
    assert flat["train"][0]["text"] == "acne on dark skin"
    found = split_folder(folder.root, SplitSettings())
    parts = load("split")
    assert {name: len(part) for name, part in parts.items()} == {
        "train": len(found.cohort.part("train")),
        "validation": len(found.cohort.part("valid")),
        "test": len(found.cohort.part("test")),
    }
    people = {name: set(part["subject_id"]) for name, part in parts.items()}
    assert people["train"] | people["validation"] | people["test"] == set(found.cohort.subjects())
    assert sum(map(len, people.values())) == len(found.cohort.subjects())
    first = parts["test"][0]
    record = found.cohort.part("test").records[0]
    assert first["subject_id"] == record.subject
    assert np.array_equal(np.asarray(first["image"]), read_image(found.path(record)))


def test_shares_that_are_missed_by_far_are_told(make_folder, caplog):
    split_folder(make_folder().root, SplitSettings(fractions=(0.2, 0.1, 0.7)))
    assert re.search(r"\d+ % of the images are in 'test', asked for 70 %", caplog.text)


def test_shares_that_are_met_are_not_told(make_folder, caplog):
    split_folder(make_folder(subjects=48).root, SplitSettings(fractions=(0.5, 0.25, 0.25)))
    assert caplog.text == ""


def test_wrong_fractions_are_refused_though_the_cohort_is_split_already(make_folder):
    root = make_folder().root
    split_folder(root, SplitSettings(fractions=(0.5, 0.25, 0.25)))
    with pytest.raises(ValidationError, match="expected three shares that sum to 1"):
        split_folder(root, SplitSettings(fractions=(-1, 1, 1)))


def test_groups_too_small_for_the_split_are_named_with_what_can_be_done(make_folder, caplog):
    split_folder(make_folder(subjects=5).root, SplitSettings())
    assert re.search(
        r"groups too small for this split: .*dark\|eczema \(1 subject; none in test\)"
        r".* or divide into folds",
        caplog.text,
    )


def test_a_split_may_be_given_by_a_column(make_folder):
    parts = ("train", "train", "valid", "test")
    folder = make_folder()
    named = tuple(
        replace(r, extra={**r.extra, "part": parts[i // 2 % 4]})
        for i, r in enumerate(folder.cohort.records)
    )
    folder = make_folder("named", cohort=replace(folder.cohort, records=named))
    found = split_folder(folder.root, SplitSettings(given="part"))
    assert all(r.split == r.extra["part"] for r in found.cohort.records)
    assert found.split["given"] == "part"
    assert split_folder(folder.root, SplitSettings(given="part")) == found


def test_an_external_cohort_has_a_folder_of_test_data_alone(make_folder):
    found = split_folder(make_folder().root, SplitSettings(fractions=(0, 0, 1)))
    assert {p.name for p in found.root.iterdir()} == {"cohort.json", "test"}
    assert read_cohort(found.root) == found
