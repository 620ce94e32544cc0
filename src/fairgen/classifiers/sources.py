"""Which images a classifier learns from: real, synthetic, or both at a ratio."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from fairgen.classifiers.classifier import Lesson, Samples, Task
from fairgen.cohort.cohort import Record
from fairgen.cohort.seed import derive
from fairgen.engine.pixels import records_digest, stack
from fairgen.errors import StudyError
from fairgen.files.folder import CohortFolder
from fairgen.files.synthetic import check_synthetic


@dataclass(frozen=True)
class Source:
    """Holds records and the folder that their images lie in."""

    folder: CohortFolder
    records: tuple[Record, ...]

    def digest(self) -> str:
        """Return a digest of who is shown and of every image."""
        return records_digest(self.folder, self.records)

    def counts(self) -> dict[str, int]:
        """Return the number of images of every group that has some."""
        keys = [r.group.key for r in self.records]
        return {key: keys.count(key) for key in sorted(set(keys))}


def split_source(folder: CohortFolder, split: str) -> Source:
    """Return the images of one split.

    Raises:
        CohortError: If the split is empty.
    """
    return Source(folder, folder.cohort.part(split).records)


def synthetic_source(
    synthetic: CohortFolder, folder: CohortFolder, *, ratio: float | None, seed: int
) -> Source:
    """Return the synthetic images to learn from.

    A larger ratio holds the images of a smaller one and more.

    Args:
        synthetic: Generated images.
        folder: The split cohort that they were generated for.
        ratio: Images per real training image, spread evenly over groups; unset, all.
        seed: Decides which images of a group come first.

    Raises:
        CohortError: If the set is not generated, or its groups differ from the cohort's.
        StudyError: If the ratio is not a positive number, or a group has too few images.
    """
    check_synthetic(synthetic, folder)
    if ratio is None:
        return Source(synthetic, synthetic.cohort.records)
    if not (isfinite(ratio) and ratio > 0):
        raise StudyError(f"ratio: {ratio}; expected more than zero, and finite")
    groups = synthetic.cohort.schema.groups()
    total = round(ratio * len(folder.cohort.part("train")))
    chosen: list[Record] = []
    for position, group in enumerate(groups):
        wanted = total // len(groups) + (position < total % len(groups))
        known = [r for r in synthetic.cohort.records if r.group == group]
        if len(known) < wanted:
            raise StudyError(
                f"{synthetic.root}: {len(known)} images of '{group.key}'; ratio {ratio} asks for "
                f"{wanted}"
            )
        order = np.random.default_rng(derive(seed, "ratio", group.key)).permutation(len(known))
        chosen += [known[i] for i in order[:wanted]]
    return Source(synthetic, tuple(chosen))


def samples(sources: Sequence[Source], *, size: int) -> Samples:
    """Return the images of all sources with the positions of their labels and subgroups.

    Args:
        sources: At least one, all of one schema.
        size: Side in pixels.

    Raises:
        CohortError: If an image cannot be read.
    """
    folder = sources[0].folder
    labels, subgroups = folder.cohort.schema.label.levels, folder.cohort.schema.subgroups()
    channels = folder.modality.channels
    images = [stack(s.folder, s.records, size=size, channels=channels) for s in sources]
    records = [r for s in sources for r in s.records]
    return Samples(
        np.concatenate(images),
        np.array([labels.index(r.group.label) for r in records]),
        np.array([subgroups.index(r.group.subgroup) for r in records]),
    )


def lesson(train: Sequence[Source], valid: Source, *, size: int) -> Lesson:
    """Return what a classifier learns from and is chosen on.

    Raises:
        CohortError: If an image cannot be read.
    """
    schema = valid.folder.cohort.schema
    task = Task(schema.label.levels, schema.subgroups())
    return Lesson(task, samples(train, size=size), samples([valid], size=size))
