"""What a built-in cohort consists of, and who its subjects are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8

from fairgen.cohort.schema import Group, Schema
from fairgen.cohort.seed import derive
from fairgen.errors import CohortError

Image: TypeAlias = UInt8[np.ndarray, "height width channels"]
Chunk: TypeAlias = tuple[Group, int]


@dataclass(frozen=True)
class Specimen:
    """Names one image that a phantom can render.

    Attributes:
        group: The image's group.
        subject: Identifier of the patient; it alone decides what all images of a subject share.
        index: Position in the cohort, from zero.
        seed: Decides what belongs to this image alone.
    """

    group: Group
    subject: str
    index: int
    seed: int


@dataclass(frozen=True)
class Quantity:
    """Describes one thing that an oracle measures.

    Attributes:
        name: Key in what ``anatomy`` and ``measure`` return.
        label: Name for a reader.
        unit: Unit, or what it is a share of; empty for a count or a pure number.
        robust: Whether it is still measured well (correlation with the truth of 0.7 or more) after
            an autoencoder's round trip, so that generated images may be judged by it.
    """

    name: str
    label: str
    unit: str = ""
    robust: bool = True


@dataclass(frozen=True)
class Phantom:
    """Describes a built-in cohort whose anatomy is known.

    Attributes:
        name: Key in ``PHANTOMS``.
        modality: Key in ``MODALITIES``.
        schema: Its groups.
        specimens: Who is in a cohort of ``(count, seed)``.
        render: The image of ``(specimen, size in pixels)``.
        anatomy: The true anatomy of a specimen, under the names that ``measure`` uses.
        measure: The oracle: anatomy from pixels alone, or ``None`` where the image shows nothing
            that can be measured.
        quantities: What anatomy consists of; empty where there is none.
        looked_at: The quantities that the oracle goes by where it prefers one image to another in a
            physician's place; empty where it cannot.
        kept_back: The quantities that it never looks at then, so that they can judge what came of
            its preferences.
        template: Prompt template; empty for the modality's own.
        words: How a level is worded in the prompt, where its name would not do.
    """

    name: str
    modality: str
    schema: Schema
    specimens: Callable[[int, int], tuple[Specimen, ...]]
    render: Callable[[Specimen, int], Image]
    anatomy: Callable[[Specimen], Mapping[str, float]]
    measure: Callable[[Image], Mapping[str, float] | None]
    quantities: tuple[Quantity, ...] = ()
    looked_at: tuple[str, ...] = ()
    kept_back: tuple[str, ...] = ()
    template: str = ""
    words: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def balanced(schema: Schema, per_group: int, purpose: str) -> tuple[Specimen, ...]:
    """Return as many specimens of every group, each a subject of its own, that no cohort holds.

    Args:
        schema: The groups.
        per_group: Specimens of each.
        purpose: What they serve; another purpose gives other specimens.
    """
    return tuple(
        Specimen(group, f"{purpose}-{group.key}-{i}", i, derive(0, purpose, group.key, i))
        for group in schema.groups()
        for i in range(per_group)
    )


def apportion(shares: Mapping[Group, float], count: int) -> dict[Group, int]:
    """Return whole numbers of images in proportion to the shares (largest remainder).

    Args:
        shares: Share of each group; they need not sum to 1.
        count: Number of images; the result sums to it.

    Raises:
        CohortError: If the count is not positive.
    """
    if count < 1:
        raise CohortError(f"count: found {count}; expected at least 1")
    total = sum(shares.values())
    exact = {g: count * share / total for g, share in shares.items()}
    whole = {g: int(x) for g, x in exact.items()}
    by_remainder = sorted(exact, key=lambda g: whole[g] - exact[g])
    for group in by_remainder[: count - sum(whole.values())]:
        whole[group] += 1
    return whole


def specimens(
    shares: Mapping[Group, float],
    images_per_subject: Sequence[float],
    name: str,
    mixed: float = 0.0,
) -> Callable[[int, int], tuple[Specimen, ...]]:
    """Return the function that plans a cohort: ``(count, seed) -> specimens``.

    Args:
        shares: Share of each group.
        images_per_subject: Chance of 1, 2, ... images of a subject in one group.
        name: Name of the phantom; it begins every subject's identifier.
        mixed: Chance that a subject also has images of another label (same attribute levels).
    """

    def plan(count: int, seed: int) -> tuple[Specimen, ...]:
        rng = np.random.default_rng(derive(seed, f"{name} cohort", count))
        chunks = [
            chunk
            for group, n in apportion(shares, count).items()
            for chunk in _chunks(group, n, images_per_subject, rng)
        ]
        shuffled = [chunks[i] for i in rng.permutation(len(chunks))]
        people = _join(shuffled, mixed, len(images_per_subject), rng)
        return _number(people, name, seed)

    return plan


def _chunks(
    group: Group, count: int, chances: Sequence[float], rng: np.random.Generator
) -> list[Chunk]:
    """Divide a group's images among subjects."""
    chunks: list[Chunk] = []
    while count > 0:
        size = min(count, 1 + int(rng.choice(len(chances), p=chances)))
        chunks.append((group, size))
        count -= size
    return chunks


def _join(
    chunks: list[Chunk], mixed: float, most: int, rng: np.random.Generator
) -> list[list[Chunk]]:
    """Make each chunk a subject, but join a share of them to another label's of the same levels."""
    people: list[list[Chunk]] = []
    waiting: dict[tuple[str, ...], list[Chunk]] = {}
    for group, size in chunks:
        partner = waiting.get(group.levels)
        if partner and partner[0][0].label != group.label and partner[0][1] + size <= most:
            waiting.pop(group.levels).append((group, size))
            continue
        people.append([(group, size)])
        if partner is None and rng.random() < mixed:
            waiting[group.levels] = people[-1]
    return people


def _number(people: list[list[Chunk]], name: str, seed: int) -> tuple[Specimen, ...]:
    """Give every subject an identifier, and every image its index and seed."""
    found: list[Specimen] = []
    for number, chunks in enumerate(people):
        subject = f"{name}-{derive(seed, f'{name} subject', number) % 16**10:010x}"
        for group, size in chunks:
            for _ in range(size):
                index = len(found)
                image_seed = derive(seed, f"{name} image", index)
                found.append(Specimen(group, subject, index, image_seed))
    return tuple(found)
