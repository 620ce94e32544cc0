"""What a cohort holds and what is wrong with it, from its rows and facts about its images."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import BaseModel, Field

from fairgen.cohort.cohort import SPLITS, Cohort
from fairgen.cohort.counts import Part, describe
from fairgen.cohort.images import Duplicate, ImageFacts, duplicates, odd_images
from fairgen.cohort.split import straddlers


class AuditSettings(BaseModel, extra="forbid", frozen=True):
    """Says what an audit remarks on.

    Attributes:
        tiny: A group with images, but fewer than this, is called tiny.
        small: An image whose shorter side has fewer pixels than this is called odd.
        majority: Share of images that must agree in mode or size before others are called odd.
    """

    tiny: int = Field(default=10, ge=1)
    small: int = Field(default=32, ge=1)
    majority: float = Field(default=0.8, gt=0.5, le=1)


@dataclass(frozen=True)
class Listing:
    """Says what the folder and its tables disagree on.

    Attributes:
        unlisted: Image files that no table names.
        repeated: Images that several rows name.
        waiver: Why patients cannot be told apart, if they cannot.
    """

    unlisted: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    waiver: str = ""


@dataclass(frozen=True)
class Audit:
    """Holds the result of an audit; a tuple or mapping that is empty means that nothing was found.

    Attributes:
        parts: The whole cohort, then each split that has images.
        straddling: Subjects with images in several splits, and those splits.
        wandering: Subjects with images in several groups, and those groups. That is no mistake:
            patients change, and the group belongs to the image.
        duplicates: Images with the same pixels.
        unreadable: Images that are missing or cannot be decoded, and why.
        odd: Images that are blank, tiny, or unlike most, and in what.
        checked: Number of images whose files were looked at.
        listing: What the folder and its tables disagree on.
    """

    parts: tuple[Part, ...]
    straddling: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    wandering: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    duplicates: tuple[Duplicate, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    odd: Mapping[str, str] = field(default_factory=dict)
    checked: int = 0
    listing: Listing = Listing()

    def leaks(self) -> tuple[Duplicate, ...]:
        """Return the duplicates that lie in several splits."""
        return tuple(d for d in self.duplicates if len(d.splits) > 1)

    def as_dict(self) -> dict[str, Any]:
        """Return the audit as JSON can hold it."""
        return {**asdict(self), "sound": self.sound()}

    def sound(self) -> bool:
        """Return whether figures from this cohort can be trusted.

        That is: every image can be read and has one row, and neither a subject nor a duplicate is
        in two splits.
        """
        return not (self.straddling or self.unreadable or self.listing.repeated or self.leaks())

    def findings(self) -> tuple[str, ...]:
        """Return one sentence for each kind of finding, the gravest first."""
        return tuple(text for text in sentences(self) if text)


def audit(
    cohort: Cohort,
    facts: Mapping[str, ImageFacts | str] | None = None,
    *,
    listing: Listing | None = None,
    settings: AuditSettings | None = None,
) -> Audit:
    """Return what a cohort holds and what is wrong with it.

    Args:
        cohort: Records, split or not.
        facts: Facts about the images by ``Record.image``, or the reason why there are none; without
            it the images are not looked at.
        listing: What the folder and its tables disagree on.
        settings: What to remark on.
    """
    chosen = settings or AuditSettings()
    known = facts or {}
    present = [s for s in SPLITS if any(r.split == s for r in cohort.records)]
    parts = [describe("all", cohort, chosen.tiny)]
    parts += [describe(s, cohort.part(s), chosen.tiny) for s in present]
    return Audit(
        tuple(parts),
        straddlers(cohort),
        wanderers(cohort),
        duplicates(cohort, known),
        {image: fact for image, fact in known.items() if isinstance(fact, str)},
        odd_images(known, small=chosen.small, majority=chosen.majority),
        len(known),
        listing or Listing(),
    )


def wanderers(cohort: Cohort) -> dict[str, tuple[str, ...]]:
    """Return the subjects that have images in several groups, with those groups, sorted."""
    seen: dict[str, set[str]] = defaultdict(set)
    for record in cohort.records:
        seen[record.subject].add(record.group.key)
    return {s: tuple(sorted(seen[s])) for s in sorted(seen) if len(seen[s]) > 1}


def sentences(found: Audit) -> Iterable[str]:
    """Yield a sentence for each kind of finding, empty where nothing was found."""
    listing = found.listing
    yield counted("subjects with images in several splits", found.straddling)
    yield counted("exact copies in different splits", joined(found.leaks()))
    yield counted("unreadable images", [f"{i} ({why})" for i, why in found.unreadable.items()])
    yield counted("images that several rows name", listing.repeated)
    apart = [d for d in found.duplicates if len(d.subjects) > 1]
    yield counted("exact copies under different subjects", joined(apart))
    relabelled = [d for d in found.duplicates if len(d.groups) > 1]
    yield counted("exact copies in different groups", joined(relabelled))
    yield counted("exact copies", joined(found.duplicates))
    yield counted("odd images", [f"{i} ({why})" for i, why in found.odd.items()])
    yield counted("image files in no table", listing.unlisted)
    yield counted("subjects with images in several groups", found.wandering)
    for part in found.parts:
        yield counted(f"empty groups in '{part.name}'", part.empty)
        yield counted(f"tiny groups in '{part.name}'", part.tiny)
    if listing.waiver:
        yield f"subjects cannot be told apart: {listing.waiver}"


def joined(found: Iterable[Duplicate]) -> list[str]:
    """Return the images of each set of copies as one text."""
    return [" = ".join(d.images) for d in found]


def counted(what: str, items: Iterable[str], most: int = 5) -> str:
    """Return a sentence that counts and names things, or nothing if there are none."""
    named = list(items)
    rest = f" and {len(named) - most} more" if len(named) > most else ""
    return f"{what}: {len(named)} ({', '.join(named[:most])}{rest})" if named else ""
