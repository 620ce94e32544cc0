"""Trainings that are ready to step, for the benchmarks."""

from collections.abc import Callable
from pathlib import Path

from fairgen.engine.loop import training_steps
from fairgen.engine.pairs import Feedback, check_feedback
from fairgen.engine.prepare import prepare
from fairgen.engine.settings import TrainSettings
from fairgen.engine.training import Training
from fairgen.engine.trainlog import TrainLog
from fairgen.files.atomic import copy_file
from fairgen.files.folder import CohortFolder
from fairgen.files.preferences import Preference, write_preferences
from fairgen.methods import Method


def pairs_of_neighbours(folder: CohortFolder, root: Path) -> Path:
    """Write preferences between neighbouring training images of a group; return their file."""
    records = folder.cohort.part("train").records
    pairs: list[Preference] = []
    for group in folder.cohort.schema.groups():
        own = [r for r in records if r.group == group][:12]
        for first, second in zip(own[::2], own[1::2], strict=False):
            winner, loser = (root / f"{len(pairs)}{side}.png" for side in "wl")
            copy_file(folder.path(first), winner)
            copy_file(folder.path(second), loser)
            pairs.append(Preference(group, folder.prompts.render(group), winner, loser))
    write_preferences(root / "preferences.jsonl", pairs)
    return root / "preferences.jsonl"


def started(
    folder: CohortFolder,
    *,
    method: Method,
    base: str,
    settings: TrainSettings,
    feedback: Feedback | None,
    out: Path,
) -> Training:
    """Return a training that is ready to step."""
    own = None if method.alignment is None else feedback
    return prepare(
        folder, method=check_feedback(method, own), base=base, settings=settings, feedback=own,
        seed=0, out=out,
    )  # fmt: skip


def logged_step(training: Training, folder: CohortFolder, out: Path) -> Callable[[], None]:
    """Return what makes a step and logs it, as a training does."""
    out.mkdir()
    log = TrainLog(out / "log.jsonl", training, folder.cohort.schema.groups())
    steps = training_steps(training, 0)

    def step() -> None:
        report = next(steps)
        log.add(report)
        if (report.step + 1) % training.settings.log_every == 0:
            log.flush(report.step + 1, {})

    return step
