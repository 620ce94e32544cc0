"""Candidate images for a review, drawn from a model into the review's own folder."""

from pathlib import Path

from fairgen.cohort.plan import balanced_plan
from fairgen.cohort.seed import derive
from fairgen.engine.generate import generate, open_generator
from fairgen.engine.sampling import SampleSettings
from fairgen.files.folder import CohortFolder
from fairgen.preferences.review import check_place

SYNTHETIC = "synthetic"


def draw_candidates(
    model: str | Path, out: str | Path, *, per_group: int, settings: SampleSettings, seed: int
) -> CohortFolder:
    """Draw what a review compares, into ``out/synthetic``; repeating draws what is missing.

    One image more than questions is drawn of every group, so that each is shown about twice. Their
    noise is that of no generated set that a study judges.

    Args:
        model: Folder of a finished training.
        out: Folder of the review.
        per_group: Questions about each group.
        settings: How images are drawn.
        seed: Seed of the review.

    Raises:
        CheckpointError: If the model is no finished training.
        CohortError: If other candidates are there already.
        PreferenceError: If ``out`` holds something else.
        StudyError: If the settings do not fit the model, or a file cannot be written.
    """
    inner = Path(out) / SYNTHETIC
    check_place(Path(out), inner)
    generator = open_generator(model)
    plan = balanced_plan(generator.prompts, per_group + 1, derive(seed, "candidates"))
    return generate(generator, plan, out=inner, settings=settings)
