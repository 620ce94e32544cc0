"""Training images as the autoencoder's posteriors, and prompts as embeddings: computed once."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from fairgen.diffusion.schedule import Latents
from fairgen.engine.backbone import Backbone
from fairgen.engine.store import Columns, Crew, Kept, kept_or_made
from fairgen.engine.weights import vae_digest, weights_digest
from fairgen.files.digest import file_digest, value_digest
from fairgen.files.folder import CohortFolder
from fairgen.files.image import read_image

Images = UInt8[np.ndarray, "batch height width channels"]
READING = "centre square, resized with antialiasing, three channels"
"""How ``file_batches`` reads an image; another way of reading needs another text."""
MOST_PIXELS = 2**21  # that the autoencoder sees together
MOST_IMAGES = 32
MIRRORED = "mirrored"


@dataclass(frozen=True)
class Encoding:
    """Says how images become latents.

    Attributes:
        size: Side in pixels.
        flip: Whether mirror images are wanted too.
        device: Where to encode.
        store: Folder where posteriors are kept; ``None`` for memory alone.
        cached: Whether to encode once, or at every draw.
        crew: The processes that share the work.
    """

    size: int
    flip: bool
    device: torch.device
    store: Path | None = None
    cached: bool = True
    crew: Crew = field(default_factory=Crew)

    @property
    def batch(self) -> int:
        """Return how many images the autoencoder sees together."""
        return max(1, min(MOST_IMAGES, MOST_PIXELS // self.size**2))


@dataclass(frozen=True)
class LatentCache:
    """Holds the posteriors of images, and of their mirror images if they flip.

    The autoencoder is not exactly flip-equivariant, so mirrored images are encoded on their own.

    Attributes:
        kept: Mean and log-variance of each posterior, before scaling.
        digests: Digest of each image's file, in the images' order.
        mirrored: Whether mirror images are held.
        scale: The autoencoder's scaling factor.
    """

    kept: Kept
    digests: tuple[str, ...]
    mirrored: bool
    scale: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return channels, height and width of one latent."""
        _, channels, height, width = self.kept.rows("mean", self.digests[:1]).shape
        return channels, height, width

    def sample(
        self, rows: Int[Tensor, " batch"], noise: Latents, flipped: Bool[Tensor, " batch"]
    ) -> Latents:
        """Return scaled latents drawn from the posteriors of the given images."""
        keys = [
            _key(self.digests[i], mirrored=self.mirrored and m)
            for i, m in zip(rows.tolist(), flipped.tolist(), strict=True)
        ]
        mean, log_variance = (self.kept.rows(n, keys) for n in ("mean", "log_variance"))
        return drawn(mean, log_variance, noise) * self.scale

    def means(self, *, mirrored: bool = False) -> Latents:
        """Return the scaled means of all images, or of all mirror images."""
        keys = [_key(digest, mirrored=mirrored) for digest in self.digests]
        return self.kept.rows("mean", keys) * self.scale


@dataclass(frozen=True)
class FreshLatents:
    """Encodes the images of every draw anew: what a cache saves can so be measured.

    Attributes:
        vae: The autoencoder, on its device.
        paths: The images' files.
        how: Side and mirroring.
    """

    vae: Any
    paths: tuple[Path, ...]
    how: Encoding

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return channels, height and width of one latent."""
        channels, shrink = self.vae.config.latent_channels, len(self.vae.config.block_out_channels)
        side = self.how.size // 2 ** (shrink - 1)
        return channels, side, side

    def sample(
        self, rows: Int[Tensor, " batch"], noise: Latents, flipped: Bool[Tensor, " batch"]
    ) -> Latents:
        """Return scaled latents drawn from the posteriors of the given images."""
        images = _read([self.paths[i] for i in rows.tolist()], self.how.size)
        law = _posteriors(self.vae, images, (flipped & self.how.flip).tolist(), self.how.device)
        return drawn(law["mean"], law["log_variance"], noise) * scaling(self.vae)


LatentSource = LatentCache | FreshLatents


def scaling(vae: Any) -> float:  # noqa: ANN401 - diffusers is untyped
    """Return what latents are multiplied by, so that their spread is about one."""
    return float(vae.config.scaling_factor)


def drawn(mean: Latents, log_variance: Latents, noise: Latents) -> Latents:
    """Return what a posterior gives for normal noise, before scaling."""
    return mean + (0.5 * log_variance).exp() * noise


def pixels(images: Images) -> Float[Tensor, "batch 3 height width"]:
    """Return images in [-1, 1] as the autoencoder takes them; grey is repeated to three."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    return (tensor / 127.5 - 1).expand(-1, 3, -1, -1)


def image_batches(folder: CohortFolder, *, size: int, batch: int) -> Iterator[Images]:
    """Yield the folder's images, cropped and resized to a square, in the records' order."""
    yield from file_batches([folder.path(r) for r in folder.cohort.records], size=size, batch=batch)


def file_batches(paths: Sequence[Path], *, size: int, batch: int) -> Iterator[Images]:
    """Yield images in colour, cropped and resized to a square, ``batch`` at a time.

    The next batch is read while the caller works on the present one.

    Args:
        paths: Image files, in the order wanted.
        size: Side in pixels.
        batch: Images read together.

    Raises:
        CohortError: If one cannot be read.
    """
    parts = [paths[start : start + batch] for start in range(0, len(paths), batch)]
    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = [reader.submit(_read, part, size) for part in parts[:1]]
        for number in range(len(parts)):
            images = ahead.pop().result()
            if number + 1 < len(parts):
                ahead.append(reader.submit(_read, parts[number + 1], size))
            yield images


def _read(paths: Sequence[Path], size: int) -> Images:
    return np.stack([read_image(path, size=size, channels=3) for path in paths])


def encode(vae: Any, paths: Sequence[Path], how: Encoding) -> LatentSource:  # noqa: ANN401
    """Return the posteriors of image files, or what encodes them at every draw.

    Args:
        vae: The autoencoder; it is moved to the device, and stays there.
        paths: Files, in the order wanted.
        how: How, where, and where they are kept.

    Raises:
        CohortError: If an image cannot be read.
    """
    if how.cached:
        return encode_once(vae, paths, how)
    return FreshLatents(vae.to(how.device).eval(), tuple(paths), how)


def encode_once(vae: Any, paths: Sequence[Path], how: Encoding) -> LatentCache:  # noqa: ANN401
    """Return the posteriors of image files, from the store as far as it holds them.

    Images are known by their bytes, so that renamed, shared and repeated ones are encoded once.
    """
    vae = vae.to(how.device).eval()
    digests = tuple(file_digest(path) for path in paths)
    files = dict(zip(digests, paths, strict=True))
    sides = (False, True) if how.flip else (False,)
    keys = [_key(digest, mirrored=side) for digest in digests for side in sides]

    def make(missing: Sequence[str]) -> Iterator[Columns]:
        return _encoded(vae, files, missing, how)

    folder = None
    if how.store is not None:
        named = value_digest([vae_digest(vae), READING, how.size])
        folder = how.store / "latents" / named
    kept = kept_or_made(folder, keys, make, what="encode images", crew=how.crew)
    return LatentCache(kept, digests, how.flip, scaling(vae))


def _key(digest: str, *, mirrored: bool) -> str:
    return f"{digest}:{MIRRORED}" if mirrored else digest


def _encoded(
    vae: Any,  # noqa: ANN401
    files: Mapping[str, Path],
    keys: Sequence[str],
    how: Encoding,
) -> Iterator[Columns]:
    """Yield the posteriors of keys, a batch at a time."""
    named = [key.partition(":") for key in keys]
    flags = [side == MIRRORED for _, _, side in named]
    paths = [files[digest] for digest, _, _ in named]
    batches = file_batches(paths, size=how.size, batch=how.batch)
    for number, images in enumerate(batches):
        first = number * how.batch
        yield _posteriors(vae, images, flags[first : first + how.batch], how.device)


@torch.no_grad()
def _posteriors(
    vae: Any,  # noqa: ANN401
    images: Images,
    mirrored: Sequence[bool],
    device: torch.device,
) -> Columns:
    """Return mean and log-variance of each image, on the host."""
    values = pixels(images)
    flags = torch.tensor(mirrored)[:, None, None, None]
    values = torch.where(flags, values.flip(-1), values).to(device, vae.dtype)
    law = vae.encode(values).latent_dist
    found = {"mean": law.mean, "log_variance": law.logvar}
    return {name: values.float().cpu().contiguous() for name, values in found.items()}


def embedded(
    backbone: Backbone, tokens: Int[Tensor, "rows length"], how: Encoding
) -> Float[Tensor, "rows length width"]:
    """Return what the U-Net sees of token ids, from the store as far as it holds them.

    The text encoder is moved to the device and stays there.
    """
    encoder = backbone.text_encoder.to(how.device).eval()
    keys = [value_digest(row) for row in tokens.tolist()]
    rows = dict(zip(keys, tokens, strict=True))

    def make(missing: Sequence[str]) -> Iterator[Columns]:
        for start in range(0, len(missing), MOST_IMAGES):
            own = torch.stack([rows[key] for key in missing[start : start + MOST_IMAGES]])
            with torch.no_grad():
                yield {"embedding": encoder(own.to(how.device))[0].float().cpu()}

    folder = None
    if how.store is not None:
        config = encoder.config.to_json_string()
        named = value_digest([weights_digest(encoder.state_dict()), config])
        folder = how.store / "prompts" / named
    return kept_or_made(folder, keys, make, what="encode prompts").rows("embedding", keys)
