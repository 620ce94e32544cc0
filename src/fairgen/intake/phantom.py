"""Built-in phantoms written to disk as cohort folders."""

from pathlib import Path
from types import MappingProxyType

from fairgen.cohort.cohort import Cohort, Record
from fairgen.errors import CohortError
from fairgen.files.folder import CohortFolder, read_cohort, write_cohort
from fairgen.intake.source import made_from
from fairgen.modalities.modality import Prompts, find_modality
from fairgen.phantoms import PHANTOMS, Phantom, Specimen


def write_phantom(name: str, out: str | Path, *, count: int, size: int, seed: int) -> CohortFolder:
    """Render a built-in cohort into a new cohort folder.

    Repeating the call does nothing, even if the cohort has been split since.

    Args:
        name: Key in ``PHANTOMS``.
        out: Folder to make.
        count: Number of images.
        size: Side of the images in pixels.
        seed: Decides who is in the cohort.

    Raises:
        CohortError: If there is no such phantom, ``count`` or ``size`` is below 1, or ``out`` holds
            another cohort.
        StudyError: If ``out`` holds something else or cannot be written.
    """
    out, phantom = Path(out), find_phantom(name)
    if count < 1 or size < 1:
        raise CohortError(f"phantom '{name}': count {count}, size {size}; expected 1 or more")
    source = {"phantom": name, "count": count, "size": size, "seed": seed}
    if made_from(out, source):
        return read_cohort(out)
    shown = {image_name(s): s for s in phantom.specimens(count, seed)}
    return write_cohort(
        describe(phantom, out, shown, source), lambda r: phantom.render(shown[r.image], size)
    )


def find_phantom(name: str) -> Phantom:
    """Return the phantom of that name.

    Raises:
        CohortError: If there is none; the message lists those that exist.
    """
    if name not in PHANTOMS:
        raise CohortError(f"unknown phantom '{name}'; expected one of {', '.join(PHANTOMS)}")
    return PHANTOMS[name]


def image_name(specimen: Specimen) -> str:
    """Return where a specimen's image lies in the cohort folder."""
    return f"images/{specimen.index:06d}.png"


def describe(
    phantom: Phantom, out: Path, shown: dict[str, Specimen], source: dict[str, object]
) -> CohortFolder:
    """Return what the cohort folder shall hold.

    The columns ``index`` and ``seed`` let a specimen, and so its true anatomy, be found again.
    """
    modality = find_modality(phantom.modality)
    prompts = Prompts(phantom.schema, phantom.template or modality.template, phantom.words)
    records = tuple(
        Record(
            image,
            s.subject,
            s.group,
            prompts.render(s.group),
            extra=MappingProxyType({"index": str(s.index), "seed": str(s.seed)}),
        )
        for image, s in shown.items()
    )
    return CohortFolder(out, Cohort(phantom.schema, records), prompts, modality, source)
