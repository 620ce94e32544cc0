"""The command that trains a reward model on preferences."""

from pathlib import Path
from typing import Annotated

import typer

from fairgen.cli_options import AsJson, Assignments, CohortPath, Out, Seed


def reward(
    preferences: Annotated[Path, typer.Option(help="Preference file, JSON lines.")],
    cohort: CohortPath,
    base: Annotated[str, typer.Option(help="Pipeline folder, hub id, or tiny.")],
    out: Out,
    assignments: Assignments = None,
    json_: AsJson = False,
    seed: Seed = 0,
) -> None:
    """Train a model of what raters prefer; repeating the command loads it.

    Example: fairgen reward --preferences review/preferences.jsonl --cohort cohorts/skin
    --base bases/skin --out reward --set steps=800
    """
    from fairgen.engine.reward import RewardSettings, train_reward
    from fairgen.files.folder import read_cohort
    from fairgen.files.preferences import read_preferences
    from fairgen.study.overrides import override

    folder = read_cohort(cohort)
    settings = override(RewardSettings(), assignments or ())
    pairs = read_preferences(preferences, folder.prompts)
    card = train_reward(pairs, folder=folder, base=base, settings=settings, out=out, seed=seed).card
    if json_:
        print(card.model_dump_json(indent=2))
        return
    train, valid, held_out = (sum(counts.values()) for counts in card.pairs.values())
    print(f"{out}: learned from {train} pairs, chosen on {valid}, measured on {held_out}")
    for name, found in {"held-out accuracy": card.accuracy, **card.by_subgroup}.items():
        print(f"{name}: {found.value:.3f} [{found.low:.3f}, {found.high:.3f}], {found.n} pairs")
    print(f"calibration error: {card.after.ece:.3f} ({card.before.ece:.3f} before temperature)")
    print(f"Brier score: {card.after.brier:.3f} ({card.before.brier:.3f} before temperature)")
