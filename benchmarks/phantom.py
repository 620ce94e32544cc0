"""Prints how many skin phantoms one core draws in a second, beside decoding them as PNG files.

python benchmarks/phantom.py [SIZE] [COUNT]
"""

import io
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from PIL import Image

from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.skin import SKIN

T = TypeVar("T")


def rate(work: Callable[[T], object], items: Sequence[T]) -> float:
    """Return how many items are done in a second of processor time, after one to warm up."""
    work(items[0])
    start = time.process_time()
    for item in items:
        work(item)
    return len(items) / (time.process_time() - start)


def png(size: int, specimen: Specimen) -> bytes:
    """Return a phantom as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(SKIN.render(specimen, size)).save(buffer, "PNG")
    return buffer.getvalue()


def main(size: int, count: int) -> None:
    """Print both rates and their ratio."""
    specimens = SKIN.specimens(count, 0)
    files = [png(size, s) for s in specimens]
    drawn = rate(lambda s: SKIN.render(s, size), specimens)
    decoded = rate(lambda f: Image.open(io.BytesIO(f)).load(), files)
    sys.stdout.write(
        f"{size} px, {count} images: {drawn:.0f} drawn a second, {decoded:.0f} decoded\n"
    )
    sys.stdout.write(f"drawing one takes as long as decoding {decoded / drawn:.1f}\n")


if __name__ == "__main__":
    main(*(int(a) for a in (*sys.argv[1:], *("64", "300")[len(sys.argv) - 1 :])))
