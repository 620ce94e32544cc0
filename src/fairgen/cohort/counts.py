"""Counts of a cohort and what follows from them: shares, imbalance, repeats, association."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.resample import RESAMPLERS, repeats


@dataclass(frozen=True)
class Share:
    """Counts one group, subgroup or label.

    Attributes:
        name: Key of the group, subgroup or label.
        images: Number of images.
        subjects: Number of subjects.
        share: Images as a share of the part, in [0, 1].
    """

    name: str
    images: int
    subjects: int
    share: float


@dataclass(frozen=True)
class Part:
    """Describes the whole cohort, or one split of it.

    Attributes:
        name: ``all``, ``train``, ``valid`` or ``test``.
        images: Number of images.
        subjects: Number of subjects.
        groups: Every group, the empty ones too.
        subgroups: Every subgroup.
        labels: Every label.
        imbalance: Largest over smallest count of the groups that are not empty; ``None`` if all
            are.
        empty: Groups without images.
        tiny: Groups with few images.
        repeats: Expected draws of one image an epoch, by resampler and group.
        association: Cramer's V between each attribute and the label, in [0, 1]; ``None`` where one
            of them has a single level.
    """

    name: str
    images: int
    subjects: int
    groups: tuple[Share, ...]
    subgroups: tuple[Share, ...]
    labels: tuple[Share, ...]
    imbalance: float | None
    empty: tuple[str, ...]
    tiny: tuple[str, ...]
    repeats: Mapping[str, Mapping[str, float]]
    association: Mapping[str, float | None]


def describe(name: str, cohort: Cohort, tiny: int) -> Part:
    """Return the counts of a cohort and what follows from them.

    Args:
        name: What to call it.
        cohort: The records that count.
        tiny: A group with fewer images than this, but some, is called tiny.
    """
    counts = cohort.counts()
    filled = [n for n in counts.values() if n]
    keys = {g.key: g for g in counts}
    return Part(
        name,
        len(cohort),
        len(cohort.subjects()),
        shares(cohort, keys, lambda r: r.group.key),
        shares(cohort, cohort.schema.subgroups(), lambda r: r.group.subgroup),
        shares(cohort, cohort.schema.label.levels, lambda r: r.group.label),
        max(filled) / min(filled) if filled else None,
        tuple(g.key for g, n in counts.items() if not n),
        tuple(g.key for g, n in counts.items() if 0 < n < tiny),
        draws(cohort) if filled else {},
        associations(cohort),
    )


def shares(
    cohort: Cohort, names: Iterable[str], name: Callable[[Record], str]
) -> tuple[Share, ...]:
    """Return the counts of the named parts, in their order."""
    images: Counter[str] = Counter()
    people: dict[str, set[str]] = defaultdict(set)
    for record in cohort.records:
        images[name(record)] += 1
        people[name(record)].add(record.subject)
    whole = max(len(cohort), 1)
    return tuple(Share(n, images[n], len(people[n]), images[n] / whole) for n in names)


def draws(cohort: Cohort) -> dict[str, dict[str, float]]:
    """Return the expected draws of one image an epoch, by resampler and group."""
    counts = cohort.counts()
    return {
        name: {g.key: x for g, x in repeats(counts, resampler.weights(counts)).items()}
        for name, resampler in RESAMPLERS.items()
    }


def associations(cohort: Cohort) -> dict[str, float | None]:
    """Return Cramer's V between each attribute and the label."""
    found: dict[str, float | None] = {}
    for place, attribute in enumerate(cohort.schema.attributes):
        pairs = Counter((r.group.levels[place], r.group.label) for r in cohort.records)
        found[attribute.name] = cramers_v(pairs)
    return found


def cramers_v(pairs: Mapping[tuple[str, str], int]) -> float | None:
    r"""Return how strongly two properties hang together, $\sqrt{\chi^2 / (n (k - 1))}$.

    $k$ is the smaller number of levels that occur. Zero means independent, 1 that one property
    gives away the other.

    Args:
        pairs: Number of images of each pair of levels.

    Returns:
        A number in [0, 1], or ``None`` if a property has fewer than two levels that occur.

    Reference:
        Cramer, "Mathematical Methods of Statistics", 1946, chapter 21.
    """
    rows = list(dict.fromkeys(a for (a, _), n in pairs.items() if n))
    columns = list(dict.fromkeys(b for (_, b), n in pairs.items() if n))
    smaller = min(len(rows), len(columns))
    if smaller < 2:
        return None
    table = np.array([[pairs.get((a, b), 0) for b in columns] for a in rows], dtype=float)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    chi_squared = ((table - expected) ** 2 / expected).sum()
    return float(min(1.0, np.sqrt(chi_squared / (table.sum() * (smaller - 1)))))
