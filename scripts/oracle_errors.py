"""Prints how well a phantom's oracle measures held-out phantoms, clean and worn, as Markdown.

python scripts/oracle_errors.py skin --per-group 40
python scripts/oracle_errors.py mri --base RUN/base      adds an autoencoder's round trip
"""

import argparse
import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

from fairgen.phantoms import PHANTOMS
from fairgen.phantoms.phantom import Phantom, balanced

Wear = Callable[[np.ndarray], np.ndarray]


def byte(values: np.ndarray) -> np.ndarray:
    """Return the values rounded to pixels."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def jpeg(quality: int) -> Wear:
    """Return the round trip through JPEG."""

    def wear(image: np.ndarray) -> np.ndarray:
        buffer = io.BytesIO()
        flat = image[:, :, 0] if image.shape[2] == 1 else image
        Image.fromarray(flat).save(buffer, "JPEG", quality=quality)
        return np.array(Image.open(buffer)).reshape(image.shape)

    return wear


def halved(image: np.ndarray) -> np.ndarray:
    """Return the image reduced to half its size and enlarged again."""
    height, width, channels = image.shape
    small = image.reshape(height // 2, 2, width // 2, 2, channels).mean(axis=(1, 3))
    return byte(zoom(small, (2, 2, 1), order=1, grid_mode=True, mode="nearest"))


def autoencoder(base: Path) -> Wear:
    """Return the round trip through the autoencoder of a diffusers pipeline folder."""
    import torch  # noqa: PLC0415 - only with --base
    from diffusers import AutoencoderKL  # noqa: PLC0415

    model = AutoencoderKL.from_pretrained(base / "vae").eval()

    def wear(image: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(image.transpose(2, 0, 1)[None] / 127.5 - 1).float()
        pixels = pixels.expand(-1, 3, -1, -1)
        with torch.no_grad():
            decoded = model.decode(model.encode(pixels).latent_dist.mode()).sample
        colour = (decoded[0].numpy().transpose(1, 2, 0) + 1) * 127.5
        return byte(colour if image.shape[2] == 3 else colour.mean(axis=2, keepdims=True))

    return wear


def wears(base: Path | None) -> dict[str, Wear]:
    """Return every kind of wear by name."""
    rng = np.random.default_rng(0)
    found: dict[str, Wear] = {
        "clean": lambda image: image,
        "blur 1 px": lambda image: byte(gaussian_filter(image.astype(float), (1, 1, 0))),
        "noise 5": lambda image: byte(image + rng.normal(0, 5, image.shape)),
        "JPEG 90": jpeg(90),
        "JPEG 60": jpeg(60),
        "half size": halved,
    }
    return found | ({"autoencoder": autoencoder(base)} if base else {})


def errors(
    phantom: Phantom, truths: list[Mapping[str, float]], images: list[np.ndarray]
) -> tuple[dict[str, str], int]:
    """Return mean absolute error and correlation of each quantity, and the number refused."""
    pairs = [(t, f) for t, i in zip(truths, images, strict=True) if (f := phantom.measure(i))]
    cells = {}
    for key in truths[0]:
        truth, found = np.array([(t[key], f[key]) for t, f in pairs]).T
        correlation = np.corrcoef(truth, found)[0, 1]
        cells[key] = f"{np.abs(truth - found).mean():.3g} ({correlation:.2f})"
    return cells, len(images) - len(pairs)


def table(phantom: Phantom, per_group: int, base: Path | None) -> str:
    """Return the Markdown table."""
    specimens = balanced(phantom.schema, per_group, f"{phantom.name} oracle errors")
    truths = [phantom.anatomy(s) for s in specimens]
    images = [phantom.render(s, 64) for s in specimens]
    columns = {
        n: errors(phantom, truths, [wear(i) for i in images]) for n, wear in wears(base).items()
    }
    lines = ["| | spread | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for key in truths[0]:
        spread = np.std([t[key] for t in truths])
        cells = " | ".join(column[key] for column, _ in columns.values())
        lines.append(f"| {key} | {spread:.3g} | {cells} |")
    refused = " | ".join(f"{n} of {len(images)}" for _, n in columns.values())
    return "\n".join([*lines, f"| not measurable | | {refused} |"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("phantom", choices=[n for n, p in PHANTOMS.items() if p.quantities])
    parser.add_argument("--base", type=Path, help="diffusers pipeline folder with a vae")
    parser.add_argument("--per-group", type=int, default=40, help="held-out phantoms of each group")
    settings = parser.parse_args()
    phantom = PHANTOMS[settings.phantom]
    sys.stdout.write(table(phantom, settings.per_group, settings.base) + "\n")


if __name__ == "__main__":
    main()
