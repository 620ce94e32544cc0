"""Prints what a training step costs beside its peers, its options and its bare arithmetic.

python benchmarks/steps.py COHORT --peer-python PYTHON --peer-script train_text_to_image.py

All arms take turns in one run; see benchmarks/README.md.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from bare import bare_step, parts, passes
from processes import speedup
from released import released_step
from timing import Rounds, Runner, here, paused, take_turns
from trainings import logged_step, pairs_of_neighbours, started

from fairgen.engine.backbone import TINY, load_backbone
from fairgen.engine.pairs import Feedback
from fairgen.engine.settings import TrainSettings
from fairgen.engine.training import Training
from fairgen.files.folder import CohortFolder, read_cohort
from fairgen.methods import METHODS, Method
from fairgen.objectives import Alignment, Diversity

PEER, RELEASED = "diffusers' script", "released step"
PLAIN, PAIRED = "fairgen", "fairgen, a pair an image"
RATE = 1e-4
OPTIONS: Mapping[str, Mapping[str, Any]] = {  # settings of fairgen, each changed alone
    "gradient checkpointing": {"gradient_checkpointing": True},
    "bf16": {"mixed_precision": "bf16"},
    "latents at every draw": {"cache_latents": False},
    "prompts at every draw": {"cache_prompts": False},
    "plain AdamW": {"optimizer": "adamw-plain"},
    "channels last": {"channels_last": True},
    "no averages": {"ema": False},
}


def main() -> None:
    """Print the tables."""
    asked = _asked()
    folder = read_cohort(asked.cohort)
    threads = torch.get_num_threads()
    _say(f"{os.cpu_count()} cores, {threads} thread(s), batch {asked.batch}, base {asked.base}")
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runners = _runners(folder, asked, place)
        if asked.peer_script is not None:
            runners[PEER] = stack.enter_context(
                paused(peer_command(folder, asked, place), _peer_environment(place, threads))
            )
        _say(f"load {os.getloadavg()[0]:.1f} before {asked.rounds} rounds of {asked.steps} steps")
        found = take_turns(runners, asked.rounds, asked.steps)
    _report(found)
    if asked.pairs_of_runs:
        ratios = speedup(folder, asked.base, asked.batch, asked.pairs_of_runs)
        _say("\ntwo processes to one, images/s: " + ", ".join(f"{r:.2f}" for r in ratios))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cohort", help="split cohort folder")
    parser.add_argument("--base", default="tiny")
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--peer-python", default=sys.executable, help="of the peers' environment")
    parser.add_argument("--peer-script", help="diffusers' train_text_to_image.py")
    parser.add_argument("--pairs-of-runs", type=int, default=3, help="of one and two processes")
    return parser.parse_args()


def arms(batch: int) -> dict[str, Method]:
    """Return the methods that are timed."""
    full = METHODS["fairgen"]
    plain = full.without_preferences
    return {
        "sd": METHODS["sd"],
        PLAIN: plain,
        "fairgen, gamma 0.25": plain.model_copy(update={"diversity": Diversity(gamma=0.25)}),
        PAIRED: full.model_copy(update={"alignment": Alignment(pairs=batch)}),
    }


def _runners(folder: CohortFolder, asked: argparse.Namespace, place: Path) -> dict[str, Runner]:
    """Return all arms of this process."""
    feedback = Feedback(pairs_of_neighbours(folder, place))
    usual = TrainSettings(steps=100_000, batch_size=asked.batch, accumulation=1, learning_rate=RATE)

    def ready(name: str, method: Method, changes: Mapping[str, Any]) -> Training:
        return started(
            folder, method=method, base=asked.base, settings=usual.model_copy(update=changes),
            feedback=feedback, out=place / name,
        )  # fmt: skip

    found: dict[str, Runner] = {}
    for name, method in arms(asked.batch).items():
        training = ready(name, method, {})
        found[name] = here(logged_step(training, folder, place / name))
        found[f"bare {name}"] = here(bare_step(training, asked.base, passes(method, asked.batch)))
    for name, changes in OPTIONS.items():
        training = ready(name, arms(asked.batch)[PLAIN], changes)
        found[name] = here(logged_step(training, folder, place / name))
    spare = ready("parts", METHODS["sd"], {})
    found |= {f"part {name}": here(part) for name, part in parts(spare, asked.base).items()}
    step = released_step(folder, asked.base, asked.batch, spare.accelerator.device)
    return {**found, RELEASED: here(step)}


def peer_command(folder: CohortFolder, asked: argparse.Namespace, place: Path) -> list[str]:
    """Return the peer's command: vanilla fine-tuning of the same base on the same images."""
    base = str(TINY) if asked.base == "tiny" else asked.base
    images = len(folder.cohort.part("train").records)
    given = {
        "pretrained_model_name_or_path": base,
        "train_data_dir": str(folder.root / "train"),
        "image_column": "image",
        "caption_column": "text",
        "resolution": load_backbone(asked.base).image_size,
        "train_batch_size": asked.batch,
        "gradient_accumulation_steps": 1,
        "max_train_samples": images - images % asked.batch,  # no epoch ends in a small batch
        "max_train_steps": 100_000,
        "checkpointing_steps": 100_000,
        "learning_rate": RATE,
        "output_dir": str(place / "peer"),
        "cache_dir": str(place / "peer-cache"),
    }
    flags = ["--use_ema", "--center_crop", *(["--random_flip"] if folder.modality.flip else [])]
    options = [x for name, value in given.items() for x in (f"--{name}", str(value))]
    return [asked.peer_python, asked.peer_script, *options, *flags]


def _peer_environment(place: Path, threads: int) -> dict[str, str]:
    own = {
        "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "HF_HOME": str(place / "peer-home"),
    }  # fmt: skip
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | own


def _report(found: Mapping[str, Rounds]) -> None:
    whole = [n for n in found if not n.startswith(("bare ", "part ", *OPTIONS))]
    against = PEER if PEER in found else "sd"
    _table(
        f"relative to {against}",
        ["fastest s/step", "processor s/step", "fastest rounds", "median of rounds"],
        {n: _compared(found[n], found[against]) for n in whole},
    )
    _table(
        "relative to the released step",
        ["fastest rounds", "median of rounds"],
        {PAIRED: _compared(found[PAIRED], found[RELEASED])[2:]},
    )
    _table(
        "overhead over the bare passes",
        ["bare s/step", "s/step", "fastest rounds", "median of rounds"],
        {n: _overhead(found[n], bare) for n in whole if (bare := found.get(f"bare {n}"))},
    )
    _table(
        "parts of a step alone, relative to sd's",
        ["s", "share"],
        {
            n: [f"{r.fastest:.4f}", f"{r.fastest / found['sd'].fastest:.1%}"]
            for n, r in found.items()
            if n.startswith("part ")
        },
    )
    _table(
        "fairgen with one setting changed, relative to fairgen",
        ["fastest s/step", "processor s/step", "fastest rounds", "median of rounds"],
        {n: _compared(found[n], found[PLAIN]) for n in OPTIONS},
    )


def _compared(own: Rounds, other: Rounds) -> list[str]:
    ratio = own.fastest / other.fastest
    times = f"{own.fastest:.3f}", f"{own.processor:.3f}"
    return [*times, f"{ratio:.2f}", f"{own.over(other):.2f}"]


def _overhead(own: Rounds, bare: Rounds) -> list[str]:
    share, usual = own.fastest / bare.fastest - 1, own.over(bare) - 1
    return [f"{bare.fastest:.3f}", f"{own.fastest:.3f}", f"{share:.1%}", f"{usual:.1%}"]


def _table(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> None:
    _say(f"\n| {title} | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for name, cells in rows.items():
        _say(f"| {name} | " + " | ".join(cells) + " |")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
