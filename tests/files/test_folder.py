import csv
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from fairgen.cohort.split import SplitSettings
from fairgen.errors import CohortError, StudyError
from fairgen.files.folder import inner_path, read_cohort, write_cohort
from fairgen.files.image import read_image, write_image
from fairgen.files.layout import split_folder


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def edit(root, **changed):
    """Replace values in the first row of a cohort's table."""
    path = root / "metadata.csv"
    rows = rows_of(path)
    rows[0].update(changed)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def recard(root, **changed):
    """Replace entries of ``cohort.json``."""
    path = root / "cohort.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def test_a_written_cohort_is_read_back(make_folder):
    folder = make_folder()
    again = read_cohort(folder.root)
    assert again == folder
    assert len(again.cohort) == 24
    assert again.cohort.records[1].extra == {"age": "1"}
    assert again.cohort.records[0].text == "acne on dark skin"
    assert again.source == {"made": "up"}
    assert read_image(again.path(again.cohort.records[0])).shape == (8, 8, 3)


def test_the_table_has_the_columns_of_an_image_folder(make_folder):
    rows = rows_of(make_folder().root / "metadata.csv")
    assert list(rows[0]) == [
        "file_name", "subject_id", "tone", "disease", "text", "split", "age",
    ]  # fmt: skip
    assert rows[0]["file_name"] == "images/000.png"


def test_images_may_come_from_files(make_folder, tmp_path):
    write_image(tmp_path / "x.png", np.full((4, 4, 3), 7, np.uint8))
    template = make_folder("a")
    found = write_cohort(replace(template, root=tmp_path / "b"), lambda r: tmp_path / "x.png")
    assert (read_image(found.path(found.cohort.records[3])) == 7).all()


def test_a_cohort_that_fails_in_the_middle_leaves_nothing(make_folder, tmp_path):
    template = make_folder("a")

    def fail(record):
        if record.image == "images/005.png":
            raise KeyboardInterrupt
        return np.zeros((4, 4, 3), np.uint8)

    with pytest.raises(KeyboardInterrupt):
        write_cohort(replace(template, root=tmp_path / "b"), fail)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_cohort_is_never_written_over_another(make_folder):
    make_folder()
    with pytest.raises(StudyError, match="exists and is not empty"):
        make_folder()


@pytest.mark.parametrize("name", ["text", "split", "file_name", "subject_id", "image", "tone"])
def test_a_column_with_a_reserved_name_is_refused(make_folder, tmp_path, name):
    template = make_folder("a")
    records = tuple(replace(r, extra={name: "1"}) for r in template.cohort.records)
    wrong = replace(template, root=tmp_path / "b", cohort=replace(template.cohort, records=records))
    with pytest.raises(CohortError, match=f"column '{name}' is reserved or named twice"):
        write_cohort(wrong, lambda r: np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_other_tables_of_the_library_are_read(make_folder, kind):
    folder = make_folder()
    path = folder.root / "metadata.csv"
    rows = rows_of(path)
    path.unlink()
    if kind == "jsonl":
        path.with_suffix(".jsonl").write_text("\n".join(json.dumps(r) for r in rows))
    else:
        parquet.write_table(pa.Table.from_pylist(rows), path.with_suffix(".parquet"))
    assert read_cohort(folder.root) == folder


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tone": "pale"}, "row 2 (images/000.png): tone: unknown level 'pale'; expected one of"),
        ({"disease": ""}, "row 2 (images/000.png): disease: unknown level ''; expected one of"),
        ({"subject_id": " "}, "row 2 (images/000.png): subject_id is empty"),
        ({"split": "dev"}, "images/000.png: unknown split 'dev'; expected train, valid, test"),
        ({"file_name": ""}, "file_name '' is empty or leaves the folder"),
        ({"file_name": "/etc/passwd"}, "row 2 (/etc/passwd): file_name '/etc/passwd' is empty or"),
        ({"file_name": "images/../../x.png"}, "is empty or leaves the folder"),
        ({"file_name": "C:\\x.png"}, "is empty or leaves the folder"),
        ({"file_name": "images/none.png"}, "images/none.png: no such image file"),
        ({"file_name": "images/001.png"}, "images/001.png: named by two rows"),
    ],
)
def test_a_wrong_row_is_refused_with_its_place(make_folder, changed, message):
    root = make_folder().root
    edit(root, **changed)
    with pytest.raises(CohortError) as error:
        read_cohort(root)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("target", ["file", "folder"])
def test_a_link_out_of_the_folder_is_refused(make_folder, tmp_path, target):
    root = make_folder().root
    write_image(tmp_path / "outside" / "x.png", np.zeros((4, 4, 3), np.uint8))
    if target == "file":
        (root / "images/link.png").symlink_to(tmp_path / "outside" / "x.png")
        edit(root, file_name="images/link.png")
    else:
        (root / "images/link").symlink_to(tmp_path / "outside")
        edit(root, file_name="images/link/x.png")
    with pytest.raises(CohortError, match="is a link out of the cohort folder"):
        read_cohort(root)


def test_a_missing_column_is_refused_with_the_nearest_name(make_folder):
    root = make_folder().root
    path = root / "metadata.csv"
    path.write_text(path.read_text().replace("subject_id", "subject", 1))
    with pytest.raises(CohortError, match=r"metadata\.csv: no column 'subject_id'; did you mean"):
        read_cohort(root)


def test_a_subject_in_two_splits_is_refused_but_can_be_read_for_an_audit(make_folder):
    root = make_folder().root
    edit(root, split="train")
    path = root / "metadata.csv"
    first, second, third, *rest = path.read_text().splitlines()
    path.write_text("\n".join([first, second, third.replace("skin,,", "skin,test,"), *rest]))
    with pytest.raises(CohortError, match="subject 's0' is in splits train, test; expected one"):
        read_cohort(root)
    assert len(read_cohort(root, strict=False).cohort) == 24


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": "fairgen-cohort-9"}, "format: Input should be 'fairgen-cohort-1' (found"),
        ({"modality": "ct"}, "unknown modality 'ct'; expected one of skin"),
        ({"layout": "heap"}, "layout: Input should be 'flat' or 'split' (found 'heap')"),
        ({"colour": 1}, "colour: Extra inputs are not permitted (found '1')"),
        ({"attributes": []}, "schema: no sensitive attribute"),
        ({"prompt": {"template": "{label}"}}, "stands for two groups"),
    ],
)
def test_a_wrong_description_is_refused_in_one_line(make_folder, changed, message):
    root = make_folder().root
    recard(root, **changed)
    with pytest.raises(CohortError) as error:
        read_cohort(root)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_cohort_is_refused(tmp_path):
    with pytest.raises(CohortError, match=r"cohort\.json: no such file; expected a cohort folder"):
        read_cohort(tmp_path)
    (tmp_path / "cohort.json").write_text("{half")
    with pytest.raises(CohortError, match=r"cohort\.json: Invalid JSON"):
        read_cohort(tmp_path)


def test_a_cohort_needs_exactly_one_table(make_folder):
    root = make_folder().root
    (root / "metadata.jsonl").write_text("")
    with pytest.raises(CohortError, match=r"found metadata\.csv, metadata\.jsonl; expected one of"):
        read_cohort(root)
    (root / "metadata.jsonl").unlink()
    (root / "metadata.csv").unlink()
    with pytest.raises(CohortError, match="found no metadata table"):
        read_cohort(root)


def test_a_missing_folder_of_a_split_is_refused(make_folder):
    root = split_folder(make_folder().root, SplitSettings()).root
    (root / "validation").rename(root.parent / "elsewhere")
    with pytest.raises(CohortError, match="folder 'validation' is missing"):
        read_cohort(root)


def test_a_split_column_that_contradicts_its_folder_is_refused(make_folder):
    root = split_folder(make_folder().root, SplitSettings()).root
    path = root / "test" / "metadata.csv"
    path.write_text(path.read_text().replace(",test,", ",train,"))
    with pytest.raises(CohortError, match=r"row 2 \(.*\): split 'train' in folder 'test'"):
        read_cohort(root)


def test_the_library_s_name_of_the_validation_split_is_understood(make_folder):
    folder = split_folder(make_folder().root, SplitSettings())
    path = folder.root / "validation" / "metadata.csv"
    path.write_text(path.read_text().replace(",valid,", ",validation,"))
    assert read_cohort(folder.root) == folder


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/../b.png", "/a.png", "\\a.png", "D:/a"])
def test_paths_that_leave_are_refused(name):
    with pytest.raises(CohortError, match="is empty or leaves the folder"):
        inner_path(name)


def test_paths_that_stay_are_kept():
    assert inner_path("images/a..b.png").as_posix() == "images/a..b.png"
    assert inner_path("images\\a.png").as_posix() == "images/a.png"
