"""The in-domain feature extractor: a small network that knows this cohort's labels and attributes.

It is trained on the training split alone, so that test images may be compared with generated ones
in its features. Its values are comparable only with values of the same trained network.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8
from pydantic import BaseModel, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fairgen.engine.extractor_network import ExtractorNetwork
from fairgen.engine.pixels import tensor
from fairgen.engine.processes import shared, this_process
from fairgen.errors import CheckpointError
from fairgen.files.atomic import fresh_folder, write_json

NAME = "indomain"
WEIGHTS, CARD = "extractor.safetensors", "extractor.json"
CHUNK = 256


class ExtractorSettings(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Sets the training of the feature extractor.

    Attributes:
        size: Side of the network's input in pixels.
        dimension: Number of features. FID needs more images than this in every subgroup.
        widths: Channels of the residual stages, each at half the resolution of the one before.
        steps: Optimisation steps.
        batch_size: Images a step.
        learning_rate: Peak learning rate of AdamW; warm-up over a tenth, then a half cosine.
        weight_decay: Weight decay of AdamW.
        shift: Largest random move, as a share of the side.
        evaluations: Number of looks at the validation split; the best one is kept.
    """

    size: int = Field(default=64, ge=16, le=256)
    dimension: int = Field(default=32, ge=2)
    widths: tuple[int, ...] = Field(default=(16, 32, 64), min_length=1, max_length=5)
    steps: int = Field(default=400, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=4e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    shift: float = Field(default=0.06, ge=0, le=0.5)
    evaluations: int = Field(default=10, ge=1)


class ExtractorCard(BaseModel, extra="forbid", frozen=True):
    """Describes a trained extractor on disk.

    Attributes:
        format: Version of this file.
        name: Name of the extractor, which is part of every metric's name.
        key: Digest of the settings, the seed and the images it was trained and chosen on.
        channels: 1 or 3.
        heads: Levels that each head tells apart, in order; one head for the label and each
            attribute.
        valid: Accuracy and mean accuracy over levels of each head on the validation split.
        seed: Seed of the training.
        settings: How it was trained.
    """

    format: int = 1
    name: str = NAME
    key: str
    channels: int
    heads: dict[str, tuple[str, ...]]
    valid: dict[str, dict[str, float]] = {}
    seed: int
    settings: ExtractorSettings


@dataclass(frozen=True)
class Extractor:
    """Turns images into features, and into predicted labels and attributes.

    Attributes:
        card: What it is and how it came about.
        network: The network, in evaluation mode.
    """

    card: ExtractorCard
    network: ExtractorNetwork

    @property
    def name(self) -> str:
        """Return the name that metrics carry, such as in ``fid_indomain``."""
        return self.card.name

    @property
    def dimension(self) -> int:
        """Return the number of features."""
        return self.card.settings.dimension

    @torch.inference_mode()
    def features(self, images: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n d"]:
        """Return the features of images, of unit spread on the training split.

        Processes of a launcher share the work, and each gets all of the result.

        Args:
            images: Any number of colour or grey images; resized with antialiasing if need be.
        """
        parts = shared(
            self._chunks(images),
            lambda c: self.network.embed(self._input(c)).cpu().numpy(),
            what="features",
        )
        return np.concatenate([np.empty((0, self.dimension), np.float32), *parts])

    @torch.inference_mode()
    def predict(self, images: UInt8[np.ndarray, "n h w c"]) -> dict[str, tuple[str, ...]]:
        """Return the most likely level of the label and of every attribute, for each image.

        Processes share the work, as for ``features``.
        """
        parts = shared(self._chunks(images), self._places, what="recognise")
        return {
            head: tuple(levels[i] for part in parts for i in part[head])
            for head, levels in self.card.heads.items()
        }

    @torch.inference_mode()
    def probabilities(
        self, images: UInt8[np.ndarray, "n h w c"]
    ) -> dict[str, Float64[np.ndarray, "n levels"]]:
        """Return each head's probabilities of its levels, in double precision.

        Args:
            images: As for ``features``.
        """
        found: dict[str, list[np.ndarray]] = {
            head: [np.empty((0, len(levels)))] for head, levels in self.card.heads.items()
        }
        for chunk in self._chunks(images):
            for head, scores in self.network(self._input(chunk)).items():
                found[head].append(scores.cpu().double().softmax(1).numpy())
        return {head: np.concatenate(parts) for head, parts in found.items()}

    def _places(self, images: UInt8[np.ndarray, "n h w c"]) -> dict[str, list[int]]:
        """Return the place of the most likely level of each head among its levels."""
        scores = self.network(self._input(images))
        return {head: values.argmax(1).tolist() for head, values in scores.items()}

    def _input(self, images: UInt8[np.ndarray, "n h w c"]) -> Tensor:
        size, channels = self.card.settings.size, self.card.channels
        return tensor(images, size=size, channels=channels).to(self.network.mean.device)

    def _chunks(self, images: UInt8[np.ndarray, "n h w c"]) -> list[np.ndarray]:
        return [images[i : i + CHUNK] for i in range(0, len(images), CHUNK)]


def build_network(card: ExtractorCard) -> ExtractorNetwork:
    """Return the network that a card describes, with fresh weights."""
    levels = {head: len(names) for head, names in card.heads.items()}
    settings = card.settings
    network = ExtractorNetwork(card.channels, settings.widths, settings.dimension, levels)
    for weights in network.parameters():
        if weights.ndim == 4:
            weights.data = weights.data.contiguous(memory_format=torch.channels_last)
    return network


def save_extractor(extractor: Extractor, out: Path) -> None:
    """Write an extractor as safetensors and JSON: all of it or nothing.

    Raises:
        StudyError: If ``out`` is not empty or cannot be written.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in extractor.network.state_dict().items()}
    with fresh_folder(out) as partial:
        save_file(state, partial / WEIGHTS)
        write_json(partial / CARD, extractor.card.model_dump(mode="json"))


def load_extractor(folder: str | Path) -> Extractor:
    """Return a saved extractor.

    Args:
        folder: Folder that ``train_extractor`` made.

    Raises:
        CheckpointError: If it is missing, damaged or of another format.
    """
    folder = Path(folder)
    card = _read_card(folder / CARD)
    network = build_network(card)
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{folder / WEIGHTS}: cannot be loaded ({reason})") from error
    return Extractor(card, network.to(best_device()).eval())


def _read_card(path: Path) -> ExtractorCard:
    try:
        return ExtractorCard.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file; expected a trained extractor") from error
    except (OSError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: describes no extractor ({reason})") from error


def best_device() -> torch.device:
    """Return this process's CUDA device, or the processor where there is none."""
    device = this_process().device
    return device if device.type == "cuda" else torch.device("cpu")
