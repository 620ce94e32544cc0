"""What methods learn from raters under one seed: candidates, pairs, and the reward model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairgen.cohort.plan import balanced_plan
from fairgen.cohort.seed import derive
from fairgen.engine.generate import generate, open_generator
from fairgen.engine.pairs import Feedback
from fairgen.engine.reward import train_reward
from fairgen.engine.sampling import SampleSettings
from fairgen.files.digest import file_digest, value_digest
from fairgen.files.folder import read_cohort
from fairgen.files.preferences import read_preferences
from fairgen.modalities.modality import Prompts
from fairgen.preferences.oracle import oracle_judge
from fairgen.preferences.proxy import proxy_judge
from fairgen.preferences.review import PREFERENCES as FILE
from fairgen.preferences.review import write_review
from fairgen.study.arms import Recipe
from fairgen.study.part import Part

CANDIDATES, PREFERENCES, REWARD = "candidates", "preferences", "reward"


@dataclass(frozen=True)
class Told:
    """Says what raters said under one seed.

    Attributes:
        source: As in ``PreferenceSettings``.
        file: The preference file.
        key: What it depends on.
        reward: Folder and key of the reward model, if some method takes one.
    """

    source: str
    file: Path
    key: str
    reward: tuple[Path, str] | None = None

    def feedback(self, recipe: Recipe) -> Feedback | None:
        """Return what a recipe's training is told; nothing if it learns from no preferences."""
        if recipe.method.alignment is None:
            return None
        reward = self.reward if recipe.takes_reward else None
        return Feedback(self.file, None if reward is None else reward[0], self.source)

    def inputs(self, recipe: Recipe) -> list[str]:
        """Return what a recipe's training depends on beside its own settings."""
        if recipe.method.alignment is None:
            return []
        reward = self.reward if recipe.takes_reward else None
        return [self.source, self.key, *([] if reward is None else [reward[1]])]


def gather(part: Part, seed: int, shared: list[Any], keys: Mapping[str, str]) -> Told | None:
    """Make what methods learn from under one seed, if the study asks for preferences.

    Args:
        part: The study, in its place.
        seed: The seed.
        shared: What cohort and base depend on.
        keys: Key of ``extractor``, and of the model ``sd`` where it draws candidates.

    Raises:
        FairGenError: If any of it cannot be made.
    """
    own = part.study.preferences
    if own.source == "none":
        return None
    if own.file is not None:
        told = Told(own.source, own.file, pairs_digest(own.file, part.cohort().prompts))
    else:
        file = part.root / f"seed{seed}" / PREFERENCES / FILE
        told = Told(own.source, file, _ask(part, seed, keys))
    if not any(r.takes_reward for r in part.study.recipes().values()):
        return told
    place = f"seed{seed}/{REWARD}"
    key = part.make(
        place,
        [shared, told.key, own.reward.model_dump(), seed],
        lambda path: _train_reward(part, seed, told.file, path),
    )
    return Told(told.source, told.file, told.key, (part.root / place, key))


def pairs_digest(file: Path, prompts: Prompts) -> str:
    """Return the digest of a preference file's groups and images.

    Raises:
        PreferenceError: If the file is wrong.
    """
    said = read_preferences(file, prompts)
    return value_digest([[p.group.key, file_digest(p.winner), file_digest(p.loser)] for p in said])


def _ask(part: Part, seed: int, keys: Mapping[str, str]) -> str:
    """Draw candidates, have pairs of them answered, and return the key of the answers."""
    study, own = part.study, part.study.preferences
    sample = study.generate.sample.model_copy(update={"guidance": study.generate.guidance[0]})
    drawn = part.make(
        f"seed{seed}/{CANDIDATES}",
        [keys["sd"], own.candidates, sample.model_dump(), seed],
        lambda path: _draw(part, seed, sample, path),
    )
    judge = [keys["extractor"]] if own.source == "proxy" else []
    return part.make(
        f"seed{seed}/{PREFERENCES}",
        [drawn, own.source, own.per_group, own.error_rate, judge, seed],
        lambda path: _answer(part, seed, path),
    )


def _draw(part: Part, seed: int, sample: SampleSettings, out: Path) -> None:
    """Let ``sd`` draw the candidates: images of every group alike, from seeds of their own."""
    generator = open_generator(part.root / f"seed{seed}" / "sd" / "model")
    count = part.study.preferences.candidates
    plan = balanced_plan(generator.prompts, count, derive(seed, "candidates"))
    generate(generator, plan, out=out, settings=sample)


def _answer(part: Part, seed: int, out: Path) -> None:
    """Write a review of the candidates that the oracle or the proxy has answered."""
    own, candidates = part.study.preferences, read_cohort(part.root / f"seed{seed}" / CANDIDATES)
    if own.source == "oracle":
        judge = oracle_judge(candidates, error_rate=own.error_rate)
    else:
        judge = proxy_judge(candidates, part.root / "extractor")
    write_review(
        candidates, out, per_group=own.per_group, seed=derive(seed, "preferences"), judge=judge
    )


def _train_reward(part: Part, seed: int, file: Path, out: Path) -> None:
    cohort = part.cohort()
    train_reward(
        read_preferences(file, cohort.prompts),
        folder=cohort,
        base=part.base,
        settings=part.study.preferences.reward,
        out=out,
        seed=derive(seed, "reward"),
    )
