import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from fairgen.errors import CohortError
from fairgen.files.rows import check_column, read_rows, write_rows

cell = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)


def table(tmp_path, text, name="a.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_rows_have_the_lines_they_start_on(tmp_path):
    path = table(tmp_path, 'id,note\n1,"two\nlines"\n\n2,x\n')
    assert [(r.number, dict(r.values)) for r in read_rows(path)] == [
        (2, {"id": "1", "note": "two\nlines"}),
        (5, {"id": "2", "note": "x"}),
    ]


def test_values_stay_as_they_are_written(tmp_path):
    path = table(tmp_path, "id,age,sex\n007,3.0,NA\n,1e5, M \n")
    assert [tuple(r.values.values()) for r in read_rows(path)] == [
        ("007", "3.0", "NA"),
        ("", "1e5", " M "),
    ]


def test_all_kinds_of_tables_give_the_same_rows(tmp_path):
    rows = [{"id": "a", "age": 3.0, "site": None}, {"id": "b", "age": 4.5, "site": "arm"}]
    lines = "\n".join(json.dumps(r) for r in rows)
    paths = [
        table(tmp_path, "id,age,site\na,3,\nb,4.5,arm\n"),
        table(tmp_path, "id\tage\tsite\na\t3\t\nb\t4.5\tarm\n", "a.tsv"),
        table(tmp_path, lines, "a.jsonl"),
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = [[dict(r.values) for r in read_rows(p)] for p in (*paths, tmp_path / "a.parquet")]
    assert found == [found[0]] * 4
    assert found[0][0] == {"id": "a", "age": "3", "site": ""}


def test_nan_in_a_parquet_file_is_missing(tmp_path):
    parquet.write_table(pa.table({"age": [float("nan"), 2.0]}), tmp_path / "a.parquet")
    assert [r.values["age"] for r in read_rows(tmp_path / "a.parquet")] == ["", "2"]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfid\n1\n")
    assert dict(read_rows(tmp_path / "a.csv")[0].values) == {"id": "1"}


def test_columns_without_a_name_are_passed_over(tmp_path):
    path = table(tmp_path, "id,,\n1,2,3\n4\n")
    assert [dict(r.values) for r in read_rows(path)] == [{"id": "1"}, {"id": "4"}]


@given(st.lists(st.tuples(cell, cell), max_size=6))
def test_what_is_written_is_read_back(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("rows") / "a.csv"
    rows = [{"one": a, "two": b} for a, b in cells]
    write_rows(path, ("one", "two"), rows)
    assert [dict(r.values) for r in read_rows(path)] == rows


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("id,id\n1,2\n", "a.csv", "line 1 names column 'id' twice"),
        ("", "a.csv", "line 1 is empty"),
        ("id,age\n1,2\n3\n", "a.csv", "row 3 has 1 cells; expected 2 as in line 1"),
        ('id\n"open\n', "a.csv", "row 2 is malformed"),
        ('{"id": 1}\n{"id": \n', "a.jsonl", "row 2 is not JSON"),
        ("[1]\n", "a.jsonl", "row 1 is no JSON object"),
        ("id\n", "a.xlsx", "expected a table, one of .csv, .tsv, .jsonl, .parquet"),
        ("id\n", "a.parquet", "cannot be read"),
    ],
)
def test_a_malformed_table_is_refused_in_one_line(tmp_path, text, name, message):
    path = table(tmp_path, text, name)
    with pytest.raises(CohortError) as error:
        read_rows(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_or_binary_table_is_refused(tmp_path):
    with pytest.raises(CohortError, match="no such table"):
        read_rows(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_bytes(b"id\n\xff\xfe\n")
    with pytest.raises(CohortError, match=r"a\.csv: is not utf-8 text .*such as latin-1"):
        read_rows(tmp_path / "a.csv")
    with pytest.raises(CohortError, match="unknown encoding 'utf-9'"):
        read_rows(tmp_path / "a.csv", encoding="utf-9")


def test_another_encoding_can_be_named(tmp_path):
    (tmp_path / "a.csv").write_bytes("id\n37 °C\n".encode("latin-1"))
    assert dict(read_rows(tmp_path / "a.csv", encoding="latin-1")[0].values) == {"id": "37 °C"}


def test_an_unknown_column_is_refused_with_the_nearest_name(tmp_path):
    path = tmp_path / "a.csv"
    assert check_column(path, "age", ["age"]) == "age"
    with pytest.raises(CohortError, match="no column 'subject'; did you mean 'Subject ID'"):
        check_column(path, "subject", ["age", "Subject ID"])
    with pytest.raises(CohortError, match="no column 'xyz'; expected one of age, sex"):
        check_column(path, "xyz", ["age", "sex"])
