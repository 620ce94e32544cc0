import gzip

import pytest

from fairgen.errors import CohortError, MissingExtra
from fairgen.intake.sources import tables
from fairgen.intake.sources.tables import find_table, read_table


def test_the_first_pattern_that_fits_names_the_table(root):
    (root / "b.csv").write_text("x\n1\n")
    assert find_table(root, "", ("a*.csv", "b*.csv")) == root / "b.csv"
    assert find_table(root, "b.csv", ()) == root / "b.csv"


def test_several_tables_that_fit_are_refused(root):
    for name in ("a1.csv", "a2.csv"):
        (root / name).write_text("x\n1\n")
    with pytest.raises(CohortError, match=r"found a1\.csv, a2\.csv; expected one of them"):
        find_table(root, "", ("a*.csv",))


@pytest.mark.parametrize("given", ["../b.csv", "/etc/passwd", "none.csv"])
def test_a_table_outside_the_release_or_missing_is_refused(root, given):
    with pytest.raises(CohortError, match=r"leaves the folder|no such table"):
        find_table(root, given, ())


def test_a_table_without_rows_is_refused(root):
    (root / "a.csv").write_text("x,y\n")
    with pytest.raises(CohortError, match="has no rows"):
        read_table(root / "a.csv", ("x",))


def test_a_packed_table_reads_as_the_table_itself_with_its_byte_order_mark(root):
    text = '\ufeffx,y\n1,"two\nlines"\n3,4\n'
    (root / "a.csv").write_text(text, encoding="utf-8")
    with gzip.open(root / "a.csv.gz", "wt", encoding="utf-8") as stream:
        stream.write(text)
    plain = read_table(root / "a.csv", ("x",))
    assert [r.values for r in read_table(root / "a.csv.gz", ("x",))] == [r.values for r in plain]


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(b"x,y\n1,2,3\n")], ids=["no gzip", "another table"]
)
def test_a_broken_packed_table_is_refused(root, content):
    (root / "a.csv.gz").write_bytes(content)
    with pytest.raises(CohortError, match=r"a\.csv\.gz"):
        read_table(root / "a.csv.gz", ("x",))


def test_a_packed_table_that_is_cut_short_is_refused(root):
    whole = gzip.compress(b"x,y\n" + b"1,2\n" * 5000)
    (root / "a.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CohortError, match="cannot be read"):
        read_table(root / "a.csv.gz", ("x",))


def test_a_spreadsheet_without_its_reader_says_which_package_is_missing(root, monkeypatch):
    class Pandas:
        @staticmethod
        def read_excel(*_args, **_options):
            raise ImportError

    monkeypatch.setattr(tables, "import_module", lambda _name: Pandas)
    for name, package in (("IXI.xls", "xlrd"), ("DEMO.xlsx", "openpyxl")):
        (root / name).write_bytes(b"")
        with pytest.raises(MissingExtra, match=f"needs {package}.*or the table saved as CSV"):
            read_table(root / name, ("x",))


def test_a_spreadsheet_reads_as_rows_of_text(root, monkeypatch):
    import pandas as pd

    class Pandas:
        @staticmethod
        def read_excel(*_args, **_options):
            return pd.DataFrame({" IXI_ID": ["1"], "AGE": [""]})

    monkeypatch.setattr(tables, "import_module", lambda _name: Pandas)
    (row,) = read_table(root / "IXI.xls", ("IXI_ID",))
    assert (row.number, dict(row.values)) == (2, {"IXI_ID": "1", "AGE": ""})
