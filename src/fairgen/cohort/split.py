"""Subject-disjoint, group-stratified division into training, validation and test data."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isclose

from pydantic import BaseModel, Field, model_validator

from fairgen.cohort.cohort import SPLITS, Cohort
from fairgen.cohort.schema import Group
from fairgen.cohort.seed import derive
from fairgen.errors import CohortError

Fractions = tuple[float, float, float]  # training, validation, test
GroupCounts = Mapping[Group, int]
PASSES = 10
LEAST_GAIN = 1e-9


class SplitSettings(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Says how to divide a cohort.

    Attributes:
        fractions: Shares of training, validation and test images; they sum to 1. Those of training
            and test are above zero, except that with folds the test share is not read.
        seed: Decides between subjects that are equally suitable.
        folds: Number of folds for cross-validation; 0 for one split. With folds, each is the test
            data once, and only the ratio of the first two fractions counts.
        fold: Which fold is the test data, counted from zero.
    """

    fractions: Fractions = (0.6, 0.15, 0.25)
    seed: int = Field(default=0, ge=0)
    folds: int = Field(default=0, ge=0, le=100)
    fold: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fold_exists(self) -> "SplitSettings":
        if self.folds == 1 or self.fold >= max(self.folds, 1):
            raise ValueError(
                f"fold {self.fold} of {self.folds}; expected 2 or more folds, counted from zero"
            )
        return self

    @model_validator(mode="after")
    def _fractions_are_shares(self) -> "SplitSettings":
        train, _, test = self.fractions
        whole = isclose(sum(self.fractions), 1.0, abs_tol=1e-6)
        if not whole or min(self.fractions) < 0 or train == 0 or (test == 0 and not self.folds):
            raise ValueError(
                f"fractions {', '.join(map(str, self.fractions))}; expected three shares that sum "
                "to 1, those of training and test above 0"
            )
        return self

    def shares(self) -> Fractions:
        """Return the shares of training, validation and test images, folds reckoned in."""
        if not self.folds:
            return self.fractions
        train, valid, _ = self.fractions
        rest = (1 - 1 / self.folds) / (train + valid)
        return (train * rest, valid * rest, 1 / self.folds)


@dataclass(frozen=True)
class Split:
    """Holds the three parts of a cohort; no subject is in two of them."""

    train: Cohort
    valid: Cohort
    test: Cohort


def divide(cohort: Cohort) -> Split:
    """Return the three parts of a cohort that has been split.

    Raises:
        CohortError: If a record has no split, a part is empty, or a subject is in two parts.
    """
    check_split(cohort)
    return Split(*(cohort.part(name) for name in SPLITS))


def check_split(cohort: Cohort) -> None:
    """Raise unless every record has a split and no subject is in two.

    Raises:
        CohortError: If not.
    """
    for record in cohort.records:
        if not record.split:
            raise CohortError(f"{record.image}: belongs to no split; run `fairgen split` first")
    for subject, names in straddlers(cohort).items():
        raise CohortError(f"subject '{subject}' is in splits {', '.join(names)}; expected one")


def straddlers(cohort: Cohort) -> dict[str, tuple[str, ...]]:
    """Return the subjects that have images in several splits, with those splits, in order."""
    seen: dict[str, set[str]] = defaultdict(set)
    for record in cohort.records:
        if record.split:
            seen[record.subject].add(record.split)
    return {s: tuple(n for n in SPLITS if n in seen[s]) for s in sorted(seen) if len(seen[s]) > 1}


def divided(cohort: Cohort, settings: SplitSettings) -> Cohort:
    """Return the cohort with every record's split filled in, as the settings say.

    Raises:
        CohortError: If the settings do not fit the cohort.
    """
    check_fractions(settings.fractions)
    if settings.folds:
        return fold_cohort(cohort, settings)
    return split_cohort(cohort, fractions=settings.fractions, seed=settings.seed)


def split_cohort(
    cohort: Cohort, *, fractions: Fractions = (0.6, 0.15, 0.25), seed: int = 0
) -> Cohort:
    """Return the cohort with every record's split filled in.

    Whole subjects are dealt out, the subjects of the rarest group first, each to the split that
    lacks most of what it has; then single subjects move as long as the groups' shares come closer
    to the fractions. A group with at least as many subjects as splits reaches every split, unless
    another group would leave one for it. The order of the records has no influence.

    Args:
        cohort: Records of any splits; their old splits are forgotten.
        fractions: Shares of training, validation and test images; a zero leaves a split empty.
        seed: Decides between subjects that are equally suitable.

    Raises:
        CohortError: If the fractions do not sum to 1, or there are fewer subjects than splits.

    Reference:
        Sechidis et al., "On the Stratification of Multi-Label Data", ECML PKDD 2011, with subjects
        in place of examples.
    """
    check_fractions(fractions)
    subjects = subject_counts(cohort)
    wanted = sum(f > 0 for f in fractions)
    if len(subjects) < wanted:
        raise CohortError(
            f"{len(subjects)} subjects for {wanted} splits; expected at least one each"
        )
    chosen = deal(subjects, fractions, seed)
    return replace(
        cohort, records=tuple(replace(r, split=SPLITS[chosen[r.subject]]) for r in cohort.records)
    )


def fold_cohort(cohort: Cohort, settings: SplitSettings) -> Cohort:
    """Return the cohort with one fold as test data and the rest divided.

    The folds are alike in their groups, disjoint by subject, and the same whichever is asked for.

    Args:
        cohort: Records of any splits; their old splits are forgotten.
        settings: Number of folds, and which of them is the test data.

    Raises:
        CohortError: If there are fewer subjects than folds, or too few outside the fold.
    """
    folds, fold = settings.folds, settings.fold
    subjects = subject_counts(cohort)
    if len(subjects) < folds:
        raise CohortError(f"{len(subjects)} subjects for {folds} folds; expected at least one each")
    of = deal(subjects, (1 / folds,) * folds, derive(settings.seed, "folds"))
    train, valid, _ = settings.fractions
    rest = tuple(r for r in cohort.records if of[r.subject] != fold)
    ratio = (train / (train + valid), valid / (train + valid), 0.0)
    seed = derive(settings.seed, "fold", fold)
    inner = split_cohort(replace(cohort, records=rest), fractions=ratio, seed=seed)
    split = {r.subject: r.split for r in inner.records}
    records = tuple(replace(r, split=split.get(r.subject, "test")) for r in cohort.records)
    return replace(cohort, records=records)


def check_fractions(fractions: Fractions) -> None:
    """Raise unless the fractions are shares of a whole and some images are left for training.

    Raises:
        CohortError: If not.
    """
    if min(fractions) < 0 or fractions[0] == 0 or not isclose(sum(fractions), 1.0, abs_tol=1e-6):
        raise CohortError(
            f"split fractions {', '.join(map(str, fractions))}; expected three shares that sum "
            "to 1, the first above 0"
        )


def subject_counts(cohort: Cohort) -> dict[str, Counter[Group]]:
    """Return the number of images of each group that each subject has."""
    counts: dict[str, Counter[Group]] = defaultdict(Counter)
    for record in cohort.records:
        counts[record.subject][record.group] += 1
    return dict(counts)


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
