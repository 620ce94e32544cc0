"""Prints how fast each method trains relative to `sd` on the tiny base, beside its passes' cost.

python benchmarks/methods.py COHORT [ROUNDS] [STEPS]

COHORT is a split cohort folder. Methods take turns, ROUNDS times STEPS optimisation steps each, so
that a busy machine slows all of them alike; the ratio is that of each method's fastest round. A
pass of the U-Net costs 1, its backward pass 2. Preferences are drawn from training images at
random: that changes no cost.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from trainings import pairs_of_neighbours, started

from fairgen.engine.loop import StepReport, training_steps
from fairgen.engine.pairs import Feedback
from fairgen.engine.reward import RewardSettings, train_reward
from fairgen.engine.settings import TrainSettings
from fairgen.files.folder import CohortFolder, read_cohort
from fairgen.files.preferences import read_preferences
from fairgen.methods import METHODS, Method
from fairgen.objectives import Alignment, Awareness, Perturbation

BATCH, PAIRS = 16, 4
BASE = "tiny"
SETTINGS = TrainSettings(
    steps=10_000, batch_size=BATCH, accumulation=1, learning_rate=1e-4, tracker="none"
)


def arms() -> dict[str, Method]:
    """Return the methods that are timed."""
    found = {name: m.without_preferences for name, m in METHODS.items()}
    found["sqrs, gradient-aware"] = Method(
        name="sqrs, gradient-aware", resampler="sqrs", awareness=Awareness()
    )
    found["fairdiffusion, repaired"] = METHODS["fairdiffusion"].model_copy(
        update={"perturbation": Perturbation(mode="repaired")}
    )
    for reward in ("none", "margin", "x0"):
        own = Alignment(pairs=PAIRS, reward=reward)
        found[f"fairgen + preferences, {reward}"] = METHODS["fairgen"].model_copy(
            update={"alignment": own}
        )
    dpo = Alignment(pairs=PAIRS, variant="diffusion-dpo")
    found["sd + diffusion-dpo"] = METHODS["sd"].model_copy(update={"alignment": dpo})
    return found


def passes(method: Method) -> float:
    """Return the cost of a step in passes of the U-Net over the batch."""
    cost = 3.0
    if method.diversity is not None:
        cost += 3.0 if method.diversity.gamma else 1.0
    if method.alignment is not None:
        each = 4.0 if method.alignment.variant == "diffusion-dpo" else 3.0
        cost += each * 2 * method.alignment.pairs / BATCH
    return cost


def feedback_of(folder: CohortFolder, root: Path) -> Feedback:
    """Return preferences between training images, and a reward model of them."""
    said = pairs_of_neighbours(folder, root)
    train_reward(
        read_preferences(said, folder.prompts),
        folder=folder, base=BASE, settings=RewardSettings(steps=5), out=root / "reward",
    )  # fmt: skip
    return Feedback(said, root / "reward")


def seconds(steps: Iterator[StepReport], count: int) -> float:
    """Return the processor time of some steps."""
    began = time.process_time()
    for _ in range(count):
        next(steps)
    return (time.process_time() - began) / count


def main(cohort: str, rounds: int, count: int) -> None:
    """Print the table."""
    folder = read_cohort(cohort)
    with tempfile.TemporaryDirectory() as place:
        feedback = feedback_of(folder, Path(place))
        methods = arms()
        running = {
            n: training_steps(
                started(
                    folder, method=m, base=BASE, settings=SETTINGS, feedback=feedback,
                    out=Path("unused"),
                ),
                0,
            )
            for n, m in methods.items()
        }  # fmt: skip
        for steps in running.values():
            seconds(steps, 2)
        spent = {name: min(seconds(s, count) for _ in range(1)) for name, s in running.items()}
        for _ in range(rounds - 1):
            spent = {name: min(spent[name], seconds(s, count)) for name, s in running.items()}
    sys.stdout.write(
        f"batch {BATCH}, {PAIRS} pairs, fastest of {rounds} rounds of {count} steps\n"
        "| method | steps/s | speed relative to sd | predicted from passes |\n|---|---|---|---|\n"
    )
    for name, method in methods.items():
        ratio, predicted = spent["sd"] / spent[name], passes(methods["sd"]) / passes(method)
        sys.stdout.write(f"| {name} | {1 / spent[name]:.2f} | {ratio:.2f} | {predicted:.2f} |\n")


if __name__ == "__main__":
    main(sys.argv[1], *(int(a) for a in (*sys.argv[2:], *("7", "10")[len(sys.argv) - 2 :])))
