"""What a downstream classifier is given, what it returns, and what may be set about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, UInt8
from pydantic import BaseModel, Field

Log = Callable[[Mapping[str, object]], None]


class ClassifySettings(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Sets a downstream classifier and its training.

    The number of optimisation steps is the same with and without synthetic images, so that neither
    arm trains longer than the other.

    Attributes:
        classifier: Name in ``CLASSIFIERS``.
        steps: Optimisation steps.
        batch_size: Images a step.
        learning_rate: Peak learning rate of AdamW; warm-up over a tenth, then a half cosine. Unset,
            2e-3 from scratch and 5e-5 for pretrained weights.
        weight_decay: Weight decay of AdamW.
        label_smoothing: Share of each target spread over all classes, in [0, 1).
        shift: Largest random move of training images, as a share of the side.
        flip: Mirror half of the training images; unset, as the modality allows.
        evaluations: Number of evaluation periods; each ends with a look at the validation split.
        select: Validation figure that chooses the checkpoint: ``accuracy``, ``macro`` (mean over
            classes) or ``worst`` (of the worst subgroup).
        reweight: Whether subgroups weigh by the inverse of their validation accuracy (Eq. 10).
        reweight_by: What the weight enters: the ``loss`` of a sample, or its chance to be drawn.
        normalise: Over what the weights have mean 1: ``subgroups``, or training ``samples``.
        eps: Keeps a subgroup of zero accuracy from silencing the others.
        only_synthetic: Train on synthetic images alone (classification accuracy score).
        size: Side of the images in pixels; unset, 64 from scratch or what the weights expect.
        width: Width of ``vit-tiny``.
        depth: Layers of ``vit-tiny``.
        heads: Attention heads of ``vit-tiny``.
        patch: Side of a patch of ``vit-tiny`` in pixels.
        model: Hub id or folder of the pretrained weights of ``vit``.
    """

    classifier: str = "vit-tiny"
    steps: int = Field(default=800, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    shift: float = Field(default=0.06, ge=0, le=0.5)
    flip: bool | None = None
    evaluations: int = Field(default=12, ge=1)
    select: Literal["accuracy", "macro", "worst"] = "macro"
    reweight: bool = False
    reweight_by: Literal["loss", "draws"] = "loss"
    normalise: Literal["subgroups", "samples"] = "subgroups"
    eps: float = Field(default=0.05, gt=0)
    only_synthetic: bool = False
    size: int | None = Field(default=None, ge=8)
    width: int = Field(default=64, ge=8)
    depth: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    patch: int = Field(default=8, ge=2)
    model: str = "google/vit-base-patch16-224"


@dataclass(frozen=True)
class Task:
    """Names what must be told apart.

    Attributes:
        classes: Labels, in the order of the probabilities.
        subgroups: Subgroups, in the order of ``Samples.subgroups``.
    """

    classes: tuple[str, ...]
    subgroups: tuple[str, ...]


@dataclass(frozen=True)
class Samples:
    """Holds images with the positions of their labels and subgroups."""

    images: UInt8[np.ndarray, "n size size c"]
    labels: Int[np.ndarray, " n"]
    subgroups: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Lesson:
    """Holds all that a classifier may learn from; the test split is not in it."""

    task: Task
    train: Samples
    valid: Samples


@runtime_checkable
class Predictor(Protocol):
    """Predicts labels of images."""

    def probabilities(self, images: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n k"]:
        """Return one row an image and one column a class, rows summing to 1."""
        ...

    def save(self, folder: Path) -> None:
        """Write what is needed to predict again into an existing folder."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """Learns from a lesson; a member of ``CLASSIFIERS``."""

    @property
    def name(self) -> str:
        """Return the key in ``CLASSIFIERS``."""
        ...

    @property
    def title(self) -> str:
        """Return what it is, in words for a reader."""
        ...

    @property
    def own(self) -> frozenset[str]:
        """Return the settings that not every classifier reads, but this one does."""
        ...

    def resolve(self, settings: ClassifySettings) -> ClassifySettings:
        """Return the settings with this classifier's own defaults filled in."""
        ...

    def fit(self, lesson: Lesson, settings: ClassifySettings, *, seed: int, log: Log) -> Predictor:
        """Return a predictor trained on ``lesson.train`` and chosen on ``lesson.valid``."""
        ...
