"""Prints how many images a second FairGen draws, beside the paper's released loop, and why.

python benchmarks/generation.py [--images 64] [--steps 50] [--rounds 3] [--only TEXT ...]

The model is the tiny base. The released program calls diffusers' pipeline for one group after the
other, on one image by default, and saves each image before the next call; here it is re-created,
with DDIM in place of PNDM and on a machine without a GPU in fp32 in place of fp16, so that both
compute the same. Loading the model counts for both. Variants take turns, ROUNDS times, so that a
busy machine slows all of them alike; each one's fastest round counts. Threads are set by
OMP_NUM_THREADS.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from fairgen.cohort.plan import Plan, balanced_plan
from fairgen.cohort.schema import Attribute, Schema
from fairgen.engine import drawing
from fairgen.engine.backbone import TINY
from fairgen.engine.extractor import best_device
from fairgen.engine.generate import Generator, generate
from fairgen.engine.sampling import SampleSettings
from fairgen.files.folder import read_cohort
from fairgen.files.image import read_image
from fairgen.modalities import MODALITIES, Prompts

SCHEMA = Schema((Attribute("tone", ("light", "dark")),), Attribute("disease", ("eczema", "acne")))
DEFAULT = "fairgen"
PEER = "released loop"


@dataclass(frozen=True)
class Variant:
    """Is one way to draw the plan into a folder; ``off`` is what is replaced in ``drawing``."""

    batch_size: int = 16
    given: dict[str, Any] = field(default_factory=dict)
    off: dict[str, Any] = field(default_factory=dict)
    released: bool = False


def variants() -> dict[str, Variant]:
    """Return what is timed, by name."""
    sample = drawing.sample

    def anew(*args: Any, **how: Any) -> np.ndarray:  # noqa: ANN401
        return sample(*args, **{**how, "captions": None})

    return {
        PEER: Variant(batch_size=1, released=True),
        f"{PEER}, batch 16": Variant(released=True),
        DEFAULT: Variant(),
        "fairgen, prompts embedded for each batch": Variant(off={"sample": anew}),
        "fairgen, files written before the next batch": Variant(off={"AHEAD": 0}),
        "fairgen, decoded 4 at a time": Variant(given={"decode_batch": 4}),
        "fairgen, bf16": Variant(given={"precision": "bf16"}),
        "fairgen, batch 1": Variant(batch_size=1),
        "fairgen, batch 4": Variant(batch_size=4),
        "fairgen, batch 64": Variant(batch_size=64),
    }


def tiny_generator() -> Generator:
    """Return the tiny base as if it were a training's result."""
    kind = MODALITIES["skin"]
    manifest = {"method": {"name": "none"}, "preferences": "none", "seed": 0, "source": {}}
    prompts = Prompts(SCHEMA, kind.template)
    return Generator(TINY, "tiny", prompts, kind, dict.fromkeys(SCHEMA.groups(), 1), manifest)


def released_loop(plan: Plan, out: Path, batch_size: int, steps: int, guidance: float) -> None:
    """Draw a plan as the paper's released program does."""
    device = best_device()
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    pipeline = StableDiffusionPipeline.from_pretrained(TINY, dtype=dtype)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    for group in plan.counts():
        items = [i for i in plan.items if i.group == group]
        folder = out / group.key.replace("/", "_")
        folder.mkdir(parents=True)
        for first in range(0, len(items), batch_size):
            prompts = [i.prompt for i in items[first : first + batch_size]]
            drawn = pipeline(prompts, num_inference_steps=steps, guidance_scale=guidance)
            for number, image in enumerate(drawn.images, first):
                image.save(folder / f"{number:05d}.png")


@contextmanager
def replaced(values: dict[str, Any]) -> Iterator[None]:
    """Have names of ``drawing`` mean something else for as long as the block lasts."""
    before = {name: getattr(drawing, name) for name in values}
    try:
        for name, value in values.items():
            setattr(drawing, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(drawing, name, value)


def run(variant: Variant, plan: Plan, out: Path, steps: int) -> None:
    """Draw the plan in one way."""
    settings = SampleSettings(steps=steps, batch_size=variant.batch_size, **variant.given)
    if variant.released:
        released_loop(plan, out, variant.batch_size, steps, settings.guidance)
        return
    with replaced(variant.off):
        generate(tiny_generator(), plan, out=out, settings=settings)


def timed(work: Callable[[], None]) -> np.ndarray:
    """Return the seconds by the clock, and of processor time."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return np.array([time.perf_counter() - clock, time.process_time() - processor])


def difference(first: Path, second: Path) -> str:
    """Return by how many grey levels the images of two sets differ."""
    levels = []
    for record in read_cohort(first).cohort.records:
        one, two = (read_image(root / record.image).astype(int) for root in (first, second))
        levels.append(np.abs(one - two))
    found = np.stack(levels)
    share = (found > 2).mean()
    return (
        f"mean {found.mean():.3f}, largest {found.max()}, more than 2 in {share:.2%} of the values"
    )


def main(images: int, steps: int, rounds: int, only: list[str]) -> None:
    """Print the table."""
    plan = balanced_plan(tiny_generator().prompts, -(-images // 4), 0)
    chosen = {n: v for n, v in variants().items() if not only or any(t in n for t in only)}
    spent = {name: np.full(2, np.inf) for name in chosen}
    with tempfile.TemporaryDirectory() as place:
        for turn in range(rounds):
            for name, variant in chosen.items():
                out = Path(place) / str(turn) / name
                took = timed(lambda v=variant, o=out: run(v, plan, o, steps))
                spent[name] = np.minimum(spent[name], took)
        show(spent, len(plan), steps, rounds)
        first = Path(place) / "0"
        if {DEFAULT, f"{DEFAULT}, bf16"} <= chosen.keys():
            levels = difference(first / DEFAULT, first / f"{DEFAULT}, bf16")
            sys.stdout.write(f"bf16 against fp32, grey levels: {levels}\n")


def show(spent: dict[str, np.ndarray], count: int, steps: int, rounds: int) -> None:
    """Print each variant's images a second, and how that compares with the released loop."""
    sys.stdout.write(
        f"{count} images, {steps} steps, guidance 7.5, {torch.get_num_threads()} threads, "
        f"{best_device()}; fastest of {rounds} rounds\n"
        "| how | images/s | of the released loop's | processor seconds an image |\n"
        "|---|---|---|---|\n"
    )
    peer = spent.get(PEER, np.full(2, np.nan))[0]
    for name, (clock, processor) in spent.items():
        sys.stdout.write(
            f"| {name} | {count / clock:.2f} | {peer / clock:.2f} | {processor / count:.3f} |\n"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], help="parts of names")
    main(**vars(parser.parse_args()))
