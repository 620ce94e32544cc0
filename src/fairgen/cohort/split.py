"""Subject-disjoint, group-stratified division into training, validation and test data."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from math import isclose
from types import MappingProxyType

from pydantic import BaseModel, Field, model_validator

from fairgen.cohort.cohort import SPLITS, Cohort, Record
from fairgen.cohort.schema import Group
from fairgen.cohort.seating import deal
from fairgen.cohort.seed import derive
from fairgen.errors import CohortError

Fractions = tuple[float, float, float]  # training, validation, test
EXTERNAL: Fractions = (0.0, 0.0, 1.0)
BOTH = "train and valid"
GIVEN: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("train", "training"), "train")
    | dict.fromkeys(("valid", "validate", "validation", "val", "dev"), "valid")
    | dict.fromkeys(("test", "testing"), "test")
    | dict.fromkeys(("train_val", "train-val", "trainval", "train+val"), BOTH)
)
"""What releases call their splits; a whole is divided further."""


class SplitSettings(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Says how to divide a cohort.

    Attributes:
        fractions: Shares of training, validation and test images; they sum to 1. Those of training
            and test are above zero, except that with folds the test share is not read, and that
            0, 0, 1 makes a cohort external: all of it is test data.
        seed: Decides between subjects that are equally suitable.
        folds: Number of folds for cross-validation; 0 for one split. With folds, each is the test
            data once, and only the ratio of the first two fractions counts.
        fold: Which fold is the test data, counted from zero.
        given: Column that names each image's split, such as ``release_split``; where it names no
            validation data, they are taken from the training subjects by the ratio of the first two
            fractions.
    """

    fractions: Fractions = (0.6, 0.15, 0.25)
    seed: int = Field(default=0, ge=0)
    folds: int = Field(default=0, ge=0, le=100)
    fold: int = Field(default=0, ge=0)
    given: str | None = None

    @model_validator(mode="after")
    def _fold_exists(self) -> "SplitSettings":
        if self.folds == 1 or self.fold >= max(self.folds, 1):
            raise ValueError(
                f"fold {self.fold} of {self.folds}; expected 2 or more folds, counted from zero"
            )
        if self.given is not None and (self.folds or self.fractions == EXTERNAL):
            raise ValueError("given: a split that is given has no folds and no test share of 1")
        return self

    @model_validator(mode="after")
    def _fractions_are_shares(self) -> "SplitSettings":
        train, _, test = self.fractions
        whole = isclose(sum(self.fractions), 1.0, abs_tol=1e-6)
        trained = train > 0 or (self.fractions == EXTERNAL and not self.folds)
        if not whole or min(self.fractions) < 0 or not trained or (test == 0 and not self.folds):
            raise ValueError(
                f"fractions {', '.join(map(str, self.fractions))}; expected three shares that sum "
                "to 1, those of training and test above 0, or 0, 0, 1 for an external cohort"
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
    if settings.given is not None:
        return given_cohort(cohort, settings)
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
    seed = derive(settings.seed, "fold", fold)
    tested = {s for s, part in of.items() if part == fold}
    return _around(cohort, tested, settings, seed)


def given_cohort(cohort: Cohort, settings: SplitSettings) -> Cohort:
    """Return the cohort with the splits that a column of its names.

    Args:
        cohort: Records of any splits; their old splits are forgotten.
        settings: The column; and the ratio by which training subjects are divided where the column
            names no validation data.

    Raises:
        CohortError: If a record has no such column or its value names no split, no test data are
            named, or a subject would be in two splits.
    """
    records = tuple(replace(r, split="") for r in cohort.records)
    named = {r.image: _named(r, settings.given or "") for r in records}
    if not {"train", BOTH} & set(named.values()) or "test" not in named.values():
        names = ", ".join(sorted(set(named.values())))
        raise CohortError(f"column '{settings.given}' names {names}; expected train and test")
    plain = {image: "train" if name == BOTH else name for image, name in named.items()}
    given = replace(cohort, records=tuple(replace(r, split=plain[r.image]) for r in records))
    if torn := straddlers(given):
        first = ", ".join(f"'{s}' in {' and '.join(where)}" for s, where in list(torn.items())[:3])
        raise CohortError(
            f"column '{settings.given}' puts {len(torn)} subjects into several splits ({first}); "
            "expected one a subject; a split by subject does without the column"
        )
    if "valid" in plain.values():
        return given
    tested = {r.subject for r in given.records if r.split == "test"}
    return _around(given, tested, settings, derive(settings.seed, "given"))


def _named(record: Record, column: str) -> str:
    """Return the split that a record's column names.

    Raises:
        CohortError: If it names none.
    """
    if column not in record.extra:
        known = ", ".join(record.extra) or "none"
        raise CohortError(f"{record.image}: no column '{column}'; further columns: {known}")
    value = record.extra[column]
    found = GIVEN.get(value.strip().casefold())
    if found is None:
        raise CohortError(
            f"{record.image}: {column} '{value}' names no split; expected one of {', '.join(GIVEN)}"
        )
    return found


def _around(cohort: Cohort, tested: Set[str], settings: SplitSettings, seed: int) -> Cohort:
    """Return the cohort with the named subjects as test data and the others divided."""
    train, valid, _ = settings.fractions
    rest = tuple(r for r in cohort.records if r.subject not in tested)
    ratio = (train / (train + valid), valid / (train + valid), 0.0)
    inner = split_cohort(replace(cohort, records=rest), fractions=ratio, seed=seed)
    split = {r.subject: r.split for r in inner.records}
    records = tuple(replace(r, split=split.get(r.subject, "test")) for r in cohort.records)
    return replace(cohort, records=records)


def absent_groups(cohort: Cohort) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Return the groups that are absent from a split in use, by key.

    Each with its number of subjects, and the splits that lack it. A group without any image is
    passed over.
    """
    used = [s for s in SPLITS if any(r.split == s for r in cohort.records)]
    seen: dict[str, set[str]] = defaultdict(set)
    people: dict[str, set[str]] = defaultdict(set)
    for r in cohort.records:
        seen[r.group.key].add(r.split)
        people[r.group.key].add(r.subject)
    keys = [g.key for g in cohort.schema.groups() if seen[g.key]]
    lacking = {key: tuple(s for s in used if s not in seen[key]) for key in keys}
    return {key: (len(people[key]), splits) for key, splits in lacking.items() if splits}


def check_fractions(fractions: Fractions) -> None:
    """Raise unless the fractions are shares of a whole and some images are left for training.

    Raises:
        CohortError: If not.
    """
    trained = fractions[0] > 0 or fractions == EXTERNAL
    if min(fractions) < 0 or not trained or not isclose(sum(fractions), 1.0, abs_tol=1e-6):
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
