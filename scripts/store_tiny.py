"""Copy a pipeline folder into the package as its tiny base: weights in fp16, with digests.

Usage: python scripts/store_tiny.py PIPELINE [FOLDER]
"""

import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from fairgen.engine.backbone import TINY
from fairgen.files.digest import file_digest

CARD, SUMS = "README.md", "SHA256SUMS"


def store(pipeline: Path, folder: Path) -> None:
    """Replace all of ``folder`` but its model card by the pipeline, its weights halved."""
    card = (folder / CARD).read_bytes() if (folder / CARD).is_file() else None
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for source in sorted(p for p in pipeline.rglob("*") if p.is_file()):
        target = folder / source.relative_to(pipeline)
        target.parent.mkdir(exist_ok=True)
        if source.suffix == ".safetensors":
            weights = {name: _half(tensor) for name, tensor in load_file(source).items()}
            save_file(weights, target, metadata={"format": "pt"})
        elif source.suffix == ".json" and source.name != "tiny.json":
            target.write_bytes(source.read_bytes())
    if card is not None:
        (folder / CARD).write_bytes(card)
    _write_sums(folder)


def _half(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def _write_sums(folder: Path) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != SUMS)
    lines = [f"{file_digest(p)}  {p.relative_to(folder).as_posix()}\n" for p in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
    size = sum(p.stat().st_size for p in files)
    sys.stdout.write("".join(lines) + f"{size:,} bytes in {len(files)} files\n")


if __name__ == "__main__":
    store(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else TINY)
