"""Which synthetic images are wanted: group, index, seed and prompt of each."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fairgen.cohort.cohort import Cohort
from fairgen.cohort.schema import Group, Schema
from fairgen.cohort.seed import derive
from fairgen.errors import CohortError


@runtime_checkable
class Wording(Protocol):
    """Is anything that words the groups of a schema, such as ``modalities.Prompts``."""

    @property
    def schema(self) -> Schema:
        """Return the schema whose groups it words."""
        ...

    def render(self, group: Group) -> str:
        """Return the prompt of a group."""
        ...


@dataclass(frozen=True)
class Item:
    """Describes one image to generate.

    Attributes:
        group: The group it shows.
        index: Number within its group, from zero.
        seed: Seed of its noise; depends on the study's seed, the group and the index alone.
        prompt: Text of the condition.
    """

    group: Group
    index: int
    seed: int
    prompt: str


@dataclass(frozen=True)
class Plan:
    """Lists every synthetic image that is wanted, ordered by group and index."""

    items: tuple[Item, ...]

    def __len__(self) -> int:
        return len(self.items)

    def counts(self) -> dict[Group, int]:
        """Return the number of items of each group that has any."""
        return dict(Counter(i.group for i in self.items))


def plan(prompts: Wording, wanted: Mapping[Group, int], seed: int) -> Plan:
    """Return the plan of ``wanted[g]`` images of each group.

    Image 17 of a group has the same seed in every plan, so a larger plan extends a smaller one.

    Args:
        prompts: Words the groups.
        wanted: Images a group; groups not named get none.
        seed: Seed of the study.

    Raises:
        CohortError: If a number is negative or a group is not of the schema.
    """
    for group, number in wanted.items():
        prompts.schema.check(group)
        if number < 0:
            raise CohortError(f"group '{group.key}': {number} images wanted; expected 0 or more")
    return Plan(
        tuple(
            Item(group, index, derive(seed, "generate", group.key, index), prompts.render(group))
            for group in prompts.schema.groups()
            for index in range(wanted.get(group, 0))
        )
    )


def balanced_plan(prompts: Wording, per_group: int, seed: int) -> Plan:
    """Return the plan of the same number of images of every group.

    Args:
        prompts: Words the groups.
        per_group: Images a group.
        seed: Seed of the study.

    Raises:
        CohortError: If ``per_group`` is negative.
    """
    return plan(prompts, dict.fromkeys(prompts.schema.groups(), per_group), seed)


def fill_plan(cohort: Cohort, prompts: Wording, seed: int) -> Plan:
    """Return the plan that lifts every group to the size of the largest.

    Args:
        cohort: The real images that the synthetic ones join (the training split).
        prompts: Words the groups.
        seed: Seed of the study.

    Reference:
        FairGen, Eq. 9.
    """
    counts = cohort.counts()
    largest = max(counts.values())
    return plan(prompts, {g: largest - n for g, n in counts.items()}, seed)


def ratio_plan(cohort: Cohort, prompts: Wording, ratio: float, seed: int) -> Plan:
    """Return the plan of ``ratio`` synthetic images a real one, spread evenly over the groups.

    What does not divide evenly goes to the groups with the fewest real images.

    Args:
        cohort: The real images that the synthetic ones join (the training split).
        prompts: Words the groups.
        ratio: Synthetic images for one real image; zero gives an empty plan.
        seed: Seed of the study.

    Raises:
        CohortError: If ``ratio`` is negative.

    Reference:
        FairGen, Eq. 9.
    """
    if ratio < 0:
        raise CohortError(f"ratio {ratio}; expected 0 or more")
    counts = cohort.counts()
    each, left = divmod(round(ratio * len(cohort)), len(counts))
    fewest = set(sorted(counts, key=lambda g: counts[g])[:left])
    return plan(prompts, {g: each + (g in fewest) for g in counts}, seed)
