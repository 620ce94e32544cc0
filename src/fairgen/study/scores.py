"""The scores stage: every set and every classifier of a run, judged on the test split."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from fairgen.engine.autoencoder import round_trip
from fairgen.engine.backbone import load_backbone
from fairgen.engine.extractor import load_extractor
from fairgen.files.atomic import write_text
from fairgen.files.folder import CohortFolder, read_cohort
from fairgen.study.anatomy import (
    ANATOMY,
    AUTOENCODER,
    REAL,
    SYNTHETIC,
    anatomy_scores,
    oracle_of,
)
from fairgen.study.config import Study
from fairgen.study.folds import averaged
from fairgen.study.scoring import (
    Origin,
    Row,
    fidelity_size,
    score_fidelity,
    score_floors,
    score_predictions,
)

Pixels = UInt8[np.ndarray, "n h w c"]


def classifier_folder(name: str, *, reweight: bool) -> str:
    """Return the name of a classifier's folder in a run."""
    return f"classifier-{name}{'-reweighted' if reweight else ''}"


def raters(study: Study) -> dict[str, str]:
    """Return whose preferences each method under comparison learns from; ``none`` if nobody's."""
    recipes = study.recipes()
    return {
        name: study.preferences.source if recipes[name].method.alignment else "none"
        for name in study.methods
    }


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as JSON lines, all of them or none."""
    write_text(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))


def score_run(study: Study, parts: Sequence[tuple[Path, str]]) -> list[Row]:
    """Return every row of ``scores.jsonl``.

    All comparisons of images share one sample size: the smallest count of a subgroup in the test
    split and in any synthetic set.

    Args:
        study: The study.
        parts: Folder of the run, or of each of its folds, with every earlier stage finished, and
            the base whose autoencoder gives the floor.
    """
    images = [
        [*_image_rows(study, root, base), *_anatomy_rows(study, root)] for root, base in parts
    ]
    found = images[0] if len(images) == 1 else averaged(images)
    return [*found, *_classifier_rows(study, [root for root, _ in parts])]


def _anatomy_rows(study: Study, root: Path) -> list[Row]:
    phantom = oracle_of(study)
    if phantom is None:
        return []
    reference = root / ANATOMY
    judged = [(Origin(m, seed=study.seeds[0]), reference, m) for m in (REAL, AUTOENCODER)]
    judged += [
        (
            Origin(method, seed=seed, preferences=source),
            root / f"seed{seed}" / method / ANATOMY,
            SYNTHETIC,
        )
        for seed in study.seeds
        for method, source in raters(study).items()
    ]
    return [
        origin.row(score)
        for origin, path, source in judged
        for score in anatomy_scores(phantom, reference, path, source)
    ]


def _image_rows(study: Study, root: Path, base: str) -> list[Row]:
    folder, extractor = read_cohort(root / "cohort"), load_extractor(root / "extractor")
    sets = {
        (seed, method): read_cohort(root / f"seed{seed}" / method / "synthetic")
        for seed in study.seeds
        for method in study.methods
    }
    size = fidelity_size(folder, list(sets.values()), extractor)
    replicates = study.score.fidelity_replicates
    rows = score_floors(
        folder,
        extractor,
        size=size,
        roundtrip=autoencoder_floor(base, folder),
        seed=study.seeds[0],
        replicates=replicates,
    )
    sources = raters(study)
    for (seed, method), synthetic in sets.items():
        origin = Origin(method, seed=seed, preferences=sources[method])
        rows += score_fidelity(
            folder, synthetic, extractor, origin, size=size, replicates=replicates
        )
    return rows


def autoencoder_floor(base: str, folder: CohortFolder) -> Callable[[Pixels], Pixels]:
    """Return what encodes and decodes images, keeping grey images grey."""
    backbone = load_backbone(base)

    def through(images: Pixels) -> Pixels:
        decoded = round_trip(backbone, images)
        if folder.modality.channels == 1:
            decoded = decoded.mean(axis=3, keepdims=True).round().astype(np.uint8)
        return decoded

    return through


def _classifier_rows(study: Study, roots: Sequence[Path]) -> list[Row]:
    arms = [(n, w) for n in study.downstream.classifiers for w in study.downstream.reweight]
    rows: list[Row] = []
    sources = raters(study)
    for seed in study.seeds:
        for method in ("real", *study.methods):
            for name, reweight in arms:
                inner = Path(classifier_folder(name, reweight=reweight)) / "predictions.parquet"
                plain = Path(classifier_folder(name, reweight=False)) / "predictions.parquet"
                base = [root / f"seed{seed}" / "real" / plain for root in roots]
                own = [root / f"seed{seed}" / method / inner for root in roots]
                rows += score_predictions(
                    own,
                    Origin(method, name, reweight, seed=seed, preferences=sources.get(method)),
                    base=base if all(b.is_file() for b in base) and base != own else None,
                    replicates=study.score.replicates,
                    least=study.score.least_cell,
                )
    return rows
