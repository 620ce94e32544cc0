"""Generated sets: told apart from real cohorts, and held against the cohort they stand beside."""

from fairgen.cohort.schema import Schema
from fairgen.errors import CohortError
from fairgen.files.card import NAME
from fairgen.files.folder import CohortFolder


def check_synthetic(made: CohortFolder, real: CohortFolder) -> None:
    """Raise unless a folder holds generated images of the groups of a real cohort.

    Args:
        made: The folder that is said to be generated.
        real: The cohort that it joins, or is compared with.

    Raises:
        CohortError: If ``made`` is not generated, or has other groups.
    """
    if made.source.get("synthetic") is not True:
        raise CohortError(
            f"{made.root}: is no generated set ({NAME} lacks source.synthetic: true); "
            "expected a folder written by `fairgen generate`"
        )
    if made.cohort.schema != real.cohort.schema:
        raise CohortError(
            f"{made.root}: other groups than {real.root} "
            f"({difference(made.cohort.schema, real.cohort.schema)}); expected the same"
        )


def difference(one: Schema, other: Schema) -> str:
    """Return the first difference of two schemas in words."""
    pairs = zip((*one.attributes, one.label), (*other.attributes, other.label), strict=False)
    for a, b in pairs:
        if a.name != b.name:
            return f"'{a.name}' in place of '{b.name}'"
        if a.levels != b.levels:
            return f"{a.name}: {', '.join(a.levels)} in place of {', '.join(b.levels)}"
    return f"{len(one.attributes)} attributes in place of {len(other.attributes)}"


def method_of(made: CohortFolder) -> str:
    """Return the name of the method that drew a generated set, or else its folder's name."""
    return str(made.source.get("method") or made.root.resolve().name)
