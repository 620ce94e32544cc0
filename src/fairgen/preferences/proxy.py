"""A stand-in for physicians on real cohorts: a network of the training split, called a proxy.

It knows what tells this cohort's labels and attributes apart, not what a physician would look at.
Nothing that it prefers is a physician's word, so everything it answers carries its name.
"""

import math
from functools import partial
from pathlib import Path

import numpy as np

from fairgen.cohort.schema import Group, Schema
from fairgen.engine.extractor import Extractor, load_extractor
from fairgen.errors import CheckpointError
from fairgen.files.folder import CohortFolder
from fairgen.files.image import read_image
from fairgen.preferences.judge import Fit, Judge

PROXY = "proxy"


def proxy_judge(folder: CohortFolder, extractor: str | Path) -> Judge:
    """Return the proxy that answers about a generated set.

    Args:
        folder: The generated set.
        extractor: Folder of the in-domain extractor.

    Raises:
        CheckpointError: If the extractor is missing or damaged, or does not know the set's groups.
    """
    network = load_extractor(extractor)
    _check_heads(network, folder.cohort.schema, extractor)
    card = network.card
    facts = {"extractor": card.name, "extractor_key": card.key, "looked_at": list(card.heads)}
    return Judge(PROXY, partial(_prepare, network, folder.cohort.schema), facts)


def _prepare(network: Extractor, schema: Schema) -> Fit:
    return partial(proxy_fit, network, schema)


def proxy_fit(network: Extractor, schema: Schema, path: Path, group: Group) -> float:
    """Return the sum of the log-probabilities of a group's attributes and label.

    Args:
        network: The extractor.
        schema: The groups.
        path: An image.
        group: What it was asked to show.

    Raises:
        CohortError: If the image cannot be read.
    """
    card = network.card
    pixels = read_image(path, size=card.settings.size, channels=card.channels)
    chances = network.probabilities(pixels[np.newaxis])
    levels = dict(zip((a.name for a in schema.attributes), group.levels, strict=True))
    levels[schema.label.name] = group.label
    wanted = [float(chances[h][0, card.heads[h].index(level)]) for h, level in levels.items()]
    return sum(-math.inf if chance == 0 else math.log(chance) for chance in wanted)


def _check_heads(network: Extractor, schema: Schema, where: str | Path) -> None:
    """Raise unless the extractor tells all levels of all attributes and of the label apart.

    Raises:
        CheckpointError: If not.
    """
    for attribute in (*schema.attributes, schema.label):
        known = network.card.heads.get(attribute.name, ())
        missing = [level for level in attribute.levels if level not in known]
        if missing:
            raise CheckpointError(
                f"{where}: the extractor does not know {attribute.name} '{missing[0]}'; "
                "expected one trained on the cohort of the generated set"
            )
