"""Vision transformers: a small one from scratch, and pretrained ones from a hub or a folder."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    PretrainedConfig,
    PreTrainedModel,
    ViTConfig,
    ViTForImageClassification,
)

from fairgen.classifiers.classifier import ClassifySettings, Lesson, Log, Task
from fairgen.classifiers.fit import NetworkPredictor, fit_network
from fairgen.cohort.seed import derive
from fairgen.engine.hub import fetched
from fairgen.errors import CheckpointError, StudyError

T = TypeVar("T")


@dataclass(frozen=True)
class NetworkClassifier:
    """Trains a transformers image classifier; a member of ``CLASSIFIERS``.

    Attributes:
        name: Key in ``CLASSIFIERS``.
        title: What it is, in words for a reader.
        own: Settings that not every classifier reads, but this one does.
        learning_rate: Peak learning rate where the settings leave it open.
        side: Side of the input in pixels where the settings leave it open.
        build: Returns the network with its initial weights.
    """

    name: str
    title: str
    own: frozenset[str]
    learning_rate: float
    side: Callable[[ClassifySettings], int]
    build: Callable[[Task, ClassifySettings], PreTrainedModel]

    def resolve(self, settings: ClassifySettings) -> ClassifySettings:
        """Return the settings with learning rate and size filled in.

        Raises:
            StudyError: If the size does not suit the network, or its weights are not at hand.
        """
        known = {
            "learning_rate": settings.learning_rate or self.learning_rate,
            "size": self.side(settings),
        }
        return settings.model_copy(update=known)

    def fit(
        self, lesson: Lesson, settings: ClassifySettings, *, seed: int, log: Log
    ) -> NetworkPredictor:
        """Return the network trained on ``lesson.train`` and chosen on ``lesson.valid``.

        Raises:
            StudyError: If the network cannot be built.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "classify", "weights"))
            model = self.build(lesson.task, settings)
        return fit_network(model, lesson, settings, seed=seed, log=log)


def small_side(settings: ClassifySettings) -> int:
    """Return the side of the small ViT's input.

    Raises:
        StudyError: If it is not a multiple of the patch, or the width not of the heads.
    """
    size = settings.size or 64
    if size % settings.patch:
        raise StudyError(f"classify.size: {size}; expected a multiple of patch {settings.patch}")
    if settings.width % settings.heads:
        raise StudyError(
            f"classify.width: {settings.width}; expected a multiple of heads {settings.heads}"
        )
    return size


def small_vit(task: Task, settings: ClassifySettings) -> PreTrainedModel:
    """Return a small plain ViT with random weights."""
    config = ViTConfig(
        image_size=small_side(settings),
        patch_size=settings.patch,
        hidden_size=settings.width,
        intermediate_size=2 * settings.width,
        num_hidden_layers=settings.depth,
        num_attention_heads=settings.heads,
        id2label=dict(enumerate(task.classes)),
        label2id={name: i for i, name in enumerate(task.classes)},
    )
    return ViTForImageClassification(config)


def pretrained_side(settings: ClassifySettings) -> int:
    """Return the side that pretrained weights expect.

    Raises:
        StudyError: If the weights are not at hand, or ``size`` asks for another side.
    """
    side = int(_config(settings.model).image_size)
    if settings.size not in (None, side):
        raise StudyError(f"classify.size: {settings.size}; {settings.model} expects {side}")
    return side


def pretrained(task: Task, settings: ClassifySettings) -> PreTrainedModel:
    """Return pretrained weights with a fresh head for the task's classes.

    Raises:
        StudyError: If the weights are not at hand.
    """
    head = {
        "id2label": dict(enumerate(task.classes)),
        "label2id": {name: i for i, name in enumerate(task.classes)},
        "ignore_mismatched_sizes": True,
    }
    return _fetched(
        settings.model, partial(AutoModelForImageClassification.from_pretrained, **head)
    )


def _config(model: str) -> PretrainedConfig:
    config = _fetched(model, AutoConfig.from_pretrained)
    if not isinstance(getattr(config, "image_size", None), int):
        raise StudyError(f"classify.model: '{model}' is no image classifier with a fixed size")
    return config


def _fetched(model: str, load: Callable[..., T]) -> T:
    """Return what is loaded from a local folder or from the hub.

    Raises:
        StudyError: If the weights are not at hand.
    """
    try:
        if Path(model).is_dir():
            return load(model)
        return fetched(model, "config.json", lambda local: load(model, local_files_only=local))
    except (OSError, ValueError, CheckpointError) as error:
        raise _absent(model) from error


def _absent(model: str) -> StudyError:
    return StudyError(
        f"classify.model: no weights of '{model}' on this machine; download them once while "
        "online, or name a local transformers folder of an image classifier"
    )


VIT_TINY = NetworkClassifier(
    name="vit-tiny",
    title="small ViT from scratch",
    own=frozenset({"width", "depth", "heads", "patch"}),
    learning_rate=2e-3,
    side=small_side,
    build=small_vit,
)
VIT = NetworkClassifier(
    name="vit",
    title="pretrained ViT",
    own=frozenset({"model"}),
    learning_rate=5e-5,
    side=pretrained_side,
    build=pretrained,
)
