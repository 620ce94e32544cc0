"""Prints how many phantoms one core draws and measures a second, beside decoding PNG files.

python benchmarks/phantom.py [SIZE] [COUNT]
"""

import io
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image

from fairgen.phantoms import PHANTOMS
from fairgen.phantoms.phantom import Phantom

T = TypeVar("T")


def rate(work: Callable[[T], object], items: Sequence[T]) -> float:
    """Return how many items are done in a second of processor time, after one to warm up."""
    work(items[0])
    start = time.process_time()
    for item in items:
        work(item)
    return len(items) / (time.process_time() - start)


def png(image: np.ndarray) -> bytes:
    """Return a picture as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()


def line(phantom: Phantom, size: int, count: int) -> str:
    """Return a phantom's rates and how they compare with decoding."""
    specimens = phantom.specimens(count, 0)
    images = [phantom.render(s, size) for s in specimens]
    drawn = rate(lambda s: phantom.render(s, size), specimens)
    measured = rate(phantom.measure, images)
    decoded = rate(lambda f: Image.open(io.BytesIO(f)).load(), [png(i) for i in images])
    return (
        f"{phantom.name}, {size} px, {count} images: {drawn:.0f} drawn a second, {measured:.0f} "
        f"measured, {decoded:.0f} decoded; drawing one takes as long as decoding "
        f"{decoded / drawn:.1f}\n"
    )


def main(size: int, count: int) -> None:
    """Print the rates of every phantom that has anatomy."""
    for phantom in PHANTOMS.values():
        if phantom.quantities:
            sys.stdout.write(line(phantom, size, count))


if __name__ == "__main__":
    main(*(int(a) for a in (*sys.argv[1:], *("64", "300")[len(sys.argv) - 1 :])))
