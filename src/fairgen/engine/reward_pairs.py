"""Preference pairs, divided so that no image is both learned from and measured on."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairgen.cohort.schema import Group
from fairgen.cohort.seating import deal
from fairgen.cohort.seed import derive
from fairgen.cohort.split import Fractions
from fairgen.engine.reward_card import PARTS, RewardSettings
from fairgen.errors import PreferenceError
from fairgen.files.digest import file_digest
from fairgen.files.folder import CohortFolder
from fairgen.files.preferences import Preference, check_unseen

LEAST = 20  # pairs


@dataclass(frozen=True)
class Pair:
    """Names a preferred and a rejected image by their contents' digests."""

    group: Group
    winner: str
    loser: str

    def as_row(self) -> list[str]:
        """Return what JSON holds of it."""
        return [self.group.key, self.winner, self.loser]


Parts = tuple[tuple[Pair, ...], tuple[Pair, ...], tuple[Pair, ...]]


def as_pairs(
    preferences: Sequence[Preference], folder: CohortFolder
) -> tuple[tuple[Pair, ...], dict[str, Path]]:
    """Return the pairs, and where the image of each digest lies.

    Raises:
        PreferenceError: If there are too few, or an image must not be seen.
        CohortError: If a group is none of the cohort's.
    """
    if len(preferences) < LEAST:
        raise PreferenceError(f"{len(preferences)} preferences; expected at least {LEAST}")
    paths = dict.fromkeys(path for p in preferences for path in (p.winner, p.loser))
    digests = {path: file_digest(path) for path in paths}
    files: dict[str, Path] = {}
    for path, digest in digests.items():
        files.setdefault(digest, path)
    check_unseen(folder, files.values())
    check = folder.cohort.schema.check
    pairs = tuple(Pair(check(p.group), digests[p.winner], digests[p.loser]) for p in preferences)
    return pairs, files


def units(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return for each pair the name of the set of pairs that hang together by their images."""
    above: dict[str, str] = {}

    def top(image: str) -> str:
        while (next_ := above.setdefault(image, image)) != image:
            above[image] = above[next_]
            image = above[image]
        return image

    for pair in pairs:
        low, high = sorted((top(pair.winner), top(pair.loser)))
        above[high] = low
    return tuple(top(pair.winner) for pair in pairs)


def divide_pairs(pairs: Sequence[Pair], settings: RewardSettings, seed: int) -> tuple[Parts, int]:
    """Return training, validation and held-out pairs that share no image, and how many are dropped.

    Sets that hang together are dealt out whole, each group alike. Where a group has less than half
    of its share in a part, its largest set is cut in two first; pairs across the cut are dropped.
    Where groups are too small to be divided alike, only the whole is.

    Raises:
        PreferenceError: If more than ``max_dropped`` would be dropped, or a part stays empty.
    """
    piece: dict[str, int] = defaultdict(int)
    while True:
        kept = [p for p in pairs if piece[p.winner] == piece[p.loser]]
        _check_dropped(len(pairs) - len(kept), len(pairs), settings)
        sets = dict(zip(kept, units(kept), strict=True))
        chosen = _dealt(kept, sets, settings.fractions, seed, alike=True)
        cut = _cut(kept, sets, chosen, settings.fractions)
        if cut is None:
            break
        number = max(piece.values()) + 1
        piece.update(dict.fromkeys(cut, number))
    have = Counter(chosen[sets[p]] for p in kept)
    if any(have[j] < f * len(kept) / 2 for j, f in enumerate(settings.fractions)):
        chosen = _dealt(kept, sets, settings.fractions, seed, alike=False)
    parts = [tuple(p for p in kept if chosen[sets[p]] == j) for j in range(len(PARTS))]
    if not all(parts):
        raise PreferenceError(
            f"{len(pairs)} preferences in {len(set(sets.values()))} sets that share images; too "
            "few to learn, choose and measure on; expected more pairs, each image in one or two"
        )
    return (parts[0], parts[1], parts[2]), len(pairs) - len(kept)


def _check_dropped(dropped: int, total: int, settings: RewardSettings) -> None:
    if dropped > settings.max_dropped * total:
        raise PreferenceError(
            f"{total} preferences: more than {settings.max_dropped:.0%} would have to be dropped, "
            "so that no image is both learned from and measured on; expected pairs in which an "
            "image occurs once or twice (draw more images, fewer pairs of each), or a larger "
            "max_dropped by --set max_dropped=0.6"
        )


def _dealt(
    kept: Sequence[Pair], sets: Mapping[Pair, str], fractions: Fractions, seed: int, *, alike: bool
) -> dict[str, int]:
    """Return the part of every set: with each group alike, or all pairs taken as one group."""
    counts: dict[str, Counter[Group]] = defaultdict(Counter)
    for pair in kept:
        counts[sets[pair]][pair.group if alike else Group((), "")] += 1
    return deal(counts, fractions, derive(seed, "reward", "parts"))


def _cut(
    kept: Sequence[Pair],
    sets: Mapping[Pair, str],
    chosen: Mapping[str, int],
    fractions: Fractions,
) -> set[str] | None:
    """Return images to be parted from the rest of their set, or nothing if no cut would help."""
    groups: dict[Group, list[Pair]] = defaultdict(list)
    for pair in kept:
        groups[pair.group].append(pair)
    for _, own in sorted(groups.items(), key=lambda item: item[0].key):
        have, sizes = Counter(chosen[sets[p]] for p in own), Counter(sets[p] for p in own)
        largest, size = max(sizes.items(), key=lambda item: (item[1], item[0]))
        lacks = [
            (round(f * len(own)) - have[j])
            for j, f in enumerate(fractions)
            if have[j] < math.floor(f * len(own) / 2)
        ]
        if lacks and size > max(lacks):
            return _carved([p for p in kept if sets[p] == largest], max(lacks))
    return None


def _carved(pairs: Sequence[Pair], wanted: int) -> set[str]:
    """Return images that hold about so many of the pairs; few pairs lead out of them.

    It grows from an image with few pairs, always by the image that brings most and loses fewest.
    """
    links: dict[str, Counter[str]] = defaultdict(Counter)
    for pair in pairs:
        links[pair.winner][pair.loser] += 1
        links[pair.loser][pair.winner] += 1
    start = min(links, key=lambda image: (links[image].total(), image))
    inside, edge, held = {start}, Counter(links[start]), 0
    while held < wanted and len(inside) < len(links) - 1:
        best = max(edge, key=lambda image: (2 * edge[image] - links[image].total(), image))
        held += edge.pop(best)
        inside.add(best)
        edge.update({i: n for i, n in links[best].items() if i not in inside})
    return inside


def part_counts(parts: Parts, folder: CohortFolder) -> dict[str, dict[str, int]]:
    """Return the number of pairs of each group in each part."""
    found = {name: Counter(p.group for p in part) for name, part in zip(PARTS, parts, strict=True)}
    groups = folder.cohort.schema.groups()
    return {name: {g.key: counts[g] for g in groups} for name, counts in found.items()}
