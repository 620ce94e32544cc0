"""The parts of a Stable Diffusion model: loaded, checked, saved as a pipeline folder."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.configuration_utils import ConfigMixin
from jaxtyping import Float, Int
from safetensors import SafetensorError
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils.logging import disable_progress_bar

from fairgen.engine.hub import UNREADABLE, fetched
from fairgen.errors import CheckpointError, StudyError
from fairgen.files.atomic import write_json

disable_progress_bar()  # our own bars are enough

SHOWN = 60  # characters of a prompt that a message repeats
TINY = Path(__file__).parent.parent / "assets" / "tiny-base"
WEIGHTS = "diffusion_pytorch_model.safetensors"
PARTS = {
    "tokenizer": "tokenizer_config.json",
    "text_encoder": "model.safetensors",
    "vae": WEIGHTS,
    "unet": WEIGHTS,
    "scheduler": "scheduler_config.json",
}


@dataclass(frozen=True)
class Backbone:
    """Holds the five parts of a Stable Diffusion model, weights in fp32."""

    tokenizer: Any
    text_encoder: Any
    vae: Any
    unet: Any
    scheduler: Any

    @property
    def reduction(self) -> int:
        """Return how many pixels one latent element stands for, along one side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def image_size(self) -> int:
        """Return the side in pixels of the square images that the model was made for."""
        return int(self.unet.config.sample_size) * self.reduction

    def side(self, asked: int | None) -> int:
        """Return the side in pixels of the images that are read.

        Args:
            asked: The side that a setting asks for; unset, the one that the model was made for.

        Raises:
            StudyError: If latents cannot hold images of that side.
        """
        size = self.image_size if asked is None else asked
        if size % self.reduction:
            raise StudyError(
                f"size: {size}; the base shrinks images by {self.reduction}; expected a multiple "
                "of that"
            )
        return size

    @property
    def prompt_length(self) -> int:
        """Return the most tokens of a prompt, the start and the end included."""
        positions = int(self.text_encoder.config.max_position_embeddings)
        return min(int(self.tokenizer.model_max_length), positions)


def load_backbone(base: str) -> Backbone:
    """Return a Stable Diffusion 1.x model; weights are read as safetensors only.

    Args:
        base: ``tiny`` for the small base that ships with the package, a local pipeline folder, or
            a hub id such as ``CompVis/stable-diffusion-v1-4``.

    Raises:
        CheckpointError: If the folder lacks a part, a part cannot be read, or the hub cannot be
            reached.
    """
    check_base(base)
    folder = TINY if base == "tiny" else Path(base)
    if folder.is_dir():
        with _load_errors(str(folder)):
            return _load(str(folder))
    return _load_from_hub(base)


def check_base(base: str) -> None:
    """Raise unless a base may exist: a folder of a pipeline, ``tiny``, or the form of a hub id.

    Reads no weights and asks no network, so that a mistake is told before work begins.

    Raises:
        CheckpointError: If not.
    """
    folder = TINY if base == "tiny" else Path(base)
    if folder.is_dir():
        _check_folder(folder)
    elif _looks_like_path(base):
        raise CheckpointError(
            f"{base}: no such folder; expected a diffusers pipeline folder, 'tiny' or a hub id"
        )


def _looks_like_path(base: str) -> bool:
    return base.startswith((".", "/", "~")) or base.count("/") != 1 or "\\" in base


def _check_folder(folder: Path) -> None:
    for part, file in PARTS.items():
        if not (folder / part).is_dir():
            raise CheckpointError(
                f"{folder}: lacks '{part}'; expected a diffusers pipeline folder with "
                f"{', '.join(PARTS)}"
            )
        if file.endswith(".safetensors") and not list((folder / part).glob("*.safetensors")):
            raise CheckpointError(
                f"{folder / part}: holds no .safetensors file; expected {file} "
                "(pickled weights are not read)"
            )
        if file.endswith(".json") and not (folder / part / file).is_file():
            raise CheckpointError(f"{folder / part}: lacks {file}")


def _load_from_hub(base: str) -> Backbone:
    """Return a model of the hub, from the cache if it is there whole."""
    with _load_errors(base):
        return fetched(base, "model_index.json", lambda local: _load(base, local_files_only=local))


def _load(base: str, **how: bool) -> Backbone:
    weights: dict[str, Any] = {"use_safetensors": True, "dtype": torch.float32, **how}
    vae = AutoencoderKL.from_pretrained(base, subfolder="vae", **weights)
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet", **weights)
    for part in (vae, unet):
        part.register_to_config(_name_or_path="")  # saved folders should not name this one
    return Backbone(
        tokenizer=CLIPTokenizer.from_pretrained(base, subfolder="tokenizer", **how),
        text_encoder=CLIPTextModel.from_pretrained(base, subfolder="text_encoder", **weights),
        vae=vae,
        unet=unet,
        scheduler=_scheduler(base, **how),
    )


def _scheduler(base: str, **how: bool) -> DDPMScheduler:
    """Return the noise schedule for training, whichever sampler the folder names."""
    config = DDPMScheduler.load_config(base, subfolder="scheduler", **how)
    known = inspect.signature(DDPMScheduler.__init__).parameters
    return DDPMScheduler.from_config({k: v for k, v in config.items() if k in known})


@contextmanager
def _load_errors(base: str) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{base}: cannot be loaded ({reason})") from error


def save_pipeline(backbone: Backbone, out: Path) -> None:
    """Write a folder that ``StableDiffusionPipeline.from_pretrained`` loads.

    It names no safety checker: the images are medical, and the checker is trained on others.

    Args:
        backbone: The model.
        out: Folder to fill.

    Raises:
        CheckpointError: If a part cannot be written.
        StudyError: If the folder's index cannot be written.
    """
    index: dict[str, Any] = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": version("diffusers"),
        "requires_safety_checker": False,
        **{key: [None, None] for key in ("feature_extractor", "image_encoder", "safety_checker")},
    }
    try:
        for name in PARTS:
            part = getattr(backbone, name)
            part.save_pretrained(str(out / name))
            library = "diffusers" if isinstance(part, ConfigMixin) else "transformers"
            index[name] = [library, type(part).__name__]
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{out}: the pipeline cannot be written ({error})") from error
    write_json(out / "model_index.json", index)


def tokenize(backbone: Backbone, prompts: Sequence[str]) -> Int[Tensor, "rows length"]:
    """Return the token ids of prompts, padded to the model's full length as in SD 1.x.

    Raises:
        CheckpointError: If a prompt is too long; it is never cut.
    """
    length = backbone.prompt_length
    ids = backbone.tokenizer(list(prompts), truncation=False)["input_ids"]
    for prompt, own in zip(prompts, ids, strict=True):
        if len(own) > length:
            shown = prompt if len(prompt) <= SHOWN else f"{prompt[:SHOWN]}..."
            raise CheckpointError(
                f"prompt '{shown}': {len(own)} tokens; expected at most {length}; "
                "shorten its levels, or give words for them"
            )
    pad = backbone.tokenizer.pad_token_id
    return torch.tensor([[*own, *[pad] * (length - len(own))] for own in ids]).long()


@torch.no_grad()
def embed(backbone: Backbone, prompts: Sequence[str]) -> Float[Tensor, "rows length width"]:
    """Return what the U-Net sees of prompts, on the text encoder's device.

    Raises:
        CheckpointError: If a prompt is too long.
    """
    ids = tokenize(backbone, prompts).to(next(backbone.text_encoder.parameters()).device)
    embedded: Tensor = backbone.text_encoder(ids)[0]
    return embedded
