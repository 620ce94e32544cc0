"""Arms of a study: methods of its own, each like another one but for what its table changes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, Field

from fairgen.engine.settings import TrainSettings
from fairgen.errors import StudyError
from fairgen.methods.method import METHODS, Method
from fairgen.study.overrides import validate

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
RESERVED = frozenset({"real", "autoencoder", "candidates", "preferences", "reward", "none"})
"""Names that mean something else in a run folder, in scores, or in a study file."""
LEFT_OUT = "none"


class Arm(BaseModel, extra="forbid", frozen=True):
    """Describes a method of the study's own.

    Attributes:
        like: Key of ``METHODS``, or another arm: whose method, training and start it has, but for
            what follows.
        after: Method or arm whose finished model, of the same seed, the training begins from in
            place of the base; ``none`` for the base again. Its steps come on top.
        method: Laid over that method's recipe, table by table; ``none`` leaves a part out.
        train: Laid over that method's training settings.
    """

    like: str
    after: str | None = None
    method: dict[str, Any] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """Holds all that tells one method under comparison from another.

    Attributes:
        name: Its name, in the run folder and in scores.
        method: How images are drawn and what is minimised.
        train: How it is trained.
        after: Name of the recipe whose finished model it begins from; ``None`` for the base.
    """

    name: str
    method: Method
    train: TrainSettings
    after: str | None = None

    @property
    def takes_reward(self) -> bool:
        """Return whether it needs a reward model."""
        return self.method.alignment is not None and self.method.alignment.reward != "none"


def resolve(
    names: Sequence[str], arms: Mapping[str, Arm], train: TrainSettings, *, first: Sequence[str]
) -> dict[str, Recipe]:
    """Return the recipes of everything that is trained, in the order of training.

    Args:
        names: Methods under comparison: keys of ``METHODS`` or of ``arms``.
        arms: The study's own methods.
        train: How the study trains.
        first: Further methods, trained before all others.

    Raises:
        StudyError: If an arm's name, ``like`` or ``after`` is wrong, an arm changes nothing or is
            used by nobody, or what it lays over a recipe does not fit; the message names the key.
    """
    for name in arms:
        _check_name(name)
    book = _Book(arms, train)
    named = {name: book.recipe(name, "methods") for name in (*first, *names)}
    starts = {name: _starts(recipe, book) for name, recipe in named.items()}
    for name in arms:
        _starts(book.recipe(name, "arms"), book)
    _check_used(arms, names)
    order = dict.fromkeys(name for own in starts.values() for name in own)
    return {name: book.recipe(name, "methods") for name in order}


@dataclass(frozen=True)
class _Book:
    """Holds what recipes are looked up in."""

    arms: Mapping[str, Arm]
    train: TrainSettings

    def recipe(self, name: str, key: str, seen: tuple[str, ...] = ()) -> Recipe:
        """Return the recipe of a method or arm.

        Args:
            name: Which.
            key: Key of the study file that names it.
            seen: Arms that are like one another and lead here.

        Raises:
            StudyError: If there is no such method or arm, or it is like itself.
        """
        if name in seen:
            raise StudyError(f"{key}: leads back to itself ({' -> '.join((*seen, name))})")
        if name in METHODS:
            return Recipe(name, METHODS[name], self.train)
        if name not in self.arms:
            known = [*METHODS, *self.arms]
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise StudyError(
                f"{key}: unknown method '{name}'; expected one of {', '.join(known)}{hint}"
            )
        arm, key = self.arms[name], f"arms.{name}"
        return _laid_over(self.recipe(arm.like, f"{key}.like", (*seen, name)), name, arm)


def _laid_over(model: Recipe, name: str, arm: Arm) -> Recipe:
    """Return what an arm makes of the recipe that it is like.

    Raises:
        StudyError: If a key is unknown or a value wrong, or nothing differs.
    """
    key = f"arms.{name}"
    if "name" in arm.method:
        raise StudyError(f"{key}.method.name: an arm is named by its table; expected no name here")
    own = model.method.model_dump(exclude_none=True, exclude={"name", "source"})
    content = {"name": name, **merged(own, arm.method)}
    method = validate(Method, content, f"{key}.method")
    train = validate(TrainSettings, {**model.train.model_dump(), **arm.train}, f"{key}.train")
    after = model.after if arm.after is None else None if arm.after == LEFT_OUT else arm.after
    made = Recipe(name, method, train, after)
    source = {"name": model.name, "source": model.method.source}
    same = replace(made, name=model.name, method=method.model_copy(update=source))
    if same == model:
        raise StudyError(
            f"{key}: changes nothing; expected a difference from {arm.like} in after, method or "
            "train"
        )
    return made


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return one dictionary laid over another; tables are merged, other values replaced."""
    found = dict(below)
    for key, value in above.items():
        old = found.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        found[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return found


def _starts(recipe: Recipe, book: _Book) -> tuple[str, ...]:
    """Return the recipes that must be trained before one, in order, and itself last.

    Raises:
        StudyError: If a start is unknown, or a recipe begins from itself.
    """
    chain = [recipe.name]
    while recipe.after is not None:
        key = f"arms.{recipe.name}.after"
        if recipe.after in chain:
            circle = " -> ".join((*chain, recipe.after))
            raise StudyError(f"{key}: leads back to itself ({circle})")
        recipe = book.recipe(recipe.after, key)
        chain.append(recipe.name)
    return tuple(reversed(chain))


def _check_name(name: str) -> None:
    """Raise unless an arm can have this name.

    Raises:
        StudyError: If not.
    """
    if name in METHODS:
        raise StudyError(f"arms.{name}: is a method's own name; expected another")
    if name in RESERVED:
        taken = ", ".join(sorted(RESERVED))
        raise StudyError(f"arms.{name}: the name is taken; expected none of {taken}")
    if not NAME.fullmatch(name):
        raise StudyError(
            f"arms.{name}: expected a name of at most 40 letters, digits, - and _, as it becomes a "
            "folder"
        )


def _check_used(arms: Mapping[str, Arm], names: Sequence[str]) -> None:
    """Raise if an arm is neither compared nor referred to.

    Raises:
        StudyError: If so.
    """
    used = {*names, *(n for arm in arms.values() for n in (arm.like, arm.after))}
    for name in arms:
        if name not in used:
            raise StudyError(
                f"arms.{name}: is used by nobody; expected it in methods, or in like or after of "
                "another arm"
            )
