"""Kinds of medical images and the prompts that name their groups."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fairgen.cohort.schema import Group, Schema
from fairgen.errors import CohortError


@dataclass(frozen=True)
class Modality:
    """Describes one kind of image.

    Attributes:
        name: Key in ``MODALITIES``.
        template: Prompt with ``{label}`` and ``{attributes}`` (levels joined by commas), or with
            the attributes' own names, such as ``{tone}``.
        channels: 3 for colour, 1 for grey.
        flip: Whether a mirrored image is as valid as the original. Chest and axial brain images
            have a left and a right, so it is off there.
    """

    name: str
    template: str
    channels: int
    flip: bool


MODALITIES: Mapping[str, Modality] = MappingProxyType(
    {
        m.name: m
        for m in (
            Modality("skin", "a photograph of {label} on {attributes} skin", 3, flip=True),
            Modality(
                "chest", "a chest X-ray of a {attributes} patient with {label}", 1, flip=False
            ),
            Modality("mri", "an axial brain MRI of a {attributes} patient, {label}", 1, flip=False),
            Modality("generic", "{label}, {attributes}", 3, flip=False),
        )
    }
)


def find_modality(name: str) -> Modality:
    """Return the modality of that name.

    Raises:
        CohortError: If there is none; the message lists those that exist.
    """
    if name not in MODALITIES:
        raise CohortError(f"unknown modality '{name}'; expected one of {', '.join(MODALITIES)}")
    return MODALITIES[name]


@dataclass(frozen=True)
class Prompts:
    """Turns groups into prompts and back: ``parse(render(group)) == group``.

    Attributes:
        schema: The groups.
        template: As in ``Modality``.
        words: How a level is worded in the prompt where its own name would not do, such as
            ``{"NV": "a melanocytic nevus"}``.
    """

    schema: Schema
    template: str
    words: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        texts = [self.render(g) for g in self.schema.groups()]
        if len(set(texts)) != len(texts):
            twice = next(t for t in texts if texts.count(t) > 1)
            raise CohortError(f"prompt '{twice}' stands for two groups; mend template or words")

    def render(self, group: Group) -> str:
        """Return the prompt of a group.

        Raises:
            CohortError: If the template names a field that the schema lacks.
        """
        levels = [self.words.get(level, level) for level in group.levels]
        named = dict(zip((a.name for a in self.schema.attributes), levels, strict=True))
        fields = {
            **named,
            "attributes": ", ".join(levels),
            "label": self.words.get(group.label, group.label),
            self.schema.label.name: self.words.get(group.label, group.label),
        }
        try:
            return self.template.format_map(fields)
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            raise CohortError(
                f"prompt template '{self.template}': {error} is no field; "
                f"expected {', '.join(sorted(fields))}"
            ) from error

    def parse(self, text: str) -> Group:
        """Return the group that a prompt names.

        Raises:
            CohortError: If no group has this prompt.
        """
        for group in self.schema.groups():
            if self.render(group) == text:
                return group
        raise CohortError(f"prompt '{text}' names no group of this cohort")
