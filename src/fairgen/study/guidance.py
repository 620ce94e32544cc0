"""The guidance scale of each method, chosen from one list on validation data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fairgen.cohort.cohort import Cohort
from fairgen.cohort.plan import Plan, plan
from fairgen.cohort.seed import derive
from fairgen.engine.extractor import Extractor, load_extractor
from fairgen.engine.generate import generate, open_generator
from fairgen.engine.pixels import stack
from fairgen.files.folder import CohortFolder
from fairgen.metrics import frechet_distance
from fairgen.modalities.modality import Prompts
from fairgen.study.config import GenerateSettings
from fairgen.study.stages import remove


def choose_guidance(
    folder: CohortFolder, model: Path, settings: GenerateSettings, *, extractor: Path, seed: int
) -> dict[str, object]:
    """Return the scale whose images lie nearest to the validation split, with every distance.

    Each scale draws ``settings.trial`` images from the same seeds, in the validation split's own
    shares of groups. With one scale in the list there is nothing to choose, and nothing is drawn.

    Args:
        folder: The split cohort.
        model: Folder of a finished training; trial images are drawn beside it and removed.
        settings: The list of scales, and how to sample.
        extractor: Folder of the in-domain extractor.
        seed: Seed of the trial images; the study's own images use other seeds.
    """
    if len(settings.guidance) == 1:
        return {"guidance": settings.guidance[0], "chosen_by": "the only one in the list"}
    judge = load_extractor(extractor)
    valid = replace(folder, cohort=folder.cohort.part("valid"))
    wanted = trial_plan(valid.cohort, folder.prompts, settings.trial, derive(seed, "guidance"))
    real = judge.features(_pixels(valid, judge))
    found: dict[float, float] = {}
    for scale in settings.guidance:
        out = model.parent / f"trial-{scale:g}"
        sample = settings.sample.model_copy(update={"guidance": scale})
        drawn = generate(open_generator(model), wanted, out=out, settings=sample)
        found[scale] = frechet_distance(real, judge.features(_pixels(drawn, judge)))
        remove(out)
    return {
        "guidance": min(found, key=lambda scale: found[scale]),
        "chosen_by": f"fid_{judge.name} on the validation split",
        "n": len(wanted),
        "distances": {f"{scale:g}": value for scale, value in found.items()},
    }


def trial_plan(valid: Cohort, prompts: Prompts, images: int, seed: int) -> Plan:
    """Return a plan with the validation split's shares of groups (largest remainders)."""
    counts = valid.counts()
    exact = {g: images * n / len(valid) for g, n in counts.items()}
    wanted = {g: int(share) for g, share in exact.items()}
    by_remainder = sorted(exact, key=lambda g: wanted[g] - exact[g])
    for group in by_remainder[: images - sum(wanted.values())]:
        wanted[group] += 1
    return plan(prompts, wanted, seed)


def _pixels(folder: CohortFolder, judge: Extractor) -> UInt8[np.ndarray, "n size size c"]:
    size, channels = judge.card.settings.size, judge.card.channels
    return stack(folder, folder.cohort.records, size=size, channels=channels)
