"""One training loop for every network that classifies images."""

import copy
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from fairgen.classifiers.classifier import ClassifySettings, Lesson, Log, Samples
from fairgen.cohort.seed import derive
from fairgen.engine.extractor import best_device
from fairgen.engine.pixels import batches, evaluation_steps, jitter, tensor, warm_cosine
from fairgen.files.atomic import write_json
from fairgen.files.progress import progress_bar
from fairgen.metrics.reweight import inverse_performance

CHUNK = 128
PREPROCESSING: Mapping[str, object] = MappingProxyType(
    {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
)
"""What ``tensor`` does to an image, in the words of a transformers image processor."""


@dataclass(frozen=True)
class NetworkPredictor:
    """Predicts with a transformers image classifier.

    Attributes:
        model: The network; its ``config.image_size`` is the side of its input.
    """

    model: PreTrainedModel

    @torch.inference_mode()
    def probabilities(self, images: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n k"]:
        """Return one row an image and one column a class."""
        self.model.eval()
        size, device = self.model.config.image_size, self.model.device
        found = [np.empty((0, self.model.config.num_labels))]
        for i in range(0, len(images), CHUNK):
            x = tensor(images[i : i + CHUNK], size=size, channels=3).to(device)
            found.append(self.model(pixel_values=x).logits.double().softmax(1).cpu().numpy())
        return np.concatenate(found)

    def save(self, folder: Path) -> None:
        """Write a transformers folder, with the preprocessing beside the weights."""
        config, size = self.model.config, self.model.config.image_size
        config.architectures = [type(self.model).__name__]
        config.save_pretrained(folder)
        state = {k: v.detach().cpu().contiguous() for k, v in self.model.state_dict().items()}
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        card = dict(PREPROCESSING) | {"size": {"height": size, "width": size}}
        write_json(folder / "preprocessor_config.json", card)


def fit_network(
    model: PreTrainedModel, lesson: Lesson, settings: ClassifySettings, *, seed: int, log: Log
) -> NetworkPredictor:
    """Train a network, and return it as it was at the best look at the validation split.

    Args:
        model: A transformers image classifier with one output a class.
        lesson: Training and validation samples.
        settings: Resolved settings: learning rate and flip are set.
        seed: Decides order and augmentation.
        log: Called once an evaluation period.
    """
    predictor = NetworkPredictor(model.to(best_device()))
    random = np.random.default_rng(derive(seed, "classify", "order"))
    emphasis = np.ones(len(lesson.task.subgroups))
    best, state, begin = -1.0, model.state_dict(), time.perf_counter()
    for step, loss in _periods(Trainer(model, lesson.train, settings, random), emphasis):
        speed = step * settings.batch_size / (time.perf_counter() - begin)
        found = look(predictor, lesson)
        used = dict(zip(lesson.task.subgroups, emphasis.tolist(), strict=True))
        log(_line(step, loss, speed, found) | {"weights": used})
        if found.figure(settings.select) > best:
            best, state = found.figure(settings.select), copy.deepcopy(model.state_dict())
        if settings.reweight:
            emphasis[:] = _emphasis(found, lesson, settings)
    model.load_state_dict(state)
    return predictor


@dataclass(frozen=True)
class Look:
    """Holds what the validation split says: NaN for a subgroup without an image there."""

    accuracy: float
    macro: float
    subgroups: dict[str, float]

    def figure(self, select: str) -> float:
        """Return the figure that chooses the checkpoint."""
        if select == "worst":
            return float(np.nanmin(list(self.subgroups.values())))
        return self.macro if select == "macro" else self.accuracy


def look(predictor: NetworkPredictor, lesson: Lesson) -> Look:
    """Return how well a predictor does on the validation split."""
    valid = lesson.valid
    right = predictor.probabilities(valid.images).argmax(1) == valid.labels
    classes = [right[valid.labels == k].mean() for k in np.unique(valid.labels)]
    subgroups = {}
    for position, name in enumerate(lesson.task.subgroups):
        rows = valid.subgroups == position
        subgroups[name] = float(right[rows].mean()) if rows.any() else float("nan")
    return Look(float(right.mean()), float(np.mean(classes)), subgroups)


@dataclass(frozen=True)
class Trainer:
    """Holds what one optimisation step needs."""

    model: PreTrainedModel
    train: Samples
    settings: ClassifySettings
    random: np.random.Generator

    def loss(
        self, rows: Int[np.ndarray, " b"], emphasis: Float[np.ndarray, " s"]
    ) -> Float[Tensor, ""]:
        """Return the mean loss of a batch, each sample weighted by its subgroup."""
        s, device = self.settings, self.model.device
        x = tensor(self.train.images[rows], size=self.model.config.image_size, channels=3)
        x = jitter(x, self.random, shift=s.shift, flip=bool(s.flip)).to(device)
        target = torch.from_numpy(self.train.labels[rows]).to(device)
        logits = self.model(pixel_values=x).logits
        each = cross_entropy(logits, target, reduction="none", label_smoothing=s.label_smoothing)
        weights = torch.from_numpy(emphasis[self.train.subgroups[rows]]).to(each)
        return (each * weights).mean()

    def order(self, emphasis: Float[np.ndarray, " s"]) -> Iterator[Int[np.ndarray, " b"]]:
        """Yield batches; ``emphasis`` decides the draws where the settings say so."""
        n, size = len(self.train), self.settings.batch_size
        if not self.draws:
            yield from batches(n, size, self.random)
        while True:
            chance = emphasis[self.train.subgroups]
            yield self.random.choice(n, size, p=chance / chance.sum())

    @property
    def draws(self) -> bool:
        """Return whether weights enter the draws rather than the loss."""
        return self.settings.reweight and self.settings.reweight_by == "draws"


def _periods(trainer: Trainer, emphasis: Float[np.ndarray, " s"]) -> Iterator[tuple[int, float]]:
    """Train, and yield step and mean loss at the end of every evaluation period.

    ``emphasis`` holds the weight of every subgroup; the caller may change it between periods.
    """
    model, s = trainer.model, trainer.settings
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=s.learning_rate or 1e-3, weight_decay=s.weight_decay
    )
    schedule = LambdaLR(optimizer, lambda step: warm_cosine(step, s.steps))
    order, due = trainer.order(emphasis), evaluation_steps(s.steps, s.evaluations)
    even, losses = np.ones_like(emphasis), []
    model.train()
    with progress_bar(s.classifier, s.steps) as advance:
        for step in range(1, s.steps + 1):
            loss = trainer.loss(next(order), even if trainer.draws else emphasis)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            advance(1, "")
            if step in due:
                yield step, float(np.mean(losses))
                losses.clear()
                model.train()


def _emphasis(found: Look, lesson: Lesson, settings: ClassifySettings) -> list[float]:
    """Return the weight of every subgroup in the next period (Eq. 10)."""
    names, train = lesson.task.subgroups, lesson.train
    counts = np.bincount(train.subgroups, minlength=len(names)) / len(train)
    shares = dict(zip(names, counts.tolist(), strict=True))
    by_samples = settings.normalise == "samples"
    weights = inverse_performance(
        found.subgroups, eps=settings.eps, shares=shares if by_samples else None
    )
    return [weights[name] for name in names]


def _line(step: int, loss: float, speed: float, found: Look) -> dict[str, object]:
    subgroups = {s: None if np.isnan(v) else v for s, v in found.subgroups.items()}
    return {
        "step": step,
        "loss": loss,
        "images_per_second": round(speed, 1),
        "valid_accuracy": found.accuracy,
        "valid_macro": found.macro,
        "valid_by_subgroup": subgroups,
    }
