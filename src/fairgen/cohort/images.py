"""What facts about image files say of a cohort: exact duplicates and odd images."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from fairgen.cohort.cohort import SPLITS, Cohort, Record

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class ImageFacts:
    """Describes one image file.

    Attributes:
        width: Pixels, as stored.
        height: Pixels, as stored.
        mode: As Pillow names it: ``L``, ``RGB``, ``I;16`` and so on.
        format: ``PNG``, ``JPEG`` and so on.
        digest: SHA-256 of the file.
        pixel_digest: SHA-256 of the upright eight-bit colour pixels, so that two files that look
            the same to the bit share it.
        blank: Whether all pixels are alike, within two grey levels.
    """

    width: int
    height: int
    mode: str
    format: str
    digest: str
    pixel_digest: str
    blank: bool


@dataclass(frozen=True)
class Duplicate:
    """Names images with exactly the same pixels.

    Attributes:
        images: The images.
        subjects: Whom they are said to show.
        groups: To which groups they are said to belong.
        splits: In which splits they are.
    """

    images: tuple[str, ...]
    subjects: tuple[str, ...]
    groups: tuple[str, ...]
    splits: tuple[str, ...]


def duplicates(cohort: Cohort, facts: Mapping[str, ImageFacts | str]) -> tuple[Duplicate, ...]:
    """Return the images with the same pixels, together."""
    alike: dict[str, dict[str, Record]] = defaultdict(dict)
    for record in cohort.records:
        fact = facts.get(record.image)
        if isinstance(fact, ImageFacts):
            alike[fact.pixel_digest][record.image] = record
    return tuple(same(records.values()) for records in alike.values() if len(records) > 1)


def same(records: Iterable[Record]) -> Duplicate:
    """Return the description of records that show the same pixels."""
    ordered = sorted(records, key=lambda r: r.image)
    return Duplicate(
        tuple(r.image for r in ordered),
        tuple(sorted({r.subject for r in ordered})),
        tuple(sorted({r.group.key for r in ordered})),
        tuple(s for s in SPLITS if any(r.split == s for r in ordered)),
    )


def odd_images(
    facts: Mapping[str, ImageFacts | str], *, small: int, majority: float
) -> dict[str, str]:
    """Return the images that are blank, tiny or unlike most, and in what.

    Args:
        facts: Facts about the images; those that have none are passed over.
        small: Pixels of the shorter side below which an image is called tiny.
        majority: Share of images that must agree before others are called odd.
    """
    read = {image: f for image, f in facts.items() if isinstance(f, ImageFacts)}
    mode = usual((f.mode for f in read.values()), majority)
    size = usual(((f.width, f.height) for f in read.values()), majority)
    found = {}
    for image, fact in read.items():
        marks = []
        if fact.blank:
            marks.append("blank")
        if min(fact.width, fact.height) < small:
            marks.append(f"tiny: {fact.width} x {fact.height}")
        if mode is not None and fact.mode != mode:
            marks.append(f"mode {fact.mode}, most have {mode}")
        if size is not None and (fact.width, fact.height) != size:
            marks.append(f"{fact.width} x {fact.height}, most are {size[0]} x {size[1]}")
        if marks:
            found[image] = "; ".join(marks)
    return found


def usual(values: Iterable[T], majority: float) -> T | None:
    """Return the value that at least the majority has, if there is one."""
    counts = Counter(values)
    total = sum(counts.values())
    return next((v for v, n in counts.most_common(1) if n >= majority * total), None)
