"""Facts about image files, and the audit of a cohort folder that rests on them."""

from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fairgen.cohort.audit import Audit, AuditSettings, Listing, audit
from fairgen.cohort.cohort import Cohort
from fairgen.cohort.images import ImageFacts
from fairgen.errors import CohortError
from fairgen.files.digest import file_digest
from fairgen.files.folder import CohortFolder, read_cohort
from fairgen.files.image import SUFFIXES, opened, read_image

BLANK = 2


def image_facts(path: Path) -> ImageFacts:
    """Return what can be said about an image file without knowing what it shows.

    Raises:
        CohortError: If the file is missing, broken or no image.
    """
    with opened(path) as picture:
        width, height, mode, kind = picture.width, picture.height, picture.mode, picture.format
    pixels = read_image(path)
    shape = "x".join(map(str, pixels.shape))
    return ImageFacts(
        width,
        height,
        mode,
        kind or "",
        file_digest(path),
        sha256(shape.encode() + pixels.tobytes()).hexdigest(),
        blank=spread(pixels) <= BLANK,
    )


def spread(pixels: UInt8[np.ndarray, "h w c"]) -> int:
    """Return the largest difference between two pixels of one channel, in grey levels."""
    planes = np.ascontiguousarray(pixels.reshape(-1, pixels.shape[2]).T)
    return int((planes.max(axis=1) - planes.min(axis=1)).max())


def audit_any(
    cohort: str | Path | CohortFolder | Cohort, settings: AuditSettings | None = None
) -> Audit:
    """Return what a cohort holds and what is wrong with it.

    Args:
        cohort: A cohort folder, by its path or as ``read_cohort`` returns it, whose images are
            looked at; or the rows alone.
        settings: What to remark on.

    Raises:
        CohortError: If the folder's tables cannot be understood.
    """
    if isinstance(cohort, Cohort):
        return audit(cohort, settings=settings)
    if isinstance(cohort, CohortFolder):
        return look(cohort, settings)
    return audit_folder(Path(cohort), settings)


def audit_folder(root: Path, settings: AuditSettings | None = None) -> Audit:
    """Look at every image of a cohort folder and return what it holds and what is wrong with it.

    Args:
        root: Cohort folder; missing and broken images, repeated rows and subjects in several
            splits are reported rather than refused.
        settings: What to remark on.

    Raises:
        CohortError: If the folder's tables cannot be understood.
    """
    return look(read_cohort(root, strict=False), settings)


def look(folder: CohortFolder, settings: AuditSettings | None = None) -> Audit:
    """Look at every image of a cohort, as ``audit_folder`` does."""
    facts = {r.image: facts_or_reason(folder, r.image) for r in folder.cohort.records}
    rows = Counter(r.image for r in folder.cohort.records)
    listing = Listing(
        unlisted=unlisted(folder),
        repeated=tuple(image for image, n in rows.items() if n > 1),
        waiver=str(folder.source.get("subject_waiver", "")),
    )
    return audit(folder.cohort, facts, listing=listing, settings=settings)


def facts_or_reason(folder: CohortFolder, image: str) -> ImageFacts | str:
    """Return the facts about an image, or why there are none."""
    path = folder.root / image
    if not path.resolve().is_relative_to(folder.root.resolve()):
        return "is a link out of the cohort folder"
    try:
        return image_facts(path)
    except CohortError as error:
        return str(error).removeprefix(f"{path}: ")


def unlisted(folder: CohortFolder) -> tuple[str, ...]:
    """Return the image files of a cohort folder that no row names, sorted."""
    named = {r.image for r in folder.cohort.records}
    files = (p.relative_to(folder.root) for p in folder.root.rglob("*"))
    pictures = (
        p.as_posix()
        for p in files
        if p.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in p.parts)
    )
    return tuple(sorted(set(pictures) - named))
