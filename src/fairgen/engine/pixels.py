"""Stacks of small images in memory: reading, resizing, channels, augmentation, batches."""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from fairgen.cohort.cohort import Record
from fairgen.engine.processes import shared
from fairgen.errors import CohortError
from fairgen.files.digest import file_digest, value_digest
from fairgen.files.folder import CohortFolder
from fairgen.files.image import read_image

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luminance (ITU-R BT.601)."""


def stack(
    folder: CohortFolder, records: Sequence[Record], *, size: int, channels: int
) -> UInt8[np.ndarray, "n size size c"]:
    """Return the images of records, cropped to squares and resized with antialiasing.

    Processes of a launcher share the reading, and each gets all images.

    Args:
        folder: Where the images lie.
        records: Which images, in which order.
        size: Side in pixels.
        channels: 3 for colour, 1 for grey.

    Raises:
        CohortError: If there is no record, or an image cannot be read.
    """
    if not records:
        raise CohortError(f"{folder.root}: no image to read")
    paths = [folder.path(r) for r in records]
    read = partial(read_image, size=size, channels=channels)
    return np.stack(shared(paths, read, what="read images"))


def records_digest(folder: CohortFolder, records: Sequence[Record]) -> str:
    """Return one digest over who is shown, in which split, and every image's content."""
    rows = [
        (r.image, r.subject, r.group.key, r.split, file_digest(folder.path(r))) for r in records
    ]
    return value_digest(rows)


def tensor(
    images: UInt8[np.ndarray, "n h w c"], *, size: int, channels: int
) -> Float[Tensor, "n channels size size"]:
    """Return images as float tensors in [-1, 1] of one size and number of channels.

    Grey images are repeated for three channels; colour becomes luminance for one.

    Args:
        images: Square images of one or three channels; others are squeezed to a square.
        size: Side in pixels; images of another size are resized with antialiasing.
        channels: 1 or 3.
    """
    x = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2) / 127.5 - 1.0
    if x.shape[1] == 3 and channels == 1:
        x = (x * torch.tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
    elif x.shape[1] != channels:
        x = x.expand(-1, channels, -1, -1)
    if x.shape[2:] != (size, size):
        x = interpolate(x, (size, size), mode="bicubic", antialias=True).clamp(-1, 1)
    return x.contiguous(memory_format=torch.channels_last)


def jitter(
    images: Float[Tensor, "n c h w"], random: np.random.Generator, *, shift: float, flip: bool
) -> Float[Tensor, "n c h w"]:
    """Return images moved a little at random, and mirrored half of the time where allowed.

    Args:
        images: A batch.
        random: Source of the draws; it alone decides the result.
        shift: Largest move, as a share of the side; zero for none. Edges are repeated.
        flip: Whether to mirror. Chest and axial brain images have a left and a right.
    """
    n = len(images)
    sign = np.where(random.random(n) < 0.5, -1.0, 1.0) if flip else np.ones(n)
    move = random.uniform(-2 * shift, 2 * shift, (n, 2)) if shift else np.zeros((n, 2))
    theta = np.zeros((n, 2, 3))
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = sign, 1.0, move
    chosen = torch.from_numpy(theta).to(images.device, images.dtype)
    grid = torch.nn.functional.affine_grid(chosen, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


def batches(n: int, size: int, random: np.random.Generator) -> Iterator[Int[np.ndarray, " b"]]:
    """Yield batches of positions without end, each position once a round.

    Args:
        n: Number of images, at least one.
        size: Images a batch; a batch may span two rounds.
        random: Source of the draws.
    """
    waiting = np.empty(0, dtype=np.int64)
    while True:
        while len(waiting) < size:
            waiting = np.concatenate([waiting, random.permutation(n)])
        yield waiting[:size]
        waiting = waiting[size:]


def warm_cosine(step: int, steps: int) -> float:
    """Return the share of the peak learning rate: warm-up over a tenth, then a half cosine."""
    warmup = max(1, steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def evaluation_steps(steps: int, evaluations: int) -> frozenset[int]:
    """Return the steps, counted from one, after which to evaluate; the last is among them."""
    return frozenset(-(-steps * (k + 1) // evaluations) for k in range(evaluations))
