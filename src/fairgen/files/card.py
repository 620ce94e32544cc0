"""The file ``cohort.json``: what a cohort folder says about itself."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from fairgen.cohort.schema import Attribute, Schema
from fairgen.errors import CohortError
from fairgen.files.atomic import write_json

NAME = "cohort.json"


class LevelsCard(BaseModel, extra="forbid", frozen=True):
    """Names a column and its closed, ordered levels.

    Attributes:
        name: Column of the metadata.
        levels: Values that it may have.
    """

    name: str
    levels: tuple[str, ...]

    def attribute(self) -> Attribute:
        """Return the attribute it describes.

        Raises:
            CohortError: If a level is empty or named twice.
        """
        return Attribute(self.name, self.levels)


class PromptCard(BaseModel, extra="forbid", frozen=True):
    """Says how prompts are worded.

    Attributes:
        template: As in ``Modality``.
        words: Wording of single levels.
    """

    template: str
    words: dict[str, str] = Field(default_factory=dict)


class Card(BaseModel, extra="forbid", frozen=True):
    """Describes a cohort folder; the file that says which layout is in force.

    Attributes:
        format: Version of the folder's layout.
        modality: Key in ``MODALITIES``.
        attributes: The sensitive attributes.
        label: The disease label.
        prompt: Wording of the prompts.
        layout: ``flat`` (one table) or ``split`` (a folder a split).
        pending: Whether a change of layout had begun and not ended.
        split: Seed, fractions and counts of the split, once there is one.
        source: Where the images come from.
        terms: Name of the file with the terms of use, or empty.
    """

    format: Literal["fairgen-cohort-1"] = "fairgen-cohort-1"
    modality: str
    attributes: tuple[LevelsCard, ...]
    label: LevelsCard
    prompt: PromptCard
    layout: Literal["flat", "split"] = "flat"
    pending: bool = False
    split: dict[str, Any] = Field(default_factory=dict)
    source: dict[str, Any] = Field(default_factory=dict)
    terms: str = ""

    def schema_of_groups(self) -> Schema:
        """Return the schema it describes.

        Raises:
            CohortError: If two columns have one name, or a level is wrong.
        """
        return Schema(tuple(a.attribute() for a in self.attributes), self.label.attribute())


def read_card(root: Path) -> Card:
    """Return what a cohort folder says about itself.

    Raises:
        CohortError: If the folder has no ``cohort.json``, or one that cannot be understood.
    """
    path = root / NAME
    try:
        return Card.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise CohortError(f"{path}: no such file; expected a cohort folder") from error
    except OSError as error:
        raise CohortError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise CohortError(f"{path}: {first_problem(error)}") from error


def write_card(root: Path, card: Card) -> None:
    """Write ``cohort.json`` atomically.

    Raises:
        StudyError: If it cannot be written.
    """
    write_json(root / NAME, card.model_dump(mode="json"))


def first_problem(error: ValidationError) -> str:
    """Return the first complaint of pydantic as one line: key, found, expected."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    found = "" if first["type"] == "missing" else f" (found {str(first['input'])[:60]!r})"
    return f"{where}: {first['msg']}{found}" if where else first["msg"]
