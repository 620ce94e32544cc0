import pytest

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Schema


@pytest.fixture
def schema():
    return Schema(
        (Attribute("tone", ("dark", "light")),), Attribute("disease", ("acne", "psoriasis"))
    )


@pytest.fixture
def make_cohort(schema):
    """Return a function: rows of (subject, group key[, split]) -> cohort."""

    def make(*rows):
        records = [
            Record(f"images/{i}.png", row[0], schema.group(row[1]), split=(*row, "")[2])
            for i, row in enumerate(rows)
        ]
        return Cohort(schema, tuple(records))

    return make
