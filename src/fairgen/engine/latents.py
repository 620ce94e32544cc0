"""Training images as the autoencoder's posteriors, and prompts as embeddings: computed once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from fairgen.diffusion.schedule import Latents
from fairgen.engine.backbone import Backbone
from fairgen.files.folder import CohortFolder
from fairgen.files.image import read_image

Images = UInt8[np.ndarray, "batch height width channels"]


@dataclass(frozen=True)
class Posteriors:
    """Holds mean and standard deviation of each image's latent, before scaling."""

    mean: Latents
    spread: Latents


@dataclass(frozen=True)
class LatentCache:
    """Holds the posteriors of all training images, and of their mirror images if they flip.

    The autoencoder is not exactly flip-equivariant, so mirrored images are encoded on their own.
    """

    plain: Posteriors
    mirrored: Posteriors | None
    scale: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return channels, height and width of one latent."""
        _, channels, height, width = self.plain.mean.shape
        return channels, height, width

    def sample(
        self,
        rows: Int[Tensor, " batch"],
        noise: Latents,
        flipped: Bool[Tensor, " batch"],
    ) -> Latents:
        """Return scaled latents drawn from the posteriors of the given images."""
        clean = self.plain.mean[rows] + self.plain.spread[rows] * noise
        if self.mirrored is not None:
            other = self.mirrored.mean[rows] + self.mirrored.spread[rows] * noise
            clean = torch.where(flipped[:, None, None, None], other, clean)
        return clean * self.scale


def pixels(images: Images) -> Float[Tensor, "batch 3 height width"]:
    """Return images in [-1, 1] as the autoencoder takes them; grey is repeated to three."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    return (tensor / 127.5 - 1).expand(-1, 3, -1, -1)


def image_batches(folder: CohortFolder, *, size: int, batch: int) -> Iterator[Images]:
    """Yield the folder's images, cropped and resized to a square, in the records' order."""
    yield from file_batches([folder.path(r) for r in folder.cohort.records], size=size, batch=batch)


def file_batches(paths: Sequence[Path], *, size: int, batch: int) -> Iterator[Images]:
    """Yield images in colour, cropped and resized to a square, ``batch`` at a time.

    Args:
        paths: Image files, in the order wanted.
        size: Side in pixels.
        batch: Images read together.

    Raises:
        CohortError: If one cannot be read.
    """
    for start in range(0, len(paths), batch):
        chosen = paths[start : start + batch]
        yield np.stack([read_image(path, size=size, channels=3) for path in chosen])


@torch.no_grad()
def encode(
    backbone: Backbone, batches: Iterable[Images], *, mirror: bool, device: torch.device
) -> LatentCache:
    """Return the posteriors of images, kept in host memory.

    Args:
        backbone: Whose autoencoder encodes; it stays on the device.
        batches: Images, a batch at a time.
        mirror: Whether to encode the mirror images too.
        device: Where to encode.
    """
    vae = backbone.vae.to(device).eval()
    plain: list[Posteriors] = []
    mirrored: list[Posteriors] = []
    for images in batches:
        values = pixels(images).to(device, vae.dtype)
        plain.append(_posteriors(vae, values))
        if mirror:
            mirrored.append(_posteriors(vae, values.flip(-1)))
    return LatentCache(
        _join(plain), _join(mirrored) if mirror else None, float(vae.config.scaling_factor)
    )


def _posteriors(vae: Any, values: Float[Tensor, "b 3 h w"]) -> Posteriors:  # noqa: ANN401
    law = vae.encode(values).latent_dist
    return Posteriors(law.mean.float().cpu(), law.std.float().cpu())


def _join(parts: list[Posteriors]) -> Posteriors:
    return Posteriors(torch.cat([p.mean for p in parts]), torch.cat([p.spread for p in parts]))
