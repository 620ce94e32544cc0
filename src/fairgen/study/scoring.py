"""From predictions and image folders to rows of ``scores.jsonl``."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from fairgen.classifiers.predictions import read_pooled
from fairgen.cohort.cohort import Record
from fairgen.cohort.schema import Schema
from fairgen.engine.extractor import Extractor
from fairgen.engine.features import true_levels
from fairgen.engine.pixels import stack
from fairgen.errors import StudyError
from fairgen.files.folder import CohortFolder
from fairgen.files.synthetic import check_synthetic
from fairgen.metrics.change import improvement_scores
from fairgen.metrics.distance import (
    Cloud,
    Matching,
    distance_scores,
    matched_size,
    share_scores,
)
from fairgen.metrics.fairness import draws_of, fairness_scores
from fairgen.metrics.score import Score
from fairgen.metrics.spread import spread_scores

Row = dict[str, str | int | float | bool | None]
Pixels = UInt8[np.ndarray, "n h w c"]


@dataclass(frozen=True)
class Origin:
    """Says where scores come from.

    Attributes:
        method: Name of the generator; ``real`` for none, ``autoencoder`` for its round trip.
        classifier: Name of the classifier; none for scores of images.
        reweight: Whether subgroups were reweighted; none for scores of images.
        split: Split of the real images.
        seed: Seed of the run, and of the bootstrap.
        preferences: Whose preferences the generator learned from, ``none`` if nobody's; ``None``
            where that is not known, and without a generator.
    """

    method: str
    classifier: str | None = None
    reweight: bool | None = None
    split: str = "test"
    seed: int = 0
    preferences: str | None = None

    def row(self, score: Score) -> Row:
        """Return a row of ``scores.jsonl``."""
        values = score.as_dict()
        return {"metric": score.metric, **asdict(self), **values}


def score_predictions(
    paths: Sequence[str | Path],
    origin: Origin,
    *,
    base: Sequence[str | Path] | None = None,
    replicates: int = 500,
    least: int = 10,
) -> list[Row]:
    """Return the scores of one classifier.

    Args:
        paths: Its ``predictions.parquet``; one a fold where there are folds, whose predictions are
            pooled.
        origin: Where it comes from; ``origin.split`` says which rows are scored.
        base: Predictions of the classifier without synthetic images, on the same images. Adds
            fairness improvement and levelling.
        replicates: Bootstrap replicates.
        least: Images that a subgroup or group must have for its accuracy and AUC to be reported.

    Raises:
        StudyError: If a file is missing or broken, or the two were not made on the same images.
    """
    said = read_pooled([Path(p) for p in paths], split=origin.split)
    draws = draws_of(said, replicates=replicates, seed=origin.seed)
    scores = fairness_scores(said, draws, least=least)
    if base is not None:
        before = read_pooled([Path(p) for p in base], split=origin.split)
        if before.images != said.images:
            raise StudyError(f"{base[0]}: other images than {paths[0]}; expected the same split")
        scores += improvement_scores(before, said, draws)
    return [origin.row(score) for score in scores]


def fidelity_size(
    folder: CohortFolder, synthetics: Sequence[CohortFolder], extractor: Extractor
) -> int:
    """Return the sample size at which all methods and subgroups are compared.

    Args:
        folder: The split cohort.
        synthetics: The synthetic sets of every method and seed.
        extractor: The feature extractor, whose dimension the size must exceed.

    Raises:
        CohortError: If the cohort has no test split.
    """
    cohorts = (folder.cohort.part("test"), *(s.cohort for s in synthetics))
    return matched_size([c.subgroup_counts() for c in cohorts], extractor.dimension)


def score_fidelity(
    folder: CohortFolder,
    synthetic: CohortFolder,
    extractor: Extractor,
    origin: Origin,
    *,
    size: int | None = None,
    replicates: int = 100,
) -> list[Row]:
    """Return FID, KID and consistency of a synthetic set against the test split.

    Args:
        folder: The split cohort.
        synthetic: Generated images.
        extractor: Network trained on the cohort's training split.
        origin: Method and seed.
        size: Sample size of every comparison, from ``fidelity_size`` over all methods; unset, the
            largest that this set alone allows.
        replicates: Bootstrap replicates of the distances.

    Raises:
        CohortError: If the cohort has no test split, the set is not generated or has other groups,
            or an image cannot be read.
    """
    check_synthetic(synthetic, folder)
    chosen = fidelity_size(folder, [synthetic], extractor) if size is None else size
    matching = Matching(chosen, extractor.name, replicates, origin.seed)
    made = _View(synthetic, synthetic.cohort.records)
    noted = synthetic.source.get("preferences")
    if origin.preferences is None and isinstance(noted, str):
        origin = replace(origin, preferences=noted)
    return [origin.row(s) for s in _against_test(folder, made, extractor, matching)]


def score_floors(
    folder: CohortFolder,
    extractor: Extractor,
    *,
    size: int,
    roundtrip: Callable[[Pixels], Pixels] | None = None,
    seed: int = 0,
    replicates: int = 100,
) -> list[Row]:
    """Return what even perfect generators reach: real training images against the test split.

    Args:
        folder: The split cohort.
        extractor: Network trained on the cohort's training split.
        size: Sample size of every comparison, from ``fidelity_size``.
        roundtrip: Encodes images and decodes them again. Adds the same rows, under the method
            ``autoencoder``, for training images that went through it.
        seed: Seed of draws and replicates.
        replicates: Bootstrap replicates of the distances.

    Raises:
        CohortError: If the cohort is not split or an image cannot be read.
    """
    matching = Matching(size, extractor.name, replicates, seed)
    train = folder.cohort.part("train").records
    arms: dict[str, Callable[[Pixels], Pixels] | None] = {"real": None}
    if roundtrip is not None:
        arms["autoencoder"] = roundtrip
    rows = []
    for method, through in arms.items():
        origin, view = Origin(method, seed=seed), _View(folder, train, through)
        rows += [origin.row(s) for s in _against_test(folder, view, extractor, matching)]
    return rows


@dataclass(frozen=True)
class _View:
    """Holds images of a folder, and what is done to them before they are looked at."""

    folder: CohortFolder
    records: tuple[Record, ...]
    through: Callable[[Pixels], Pixels] | None = None

    def pixels(self, extractor: Extractor) -> Pixels:
        """Return the images at the extractor's size."""
        side, channels = extractor.card.settings.size, extractor.card.channels
        images = stack(self.folder, self.records, size=side, channels=channels)
        return images if self.through is None else self.through(images)

    def cloud(self, features: np.ndarray) -> Cloud:
        """Return the images as points in feature space."""
        subgroups = tuple(r.group.subgroup for r in self.records)
        return Cloud(features.astype(np.float64), subgroups, tuple(r.subject for r in self.records))

    def by_group(self, cloud: Cloud) -> dict[str, Float[np.ndarray, "_ d"]]:
        """Return the points of the images by group."""
        keys = np.array([r.group.key for r in self.records])
        return {str(key): cloud.features[keys == key] for key in np.unique(keys)}


def _against_test(
    folder: CohortFolder, made: _View, extractor: Extractor, matching: Matching
) -> list[Score]:
    test = _View(folder, folder.cohort.part("test").records)
    real = test.cloud(extractor.features(test.pixels(extractor)))
    pixels = made.pixels(extractor)
    cloud = made.cloud(extractor.features(pixels))
    schema = folder.cohort.schema
    return [
        *distance_scores(real, cloud, schema.subgroups(), matching),
        *_consistency(schema, made, extractor.predict(pixels), cloud, matching.seed),
        *spread_scores(
            test.by_group(real), made.by_group(cloud), schema, matching.name, matching.seed
        ),
    ]


def _consistency(
    schema: Schema,
    made: _View,
    said: dict[str, tuple[str, ...]],
    cloud: Cloud,
    seed: int,
) -> list[Score]:
    """Return how often the extractor sees the prompt's subgroup, and its label."""
    own = [true_levels(schema, r) for r in made.records]
    heads = {
        "attribute_consistency": [a.name for a in schema.attributes],
        "label_consistency": [schema.label.name],
    }
    found = []
    for metric, names in heads.items():
        right = np.array(
            [all(said[h][i] == truth[h] for h in names) for i, truth in enumerate(own)]
        )
        found += share_scores(metric, right, cloud, schema.subgroups(), seed)
    return found
