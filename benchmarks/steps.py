"""Prints what a training step costs beside its peers, its options and its bare arithmetic.

python benchmarks/steps.py COHORT --peer-python PYTHON --peer-script train_text_to_image.py

All arms take turns in one run; see benchmarks/README.md.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
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
RATIOS = "fastest rounds", "median round", "processor, median round"
OPTIONS: Mapping[str, Mapping[str, Any]] = {  # settings of fairgen, each changed alone
    "gradient checkpointing": {"gradient_checkpointing": True},
    "bf16": {"mixed_precision": "bf16"},
    "latents at every draw": {"cache_latents": False},
    "prompts at every draw": {"cache_prompts": False},
    "plain AdamW": {"optimizer": "adamw-plain"},
    "channels last": {"channels_last": True},
    "no averages": {"ema": False},
    "compiled": {"compile": True},
}


def main() -> None:
    """Print the tables."""
    asked = _asked()
    folder = read_cohort(asked.cohort)
    _say(
        f"{os.cpu_count()} cores, {torch.get_num_threads()} thread(s), batch {asked.batch}, "
        f"base {asked.base}, load {os.getloadavg()[0]:.1f}"
    )
    if asked.rounds:
        _report(_timed(folder, asked))
    if asked.pairs_of_runs:
        ratios = speedup(folder, asked.base, asked.batch, asked.pairs_of_runs)
        _say("\ntwo processes to one, images/s: " + ", ".join(f"{r:.2f}" for r in ratios))
    _say(f"\nload {os.getloadavg()[0]:.1f} at the end")


def _timed(folder: CohortFolder, asked: argparse.Namespace) -> dict[str, Rounds]:
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runners = _runners(folder, asked, place)
        if asked.peer_script is not None:
            command, environment = peer_command(folder, asked, place), _peer_environment(place)
            runners[PEER] = stack.enter_context(paused(command, environment))
        if asked.only:
            runners = {name: run for name, run in runners.items() if name in asked.only}
        return take_turns(runners, asked.rounds, asked.steps)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cohort", help="split cohort folder")
    parser.add_argument("--base", default="tiny")
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=7, help="zero: processes only")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--peer-python", default=sys.executable, help="of the peers' environment")
    parser.add_argument("--peer-script", help="diffusers' train_text_to_image.py")
    parser.add_argument(
        "--options", action=argparse.BooleanOptionalAction, default=True, help="settings alone"
    )
    parser.add_argument("--only", nargs="*", help="names of the arms that are timed")
    parser.add_argument("--pairs-of-runs", type=int, default=3, help="zero: none")
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
    for name, changes in (OPTIONS if asked.options else {}).items():
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


def _peer_environment(place: Path) -> dict[str, str]:
    own = {
        "OMP_NUM_THREADS": str(torch.get_num_threads()), "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(place / "peer-home"),
    }  # fmt: skip
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | own


def _report(found: Mapping[str, Rounds]) -> None:
    whole = [n for n in found if not n.startswith(("bare ", "part ", *OPTIONS))]
    against = PEER if PEER in found else "sd" if "sd" in found else whole[0]
    _compare(f"relative to {against}", found, whole, against)
    _compare("relative to the released step", found, [PAIRED, f"bare {PAIRED}"], RELEASED)
    _compare("fairgen with one setting changed, relative to fairgen", found, OPTIONS, PLAIN)
    for name in arms(1):
        _compare(f"over the bare passes of {name}", found, [name], f"bare {name}")
    _compare("parts of a step alone", found, [n for n in found if n.startswith("part ")], "sd")


def _compare(title: str, found: Mapping[str, Rounds], names: Iterable[str], against: str) -> None:
    names = [name for name in names if name in found and against in found]
    if not names:
        return
    _say(f"\n| {title} | s/step | " + " | ".join(RATIOS) + " |\n" + "|---" * 5 + "|")
    for name in names:
        ratios = " | ".join(f"{r:.3f}" for r in found[name].over(found[against]))
        _say(f"| {name} | {found[name].fastest:.4f} | {ratios} |")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
