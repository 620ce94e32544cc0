"""Does measured anatomy fit the prompt that asked for it?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import QuantileTransformer

from fairgen.cohort.schema import SEPARATOR, Schema
from fairgen.metrics.anatomy import Anatomy, places
from fairgen.metrics.distance import share_score
from fairgen.metrics.score import Score

QUANTILES = 100
PREFIX = "phenotype"


@dataclass(frozen=True)
class Phenotype:
    """Knows the anatomy of every group, from reference images with all groups alike.

    A multinomial logistic regression on ranks turned into normal scores; every group counts alike,
    however many of its images could be measured.

    Attributes:
        names: The quantities that it looks at.
        groups: Keys of the groups.
        model: The fitted regression.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    model: Pipeline

    def probabilities(self, anatomy: Anatomy) -> Float[np.ndarray, "n g"]:
        """Return how typical each image's anatomy is of each group, summing to 1.

        Rows of images that could not be measured are NaN.
        """
        seen = anatomy.only(self.names)
        found = np.full((len(seen.groups), len(self.groups)), math.nan)
        if seen.measurable.any():
            found[seen.measurable] = self.model.predict_proba(seen.values[seen.measurable])
        return found

    def nearest(self, anatomy: Anatomy) -> tuple[str, ...]:
        """Return the group that each image is most typical of; empty where not measurable."""
        known = self.probabilities(anatomy)
        best = np.where(np.isnan(known), -1, known).argmax(axis=1)
        missing = np.isnan(known).any(axis=1)
        return tuple("" if m else self.groups[i] for i, m in zip(best, missing, strict=True))


def fit_phenotype(reference: Anatomy, names: Sequence[str]) -> Phenotype:
    """Return what the reference images teach about the groups.

    Args:
        reference: Measured images, several of every group.
        names: The quantities to look at.

    Raises:
        ValueError: If fewer than two groups have a measured image.
    """
    seen = reference.only(names)
    rows = seen.measurable
    groups = np.array(seen.groups)[rows]
    if len(set(groups.tolist())) < 2:
        raise ValueError("phenotype: fewer than two groups could be measured; expected all of them")
    spread = QuantileTransformer(
        n_quantiles=min(QUANTILES, len(groups)), output_distribution="normal", random_state=0
    )
    model = make_pipeline(spread, LogisticRegression(max_iter=2000, class_weight="balanced"))
    model.fit(seen.values[rows], groups)
    return Phenotype(tuple(names), tuple(str(g) for g in model.classes_), model)


def phenotype_scores(
    known: Phenotype,
    anatomy: Anatomy,
    schema: Schema,
    *,
    seed: int = 0,
    prefix: str = PREFIX,
) -> list[Score]:
    """Return the shares of images that fit their prompt, overall, by subgroup and by group.

    ``phenotype_fit`` asks for the whole group, ``phenotype_label`` and ``phenotype_attribute`` for
    a part of it; an image that cannot be measured fits nothing. ``measurable`` is the share that
    can be measured; it is told under the usual prefix alone.

    Args:
        known: What the groups look like.
        anatomy: The images, each its own subject.
        schema: The groups.
        seed: Seed of the bootstrap.
        prefix: Beginning of the metrics' names, where ``known`` looks at other quantities.
    """
    said = known.nearest(anatomy)
    pairs = list(zip(anatomy.groups, said, strict=True))
    parts = [(g.rpartition(SEPARATOR), s.rpartition(SEPARATOR)) for g, s in pairs]
    right = {
        f"{prefix}_fit": [g == s for g, s in pairs],
        f"{prefix}_label": [g[2] == s[2] for g, s in parts],
        f"{prefix}_attribute": [g[0] == s[0] for g, s in parts],
    }
    if prefix == PREFIX:
        right["measurable"] = anatomy.measurable.tolist()
    return [
        share_score(metric, place, np.array(values)[rows], np.flatnonzero(rows).tolist(), seed)
        for metric, values in right.items()
        for place, rows in places(anatomy, schema).items()
    ]
