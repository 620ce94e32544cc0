"""A finished training, opened to draw from its model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fairgen.cohort.schema import Group
from fairgen.errors import CheckpointError
from fairgen.files.card import Card, first_problem
from fairgen.files.digest import folder_digest
from fairgen.files.mapping import read_mapping
from fairgen.modalities.modality import Modality, Prompts, find_modality

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Generator:
    """Names a trained model and what its prompts stand for.

    Attributes:
        pipeline: Folder of the diffusers pipeline.
        digest: Digest of that folder.
        prompts: Groups of the cohort that it was trained on, and their wording.
        modality: Kind of image.
        counts: Training images of each group.
        manifest: The training's manifest.
    """

    pipeline: Path
    digest: str
    prompts: Prompts
    modality: Modality
    counts: dict[Group, int]
    manifest: dict[str, Any]


class Manifest(BaseModel, extra="ignore", frozen=True):
    """Lists what a training's ``manifest.json`` must hold to draw from its model.

    Attributes:
        pipeline_digest: Digest of the pipeline folder.
        method: The recipe; its ``name`` is one of ``METHODS`` or that of a study's arm.
        preferences: Where preferences came from.
        seed: Seed of the training.
        source: Where the training images come from.
        cohort: Groups and wording.
        counts: Training images of each group's key.
    """

    pipeline_digest: str
    method: dict[str, Any]
    preferences: str
    seed: int
    source: dict[str, Any]
    cohort: Card
    counts: dict[str, int]


def open_generator(model: str | Path) -> Generator:
    """Return the finished training in a folder written by ``train``.

    Raises:
        CheckpointError: If the folder holds no finished training, its manifest is damaged, or the
            pipeline was changed since.
    """
    model = Path(model)
    path = model / MANIFEST
    if not path.is_file():
        raise CheckpointError(
            f"{model}: no {MANIFEST}; expected a folder written by `fairgen train` that finished"
        )
    content = read_mapping(path, CheckpointError, "the manifest that `fairgen train` wrote")
    try:
        found = Manifest.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(f"{path}: is damaged: {first_problem(error)}") from error
    digest = folder_digest(model / "pipeline")
    if digest != found.pipeline_digest:
        raise CheckpointError(f"{model}/pipeline: differs from what {MANIFEST} says was written")
    card = found.cohort
    prompts = Prompts(card.schema_of_groups(), card.prompt.template, card.prompt.words)
    counts = {prompts.schema.group(k): n for k, n in found.counts.items()}
    modality = find_modality(card.modality)
    return Generator(model / "pipeline", digest, prompts, modality, counts, content)
