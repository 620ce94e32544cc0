"""Questions to raters (which of two images shows its prompt better?), and what answers mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairgen.cohort.schema import Group
from fairgen.cohort.seed import derive
from fairgen.errors import CohortError, PreferenceError
from fairgen.files.digest import file_digest
from fairgen.files.folder import CohortFolder
from fairgen.files.preferences import Preference
from fairgen.files.synthetic import check_synthetic

LEFT, RIGHT, BOTH, NEITHER, CANNOT_JUDGE = "left", "right", "both", "neither", "cannot judge"
CHOICES = (LEFT, RIGHT, BOTH, NEITHER, CANNOT_JUDGE)


@dataclass(frozen=True)
class Comparison:
    """Asks which of two images shows a prompt better.

    Attributes:
        id: Name of the question, unlike that of any other in its review.
        group: The group that the prompt names.
        text: The prompt.
        left: Image shown on the left.
        right: Image shown on the right.
    """

    id: str
    group: Group
    text: str
    left: Path
    right: Path


@dataclass(frozen=True)
class Answer:
    """Holds what a rater said to one question.

    Attributes:
        comparison: Name of the question.
        choice: One of ``CHOICES``.
        rater: Who said so.
        time: When, in a form of the rater's program; empty where nobody looked at a clock.
        reason: Why, in the rater's words.
    """

    comparison: str
    choice: str
    rater: str = ""
    time: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if self.choice not in CHOICES:
            raise PreferenceError(
                f"comparison '{self.comparison}': unknown answer '{self.choice}'; "
                f"expected one of {', '.join(CHOICES)}"
            )


def draw_comparisons(folder: CohortFolder, *, per_group: int, seed: int) -> tuple[Comparison, ...]:
    """Return pairs of generated images of one prompt, the same number of every group.

    Within a group pairs are drawn uniformly, and none twice; no image is shown again before all
    others of its group were, so that pairs share as few images as can be. The order of the
    questions, and which image stands on the left, are random. Of images with the same bytes one
    takes part.

    Args:
        folder: A generated set.
        per_group: Questions about each group, at least one.
        seed: Decides all draws.

    Raises:
        CohortError: If the folder is no generated set, or a group has too few images.
        PreferenceError: If ``per_group`` is below one.
    """
    check_synthetic(folder, folder)  # of its own groups, so that this asks whether it is generated
    if per_group < 1:
        raise PreferenceError(f"{per_group} comparisons a group; expected at least 1")
    groups = enumerate(folder.cohort.schema.groups())
    found = [c for number, g in groups for c in _draw(folder, g, f"{number:02d}", per_group, seed)]
    order = np.random.default_rng(derive(seed, "order of comparisons")).permutation(len(found))
    return tuple(found[i] for i in order)


def _draw(
    folder: CohortFolder, group: Group, number: str, count: int, seed: int
) -> Iterator[Comparison]:
    """Yield the comparisons of one group.

    Raises:
        CohortError: If it has too few images.
    """
    images = _distinct(folder, group)
    pairs = len(images) * (len(images) - 1) // 2
    if pairs < count:
        raise CohortError(
            f"{folder.root}: group '{group.key}' has {len(images)} distinct images, which make "
            f"{pairs} pairs; expected at least {count}"
        )
    text = folder.prompts.render(group)
    rng = np.random.default_rng(derive(seed, "comparisons", group.key))
    shuffled = [images[i] for i in rng.permutation(len(images))]
    for k, turn in enumerate((rng.random(count) < 0.5).tolist()):
        left, right = (shuffled[i] for i in pairing(len(images), k)[:: -1 if turn else 1])
        yield Comparison(f"{number}-{k:05d}", group, text, left, right)


def _distinct(folder: CohortFolder, group: Group) -> list[Path]:
    """Return a group's images, one of each content."""
    paths = [folder.path(r) for r in folder.cohort.records if r.group == group]
    return list({file_digest(path): path for path in reversed(paths)}.values())[::-1]


def pairing(players: int, index: int) -> tuple[int, int]:
    """Return the two players of one game of a tournament in which each meets each once.

    It is played in rounds; in every round each plays once, but for one where their number is odd.

    Args:
        players: How many, at least two.
        index: Number of the game, below ``players * (players - 1) / 2``.

    Reference:
        The circle method of round-robin tournaments: the last player stays, the others turn.
    """
    turning = players - 1 + players % 2  # an odd number lacks the player who stays
    games = players // 2
    turn, game = divmod(index, games)
    step = game + players % 2
    if step == 0:
        return players - 1, turn
    return (turn + step) % turning, (turn - step) % turning


def preferences_of(
    comparisons: Sequence[Comparison], answers: Sequence[Answer]
) -> tuple[Preference, ...]:
    """Return the preferences that answers express; only "left" and "right" express any.

    Args:
        comparisons: The questions.
        answers: Any number of answers to each.

    Raises:
        PreferenceError: If an answer belongs to no question.
    """
    known = {c.id: c for c in comparisons}
    for answer in answers:
        if answer.comparison not in known:
            raise PreferenceError(f"answer to '{answer.comparison}': no comparison has that name")
    return tuple(_preference(known[a.comparison], a) for a in answers if a.choice in (LEFT, RIGHT))


def _preference(asked: Comparison, answer: Answer) -> Preference:
    left_wins = answer.choice == LEFT
    winner, loser = (asked.left, asked.right) if left_wins else (asked.right, asked.left)
    rest = answer.rater, answer.time, answer.reason
    return Preference(asked.group, asked.text, winner, loser, *rest)
