"""Prints how much of the time in which a cohort's images are encoded once is the encoder's own.

python benchmarks/cache.py COHORT [--base tiny] [--size PIXELS] [--rounds 3]

Digests of images and weights, reading, and shards written and verified count as the rest.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from fairgen.engine.backbone import load_backbone
from fairgen.engine.extractor import best_device
from fairgen.engine.latents import Encoding, encode_once
from fairgen.files.folder import read_cohort


class TimedEncoder:
    """Takes the time that an autoencoder spends in ``encode``."""

    def __init__(self, vae: Any) -> None:  # noqa: ANN401
        self._encode, self.seconds = vae.encode, 0.0
        vae.encode = self

    def __call__(self, values: torch.Tensor) -> Any:  # noqa: ANN401
        """Encode, and wait for the device."""
        start = now()
        found = self._encode(values)
        self.seconds += now() - start
        return found


def now() -> float:
    """Return the time when the device has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def main(cohort: str, base: str, size: int | None, rounds: int) -> None:
    """Print the table."""
    folder, backbone = read_cohort(cohort), load_backbone(base)
    paths = [folder.path(r) for r in folder.cohort.records]
    encoder = TimedEncoder(backbone.vae)
    sys.stdout.write(
        f"{len(paths)} images, {torch.get_num_threads()} thread(s), {best_device()}\n"
        "| round | seconds | in the encoder | again, from the store |\n|---|---|---|---|\n"
    )
    for turn in range(rounds):
        with tempfile.TemporaryDirectory() as place:
            how = Encoding(
                backbone.side(size), flip=folder.modality.flip, device=best_device(),
                store=Path(place),
            )  # fmt: skip
            encoder.seconds, start = 0.0, now()
            encode_once(backbone.vae, paths, how)
            first, share = now() - start, encoder.seconds / (now() - start)
            start = now()
            encode_once(backbone.vae, paths, how)
            sys.stdout.write(f"| {turn} | {first:.1f} | {share:.1%} | {now() - start:.2f} |\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cohort", help="cohort folder")
    parser.add_argument("--base", default="tiny")
    parser.add_argument("--size", type=int, help="side in pixels; unset, as the base was made for")
    parser.add_argument("--rounds", type=int, default=3)
    main(**vars(parser.parse_args()))
