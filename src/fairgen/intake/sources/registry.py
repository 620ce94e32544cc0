"""The sources by name; a new one is one file and one line here."""

from collections.abc import Mapping
from types import MappingProxyType

from fairgen.errors import StudyError
from fairgen.intake.sources import (
    chexpert,
    covid19,
    fitzpatrick17k,
    imagefolder,
    isic,
    ixi,
    mimic_cxr,
    nih_cxr14,
    oasis,
    pad_ufes20,
)
from fairgen.intake.sources.release import Source, nearest

SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        s.name: s
        for s in (
            fitzpatrick17k.SOURCE,
            chexpert.SOURCE,
            covid19.SOURCE,
            oasis.SOURCE,
            isic.SOURCE,
            ixi.SOURCE,
            mimic_cxr.SOURCE,
            nih_cxr14.SOURCE,
            pad_ufes20.SOURCE,
            imagefolder.SOURCE,
        )
    }
)


def find_source(name: str) -> Source:
    """Return the source of that name; ``-`` and ``_`` are the same.

    Raises:
        StudyError: If there is none; the message lists those that exist.
    """
    known = name.replace("-", "_")
    if known not in SOURCES:
        raise StudyError(f"import: '{name}'; {nearest(known, SOURCES)}")
    return SOURCES[known]
