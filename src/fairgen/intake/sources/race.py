"""Race as hospitals record it, in the coarse groups that published studies of these tables use."""

from collections.abc import Mapping

from fairgen.intake.spec import MISSING

GROUPS: Mapping[str, str] = {
    "HISPANIC": "HISPANIC/LATINO",
    "WHITE": "WHITE",
    "BLACK": "BLACK/AFRICAN AMERICAN",
    "ASIAN": "ASIAN",
}
"""The word that a value begins with, and the group; the names are MIMIC-IV's own."""
LEVELS = ("WHITE", "BLACK/AFRICAN AMERICAN", "ASIAN", "HISPANIC/LATINO")
UNSAID = (
    "unable to obtain",
    "patient declined to answer",
    "patient refused",
    "race and ethnicity unknown",
)


def group(value: str) -> str:
    """Return the group of a recorded race: empty if nothing was said, else a level or the value."""
    text = " ".join(value.split()).upper()
    if text.casefold() in (*MISSING, *UNSAID):
        return ""
    return next((level for word, level in GROUPS.items() if text.startswith(word)), text)
