import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairgen.cohort.schema import Attribute, Schema
from fairgen.errors import CohortError
from fairgen.files.rows import Row
from fairgen.intake.sources.plan import Drop, Gathered, Item, Plan, Where, gather

SCHEMA = Schema((Attribute("sex", ("female", "male")),), Attribute("finding", ("ill", "well")))


@given(st.lists(st.sampled_from(["keep", "a", "b"]), max_size=30))
def test_rows_in_are_rows_kept_and_rows_left_out(tmp_path_factory, fates):
    where = Where(tmp_path_factory.getbasetemp() / "t.csv", tmp_path_factory.getbasetemp())
    rows = [Row(n, {"fate": fate}) for n, fate in enumerate(fates, start=2)]

    def read(row):
        if row.values["fate"] != "keep":
            return Drop(row.values["fate"], "ill")
        return [Item(row.number, where, f"{row.number}.png", "p", ("male",), "ill")]

    found = gather(where, rows, read)
    plan = Plan((where.table,), SCHEMA, found, "chest")
    assert plan.dropped == {rule: fates.count(rule) for rule in ("a", "b") if rule in fates}
    assert found.kept == fates.count("keep") == len(plan.items)


def test_a_row_that_is_neither_kept_nor_left_out_by_a_rule_is_noticed(tmp_path):
    where = Where(tmp_path / "t.csv", tmp_path)
    found = gather(where, [Row(2, {})], lambda row: [])
    with pytest.raises(CohortError, match="1 rows in, 0 kept, 0 left out"):
        Plan((where.table,), SCHEMA, found, "chest")


def test_a_plan_whose_counts_do_not_add_up_is_refused(tmp_path):
    wrong = Gathered((), 3, 1, {"a": {"ill": 1}})
    with pytest.raises(CohortError, match="3 rows in, 1 kept, 1 left out"):
        Plan((tmp_path,), SCHEMA, wrong, "chest")
