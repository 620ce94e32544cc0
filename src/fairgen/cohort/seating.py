"""Dealing whole subjects out so that every part gets its share of every group."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from fairgen.cohort.schema import Group
from fairgen.cohort.seed import derive

GroupCounts = Mapping[Group, int]
PASSES = 10
LEAST_GAIN = 1e-9


def deal(
    subjects: Mapping[str, GroupCounts], fractions: Sequence[float], seed: int
) -> dict[str, int]:
    """Return the number of the part, counted from zero, that each subject belongs to."""
    order = {s: derive(seed, "split", s) for s in subjects}
    seated = {s: in_order(subjects[s]) for s in sorted(subjects, key=lambda s: order[s])}
    seating = Seating(seated, fractions)
    images = total(subjects.values())
    while waiting := seating.waiting():
        rarest = min((g for g, n in images.items() if n), key=lambda g: (images[g], g.key))
        members = [s for s in waiting if subjects[s][rarest]]
        for subject in members:
            seating.seat(subject)
        images -= total(subjects[s] for s in members)
    for group in sorted(total(subjects.values()), key=lambda g: g.key):
        seating.cover(group)
    for _ in range(PASSES):
        moved = [seating.improve(s) for s in seating.subjects]
        if not any(moved):
            break
    return seating.chosen


def in_order(counts: GroupCounts) -> Counter[Group]:
    """Return the counts with their groups sorted: sums round alike whatever the records' order."""
    return Counter({g: counts[g] for g in sorted(counts, key=lambda g: g.key)})


def total(counts: Iterable[GroupCounts]) -> Counter[Group]:
    """Return the sum of several group counts."""
    found: Counter[Group] = Counter()
    for one in counts:
        found.update(one)
    return found


class Seating:
    """Keeps what each split still lacks while subjects are dealt out, in the order given."""

    def __init__(self, subjects: Mapping[str, GroupCounts], fractions: Sequence[float]) -> None:
        self.subjects = subjects
        self.images = images = total(subjects.values())
        places = [j for j, f in enumerate(fractions) if f > 0]
        self.open = sorted(places, key=lambda j: -fractions[j])
        self.lack = [{g: f * n for g, n in images.items()} for f in fractions]
        self.heads: list[Counter[Group]] = [Counter() for _ in fractions]
        self.chosen: dict[str, int] = {}

    def waiting(self) -> list[str]:
        """Return the subjects not yet dealt out."""
        return [s for s in self.subjects if s not in self.chosen]

    def seat(self, subject: str) -> None:
        """Give the subject to the split that lacks most of what it has."""
        self.book(subject, max(self.open, key=lambda j: (self.pull(subject, j), -j)), 1)

    def pull(self, subject: str, split: int) -> float:
        r"""Return $\sum_g c_g l_g / n_g$: the subject's images against what the split lacks.

        Where it is largest, adding the subject lowers $\sum_g l_g^2 / n_g$ over all splits most.
        """
        lack, counts = self.lack[split], self.subjects[subject]
        return sum(n * lack[g] / self.images[g] for g, n in counts.items())

    def improve(self, subject: str) -> bool:
        r"""Move the subject where $\sum_g l_g^2 / n_g$ falls, if its groups stay; return if so."""
        old, counts = self.chosen[subject], self.subjects[subject]
        best = max(self.open, key=lambda j: (self.pull(subject, j), -j))
        own = sum(n * n / self.images[g] for g, n in counts.items())
        gain = self.pull(subject, best) - self.pull(subject, old) - own
        if best == old or gain < LEAST_GAIN or not all(self.heads[old][g] > 1 for g in counts):
            return False
        self.book(subject, old, -1)
        self.book(subject, best, 1)
        return True

    def cover(self, group: Group) -> None:
        """Bring the group to the splits it has not reached, the largest split first.

        Of the subjects that can be spared elsewhere, the one with the fewest images moves.
        """
        for j in (j for j in self.open if not self.heads[j][group]):
            spare = [s for s in self.subjects if self.can_leave(s, group)]
            if spare:
                smallest = min(spare, key=lambda s: sum(self.subjects[s].values()))
                self.book(smallest, self.chosen[smallest], -1)
                self.book(smallest, j, 1)

    def can_leave(self, subject: str, group: Group) -> bool:
        """Return whether the subject has the group, and its split keeps all groups without it."""
        counts, heads = self.subjects[subject], self.heads[self.chosen[subject]]
        return bool(counts[group]) and all(heads[g] > 1 for g in counts)

    def book(self, subject: str, split: int, sign: int) -> None:
        """Enter a subject's images into a split (sign 1), or take them out (sign -1)."""
        self.chosen[subject] = split
        for group, number in self.subjects[subject].items():
            self.lack[split][group] -= sign * number
            self.heads[split][group] += sign
