"""A phantom's oracle in a physician's place: it prefers the image whose anatomy fits the prompt.

It looks at a part of the anatomy only (``Phantom.looked_at``), so that what was kept back
(``Phantom.kept_back``) can judge the images of a model that learned from its preferences.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fairgen.cohort.schema import Group
from fairgen.errors import PreferenceError
from fairgen.files.folder import CohortFolder
from fairgen.files.image import read_image
from fairgen.files.synthetic import difference
from fairgen.metrics.anatomy import Anatomy
from fairgen.metrics.phenotype import Phenotype, fit_phenotype
from fairgen.modalities.modality import find_modality
from fairgen.phantoms import PHANTOMS, Phantom
from fairgen.phantoms.phantom import Image, balanced
from fairgen.preferences.judge import Fit, Judge

ORACLE = "oracle"
PER_GROUP = 80
"""Reference phantoms of each group that the oracle learns the groups from."""


@dataclass(frozen=True)
class Oracle:
    """Knows how typical an image's anatomy is of a group.

    Attributes:
        phantom: Whose anatomy.
        known: What the groups look like, in the quantities that it looks at.
    """

    phantom: Phantom
    known: Phenotype

    def fit(self, path: Path, group: Group) -> float:
        """Return the log-probability of a group; NaN where the image cannot be measured.

        Raises:
            CohortError: If the image cannot be read.
        """
        channels = find_modality(self.phantom.modality).channels
        pixels = read_image(path, channels=channels)
        seen = _measured(self.phantom, [pixels], [group.key], self.known.names)
        chance = float(self.known.probabilities(seen)[0, self.known.groups.index(group.key)])
        return -math.inf if chance == 0 else math.log(chance)


def fit_oracle(phantom: Phantom, size: int, per_group: int = PER_GROUP) -> Oracle:
    """Return an oracle that learned the groups from freshly drawn phantoms, all groups alike.

    Args:
        phantom: Whose anatomy.
        size: Side of the images in pixels.
        per_group: Phantoms of each group; they are in no cohort, and judge no study.
    """
    drawn = balanced(phantom.schema, per_group, f"{phantom.name} preference reference")
    images = [phantom.render(specimen, size) for specimen in drawn]
    keys = [specimen.group.key for specimen in drawn]
    seen = _measured(phantom, images, keys, phantom.looked_at)
    return Oracle(phantom, fit_phenotype(seen, phantom.looked_at))


def _measured(
    phantom: Phantom, images: Sequence[Image], groups: Sequence[str], names: Sequence[str]
) -> Anatomy:
    """Return what the oracle measures in images, some of its quantities alone."""
    rows = []
    for image in images:
        found = phantom.measure(image)
        rows.append([math.nan if found is None else found[n] for n in names])
    return Anatomy(tuple(names), np.array(rows, dtype=np.float64), tuple(groups))


def oracle_judge(
    folder: CohortFolder, *, error_rate: float = 0.0, per_group: int = PER_GROUP
) -> Judge:
    """Return the oracle that answers about a generated set of phantoms.

    Args:
        folder: The generated set.
        error_rate: Chance that a preference is turned round, in [0, 0.5].
        per_group: Reference phantoms of each group.

    Raises:
        CohortError: If the set's first image cannot be read.
        PreferenceError: If the set's model was not trained on a phantom with an oracle, or the
            error rate is out of range.
    """
    phantom = phantom_of(folder)
    first = folder.path(folder.cohort.records[0])
    size = min(read_image(first).shape[:2])
    facts = {
        "phantom": phantom.name,
        "looked_at": list(phantom.looked_at),
        "kept_back": list(phantom.kept_back),
        "references_per_group": per_group,
        "reference_size": size,
    }
    return Judge(ORACLE, partial(_prepare, phantom, size, per_group), facts, error_rate)


def _prepare(phantom: Phantom, size: int, per_group: int) -> Fit:
    return fit_oracle(phantom, size, per_group).fit


def phantom_of(folder: CohortFolder) -> Phantom:
    """Return the phantom that the model of a generated set was trained on.

    Raises:
        PreferenceError: If it was trained on something else, or the phantom has no oracle.
    """
    trained_on = folder.source.get("trained_on")
    name = trained_on.get("phantom") if isinstance(trained_on, Mapping) else None
    if not isinstance(name, str) or name not in PHANTOMS:
        raise PreferenceError(
            f"{folder.root}: its model was not trained on a phantom (source.trained_on.phantom is "
            f"{name!r}); expected one, or people or a proxy in place of the oracle"
        )
    phantom = PHANTOMS[name]
    if not phantom.looked_at:
        raise PreferenceError(f"{folder.root}: phantom '{name}' has no oracle that could prefer")
    if phantom.schema != folder.cohort.schema:
        said = difference(folder.cohort.schema, phantom.schema)
        raise PreferenceError(f"{folder.root}: other groups than phantom '{name}' ({said})")
    return phantom
