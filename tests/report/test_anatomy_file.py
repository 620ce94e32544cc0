"""Reading what an oracle measured."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairgen.errors import StudyError
from fairgen.report.anatomy_file import quantiles, read_anatomy
from fairgen.report.run import read_run

COLUMNS = {
    "image": ["a", "b", "c", "d"],
    "group": ["dark|acne", "dark|acne", "dark|acne", "light|acne"],
    "source": ["reference", "reference", "synthetic", "reference"],
    "ita": [1.0, math.nan, 3.0, None],
    "count": [1, 2, 3, 4],
    "remark": ["x", "y", "z", "w"],
}


@pytest.fixture
def path(tmp_path):
    pq.write_table(pa.table(COLUMNS), tmp_path / "anatomy.parquet")
    return tmp_path / "anatomy.parquet"


def test_values_are_found_by_source_and_group_without_unmeasured_images(path):
    found = read_anatomy(path)
    assert found.of("ita", "reference", "dark|acne").tolist() == [1.0]
    assert found.of("ita", "synthetic", "dark|acne").tolist() == [3.0]
    assert found.of("count", "reference", "dark|acne").tolist() == [1.0, 2.0]
    for lacking in (("ita", "reference", "light|acne"), ("pigment", "reference", "dark|acne"),
                    ("ita", "test", "dark|acne")):  # fmt: skip
        assert not len(found.of(*lacking))


def test_a_column_of_texts_is_no_quantity(path):
    assert tuple(read_anatomy(path).values) == ("ita", "count")


def test_a_lacking_column_is_named(tmp_path):
    pq.write_table(pa.table({"image": ["a"], "group": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(StudyError, match="no column 'source'"):
        read_anatomy(tmp_path / "a.parquet")


def test_quantiles_are_those_of_all_seeds_together():
    count, found = quantiles([np.arange(51.0), np.arange(51.0, 101.0)])
    assert (count, found) == (101, (5.0, 25.0, 50.0, 75.0, 95.0))
    assert quantiles([np.empty(0)]) == (0, ())


def test_a_broken_file_becomes_a_note_and_a_missing_one_does_not(make_run):
    root = make_run(seeds=(0,), methods=("sd",))
    assert not any("anatomy" in text for text in read_run(root).missing)
    (root / "anatomy.parquet").write_bytes(b"no table")
    run = read_run(root)
    assert run.anatomy is None
    assert any("anatomy.parquet: is no Parquet file" in text for text in run.missing)
