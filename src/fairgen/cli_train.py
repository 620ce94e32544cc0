"""The commands that fine-tune a base and export its weights."""

from pathlib import Path
from typing import Annotated

import typer

from fairgen.cli_options import Assignments, CohortPath, Out, Seed

OF_METHOD = "method."


def train(
    method: Annotated[str, typer.Option(help="sd, cbrs, sqrs, cbdm, fairdiffusion or fairgen.")],
    cohort: CohortPath,
    base: Annotated[str, typer.Option(help="Pipeline folder, hub id, or tiny.")],
    out: Out,
    preferences: Annotated[
        Path | None, typer.Option(help="Preference file, JSON lines; unset, none are used.")
    ] = None,
    reward: Annotated[
        Path | None, typer.Option(help="Folder of a reward model, where the method asks for one.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimisation steps.", min=1)] = None,
    checkpoint_every: Annotated[int | None, typer.Option(help="Steps between.", min=0)] = None,
    assignments: Assignments = None,
    seed: Seed = 0,
) -> None:
    """Fine-tune a base with one method; repeating the command resumes.

    Keys of --set that begin with `method.` change the method's recipe, the others the training.

    Example: fairgen train --method fairgen --cohort cohorts/skin --base bases/skin
    --out models/fairgen --steps 500 --set batch_size=16 --set method.diversity.tau=0.5
    """
    from fairgen.engine.pairs import Feedback
    from fairgen.engine.settings import TrainSettings
    from fairgen.engine.train import train as run
    from fairgen.errors import StudyError
    from fairgen.files.folder import read_cohort
    from fairgen.methods import find_method
    from fairgen.study.overrides import override

    given = list(assignments or ())
    given += [f"steps={steps}"] if steps is not None else []
    given += [f"checkpoint_every={checkpoint_every}"] if checkpoint_every is not None else []
    settings = override(TrainSettings(), [t for t in given if not t.startswith(OF_METHOD)])
    parts = [t.removeprefix(OF_METHOD) for t in given if t.startswith(OF_METHOD)]
    recipe = override(find_method(method), parts, f"--set {OF_METHOD.rstrip('.')}")
    if reward is not None and preferences is None:
        raise StudyError("--reward: a reward model needs --preferences FILE beside it")
    if reward is not None and (recipe.alignment is None or recipe.alignment.reward == "none"):
        raise StudyError(
            "--reward: the method takes no reward; expected --set method.alignment.reward=margin, "
            "offset or x0 beside it"
        )
    feedback = None if preferences is None else Feedback(preferences, reward)
    print(
        run(
            read_cohort(cohort),
            method=recipe,
            base=base,
            out=out,
            settings=settings,
            feedback=feedback,
            seed=seed,
        )
    )


def export(
    model: Annotated[Path, typer.Option(help="Folder written by `fairgen train`.")],
    out: Out,
    weights: Annotated[
        str, typer.Option(help="ema: averaged over steps; last: of the last step.")
    ] = "ema",
) -> None:
    """Write a finished training's pipeline with the averaged or the last weights.

    Example: fairgen export --model models/fairgen --weights last --out pipelines/last
    """
    from fairgen.engine.export import export_pipeline

    print(export_pipeline(model, out, weights=weights))
