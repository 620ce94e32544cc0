"""What a source is, and how its settings come from a preset and a user's options."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fairgen.errors import StudyError
from fairgen.files.card import first_problem
from fairgen.intake.sources.plan import Plan
from fairgen.intake.sources.terms import Terms


@dataclass(frozen=True)
class Source:
    """Describes a public release that can be imported.

    Attributes:
        name: Key in ``SOURCES``.
        about: What it holds, in one line.
        terms: What it asks of its users.
        layouts: The layouts of files and tables that are understood.
        options: The settings, a pydantic model.
        presets: Settings by the name of a task.
        plan: Reads the tables of a release's folder, and no image.
    """

    name: str
    about: str
    terms: Terms
    layouts: tuple[str, ...]
    options: type[BaseModel]
    presets: Mapping[str, Mapping[str, Any]]
    plan: Callable[[Path, Any], Plan]

    def settings(self, preset: str = "", options: Mapping[str, Any] | None = None) -> BaseModel:
        """Return the settings of a preset with a user's options laid over them.

        Raises:
            StudyError: If the preset or an option is unknown, or a value is wrong.
        """
        where = f"import {self.name}"
        if preset and preset not in self.presets:
            raise StudyError(f"{where}: preset '{preset}'; {nearest(preset, self.presets)}")
        given = {**self.presets.get(preset, {}), **(options or {})}
        for key in given:
            if key not in self.options.model_fields:
                raise StudyError(f"{where}: '{key}'; {nearest(key, self.options.model_fields)}")
        try:
            return self.options.model_validate(given)
        except ValidationError as error:
            raise StudyError(f"{where}: {first_problem(error)}") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """Return what to say of an unknown name."""
    names = list(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    return f"unknown; did you mean {near[0]}?" if near else f"expected one of {', '.join(names)}"
