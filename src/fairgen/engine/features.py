"""Training of the in-domain feature extractor: training split to learn, validation to choose."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR

from fairgen.cohort.cohort import Record
from fairgen.cohort.schema import Schema
from fairgen.cohort.seed import derive
from fairgen.engine.extractor import (
    CARD,
    Extractor,
    ExtractorCard,
    ExtractorSettings,
    best_device,
    build_network,
    load_extractor,
    save_extractor,
)
from fairgen.engine.extractor_network import ExtractorNetwork
from fairgen.engine.pixels import (
    batches,
    evaluation_steps,
    jitter,
    records_digest,
    stack,
    tensor,
    warm_cosine,
)
from fairgen.engine.processes import by_main
from fairgen.errors import CheckpointError
from fairgen.files.digest import value_digest
from fairgen.files.folder import CohortFolder
from fairgen.files.progress import progress_bar
from fairgen.metrics.prediction import accuracy, macro_accuracy

__all__ = ["Extractor", "ExtractorSettings", "load_extractor", "train_extractor"]


def train_extractor(
    folder: CohortFolder, settings: ExtractorSettings, *, out: str | Path, seed: int = 0
) -> Extractor:
    """Train the extractor on the training split and save it; repeating the call loads it.

    Under a launcher, each process trains the same network and the main one saves it.

    Args:
        folder: A split cohort. Its validation split decides which weights are kept; its test split
            is not looked at.
        settings: How to train.
        out: Folder to make.
        seed: Decides initial weights, order and augmentation.

    Raises:
        CohortError: If the cohort has no training or validation split, or an image is unreadable.
        CheckpointError: If ``out`` holds an extractor of other settings or images.
        StudyError: If ``out`` cannot be written.
    """
    out = Path(out)
    card = _card(folder, settings, seed)
    if (out / CARD).exists():
        found = load_extractor(out)
        if found.card.key != card.key:
            raise CheckpointError(
                f"{out}: holds an extractor of other settings or images; expected a new folder"
            )
        return found
    trained = _fit(folder, card)
    by_main(lambda: save_extractor(trained, out))
    return trained


def _card(folder: CohortFolder, settings: ExtractorSettings, seed: int) -> ExtractorCard:
    records = (*folder.cohort.part("train").records, *folder.cohort.part("valid").records)
    key = value_digest([settings.model_dump(), seed, records_digest(folder, records)])
    schema, channels = folder.cohort.schema, folder.modality.channels
    heads = {a.name: a.levels for a in (schema.label, *schema.attributes)}
    return ExtractorCard(key=key, channels=channels, heads=heads, seed=seed, settings=settings)


@dataclass(frozen=True)
class _Part:
    """Holds the images of a split and the level of each head, as positions."""

    images: UInt8[np.ndarray, "n size size c"]
    levels: Mapping[str, Int[np.ndarray, " n"]]


def _part(folder: CohortFolder, split: str, card: ExtractorCard) -> _Part:
    records = folder.cohort.part(split).records
    images = stack(folder, records, size=card.settings.size, channels=card.channels)
    named = [true_levels(folder.cohort.schema, r) for r in records]
    levels = {
        head: np.array([names.index(n[head]) for n in named]) for head, names in card.heads.items()
    }
    return _Part(images, levels)


def true_levels(schema: Schema, record: Record) -> dict[str, str]:
    """Return the label and the attributes of a record by the names of the extractor's heads."""
    names = (a.name for a in schema.attributes)
    return {
        schema.label.name: record.group.label,
        **dict(zip(names, record.group.levels, strict=True)),
    }


def _fit(folder: CohortFolder, card: ExtractorCard) -> Extractor:
    train, valid = (_part(folder, split, card) for split in ("train", "valid"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(card.seed, "extractor", "weights"))
        network = build_network(card).to(best_device())
    best, chosen, state = -1.0, card, network.state_dict()
    for _ in _looks(network, train, card, flip=folder.modality.flip):
        found = _accuracies(Extractor(card, network.eval()), valid)
        mean = float(np.mean([values["macro"] for values in found.values()]))
        if mean > best:
            best, chosen = mean, card.model_copy(update={"valid": found})
            state = copy.deepcopy(network.state_dict())
        network.train()
    network.load_state_dict(state)
    return _standardised(Extractor(chosen, network.eval()), train)


def _looks(
    network: ExtractorNetwork, train: _Part, card: ExtractorCard, *, flip: bool
) -> Iterator[int]:
    """Train, and yield the step whenever a look at the validation split is due."""
    s, random = card.settings, np.random.default_rng(derive(card.seed, "extractor", "order"))
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay
    )
    schedule = LambdaLR(optimizer, lambda step: warm_cosine(step, s.steps))
    order = batches(len(train.images), s.batch_size, random)
    due = evaluation_steps(s.steps, s.evaluations)
    targets = _targets(train, card)
    network.train()
    with progress_bar("extractor", s.steps) as advance:
        for step in range(1, s.steps + 1):
            rows = next(order)
            x = tensor(train.images[rows], size=s.size, channels=card.channels)
            x = jitter(x, random, shift=s.shift, flip=flip)
            scores = network(x.to(network.mean.device))
            loss = torch.stack([t.loss(scores[head], rows) for head, t in targets.items()]).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            advance(1, "")
            if step in due:
                yield step


@dataclass(frozen=True)
class _Target:
    """Holds what one head shall say, and the weight of each of its levels."""

    levels: Tensor
    weights: Tensor

    def loss(self, scores: Float[Tensor, "b k"], rows: Int[np.ndarray, " b"]) -> Float[Tensor, ""]:
        """Return the weighted cross-entropy of a batch."""
        return cross_entropy(scores, self.levels[rows], weight=self.weights)


def _targets(train: _Part, card: ExtractorCard) -> dict[str, _Target]:
    """Return each head's targets; a level weighs one over the root of its count.

    Without the weights the network would answer for large subgroups where it is unsure, and the
    consistency of small ones would look worse than it is.
    """
    found, device = {}, best_device()
    for head, names in card.heads.items():
        counts = np.bincount(train.levels[head], minlength=len(names))
        weights = np.where(counts > 0, 1 / np.sqrt(np.maximum(counts, 1)), 0.0)
        scaled = torch.tensor(weights / weights.max(), dtype=torch.float32)
        found[head] = _Target(torch.tensor(train.levels[head]).to(device), scaled.to(device))
    return found


def _accuracies(extractor: Extractor, part: _Part) -> dict[str, dict[str, float]]:
    """Return each head's accuracy, and its mean accuracy over levels."""
    said = extractor.predict(part.images)
    found = {}
    for head, names in extractor.card.heads.items():
        truth = [names[i] for i in part.levels[head]]
        found[head] = {
            "accuracy": accuracy(truth, said[head]),
            "macro": macro_accuracy(truth, said[head]),
        }
    return found


def _standardised(extractor: Extractor, train: _Part) -> Extractor:
    """Return the extractor with the training split's mean and spread of features taken out."""
    features = torch.from_numpy(extractor.features(train.images))
    extractor.network.mean.copy_(features.mean(0))
    extractor.network.spread.copy_(features.std(0).clamp_min(1e-6))
    return extractor
