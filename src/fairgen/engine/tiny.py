"""The tiny base: a small but complete Stable Diffusion for 64-pixel images."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from fairgen.engine.autoencoder import (
    AutoencoderSettings,
    Images,
    latent_law,
    reconstruction_error,
    round_trip,
    standardise_latents,
    train_autoencoder,
)
from fairgen.engine.backbone import TINY, Backbone, load_backbone, save_pipeline
from fairgen.engine.latents import image_batches
from fairgen.engine.networks import tiny_backbone
from fairgen.errors import CheckpointError, CohortError
from fairgen.files.atomic import fresh_folder, write_json
from fairgen.files.digest import folder_digest, value_digest
from fairgen.files.folder import CohortFolder
from fairgen.files.image import read_image
from fairgen.files.mapping import read_mapping

logger = logging.getLogger(__name__)
RECORD = "tiny.json"
JUDGED = 256  # validation images by which the autoencoder is judged
MEASURED = 4096  # training images on which the latents' law is measured


class TinySettings(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Sets the making of a tiny base.

    Attributes:
        start: ``pretrained`` begins with the base that ships with the package, ``scratch`` with
            random weights; anything else is the folder of a base to begin with.
        encoder: Train the encoder too; otherwise the latent space stays exactly the one that the
            U-Net knows, and the decoder alone becomes sharper.
        size: Side of the square images in pixels, a multiple of 16.
        autoencoder_steps: Steps of the autoencoder's training; unset, 3,000 from ``scratch``
            and 400 otherwise.
        batch_size: Images a step.
        learning_rate: Peak learning rate of the autoencoder.
        colour_weight: Weight of coarse colours in the autoencoder's loss.
        anchor_weight: Weight that ties the first latents to colours early in the training (see
            ``AutoencoderSettings``); unset, 5 from ``scratch`` and 0 otherwise.
        mixed_precision: Arithmetic of the autoencoder's training; weights stay in fp32.
        flip: Mirror half of the images; unset, as the modality allows.
        vocabulary: Most entries of the vocabulary, for ``scratch``.
    """

    start: str = "pretrained"
    encoder: bool = True
    size: int = Field(default=64, ge=32, multiple_of=16)
    autoencoder_steps: int | None = Field(default=None, ge=0)
    batch_size: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    colour_weight: float = Field(default=0.5, ge=0)
    anchor_weight: float | None = Field(default=None, ge=0)
    mixed_precision: Literal["no", "bf16"] = "no"
    flip: bool | None = None
    vocabulary: int = Field(default=4096, ge=514)

    @property
    def autoencoder(self) -> AutoencoderSettings:
        """Return how the autoencoder is trained."""
        steps, anchor = self.autoencoder_steps, self.anchor_weight
        usual_steps, usual_anchor = (3000, 5.0) if self.start == "scratch" else (400, 0.0)
        return AutoencoderSettings(
            steps=usual_steps if steps is None else steps,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            colour_weight=self.colour_weight,
            anchor_weight=usual_anchor if anchor is None else anchor,
            mixed_precision=self.mixed_precision,
        )


def make_tiny(
    folder: CohortFolder, *, out: str | Path, settings: TinySettings, seed: int = 0
) -> Backbone:
    """Make a tiny base for a cohort and save it as a pipeline folder.

    It learns from training images alone. A few validation images serve to state, in
    ``out/tiny.json``, how well the autoencoder reconstructs what it has not seen; test images are
    never opened. Repeating the call returns the base that is there already.

    Args:
        folder: A cohort that has been split.
        out: Folder to make.
        settings: The recipe.
        seed: Seed of the initial weights and of the training's draws.

    Returns:
        The base, as ``load_backbone`` reads it from ``out``.

    Raises:
        CohortError: If the cohort is not split, or a training image cannot be read.
        CheckpointError: If ``out`` holds a base that was made otherwise.
        StudyError: If ``out`` cannot be written.
    """
    out = Path(out)
    recipe = _recipe(folder, settings, seed)
    if _made_already(out, recipe):
        logger.info("%s: made already", out)
        return load_backbone(str(out))
    images = _training_images(folder, settings.size)
    judged = _judged_images(folder, settings.size)
    backbone = _start(folder, settings, seed)
    before = _judge(backbone, judged, "before")
    train_autoencoder(
        backbone.vae,
        images,
        settings.autoencoder,
        seed=seed,
        mirror=folder.modality.flip if settings.flip is None else settings.flip,
        encoder=settings.encoder,
    )
    if settings.encoder:
        standardise_latents(backbone.vae, images[:MEASURED])
    after = _judge(backbone, judged, "after")
    found = {"before": before, "after": after, **_latents(backbone, images)}
    with fresh_folder(out) as partial:
        save_pipeline(backbone, partial)
        write_json(partial / RECORD, {**recipe, **found})
    return load_backbone(str(out))


def _base(settings: TinySettings) -> str:
    return "tiny" if settings.start == "pretrained" else settings.start


def _start(folder: CohortFolder, settings: TinySettings, seed: int) -> Backbone:
    if settings.start != "scratch":
        backbone = load_backbone(_base(settings))
        backbone.unet.register_to_config(sample_size=settings.size // backbone.reduction)
        backbone.vae.register_to_config(sample_size=settings.size)
        return backbone
    groups = folder.cohort.schema.groups()
    texts = [folder.prompts.render(g) for g in groups]
    return tiny_backbone(texts, size=settings.size, vocabulary=settings.vocabulary, seed=seed)


def _training_images(folder: CohortFolder, size: int) -> Images:
    part = replace(folder, cohort=folder.cohort.part("train"))
    return np.concatenate(list(image_batches(part, size=size, batch=256)))


def _judged_images(folder: CohortFolder, size: int) -> Images:
    """Return the first validation images; one that cannot be read is left out, and said so."""
    images = []
    for record in folder.cohort.select(lambda r: r.split == "valid").records[:JUDGED]:
        try:
            images.append(read_image(folder.path(record), size=size, channels=3))
        except CohortError as error:
            logger.warning("not judged: %s", error)
    return np.stack(images) if images else np.zeros((0, size, size, 3), np.uint8)


def _judge(backbone: Backbone, images: Images, when: str) -> dict[str, Any] | None:
    """Return and log how well images are reconstructed; ``None`` if there are none."""
    if not len(images):
        return None
    error = reconstruction_error(images, round_trip(backbone, images))
    logger.info(
        "autoencoder %s, %d validation images: %.2f dB, mean error %.2f, colour error %.2f, "
        "bias %+.2f %+.2f %+.2f (red, green, blue; grey levels)",
        when, error.n, error.psnr, error.absolute, error.colour, *error.bias,
    )  # fmt: skip
    return asdict(error)


def _recipe(folder: CohortFolder, settings: TinySettings, seed: int) -> dict[str, Any]:
    """Return what makes this base what it is."""
    part = folder.cohort.part("train")
    recipe = {
        "settings": settings.model_dump(),
        "seed": seed,
        "start": _digest(settings),
        "source": dict(folder.source),
        "images": value_digest([[r.image, r.subject, r.group.key] for r in part.records]),
    }
    return {**recipe, "key": value_digest(recipe)}


def _digest(settings: TinySettings) -> str:
    """Return the digest of the base that is begun with, or nothing."""
    if settings.start == "scratch":
        return ""
    folder = TINY if settings.start == "pretrained" else Path(settings.start)
    return folder_digest(folder) if folder.is_dir() else ""


def _made_already(out: Path, recipe: Mapping[str, Any]) -> bool:
    if not (out / RECORD).is_file():
        return False
    found = read_mapping(out / RECORD, CheckpointError, "the record of a base")
    if found.get("key") != recipe["key"]:
        raise CheckpointError(
            f"{out}: holds a base that was made with other settings or data; "
            "give another --out, or remove the folder to make it anew"
        )
    return True


def _latents(backbone: Backbone, images: Images) -> dict[str, list[float]]:
    """Return mean and spread of the scaled latents of training images."""
    mean, spread = latent_law(backbone.vae, images[:MEASURED])
    scale = backbone.vae.config.scaling_factor
    return {"latent_mean": (mean * scale).tolist(), "latent_spread": (spread * scale).tolist()}
