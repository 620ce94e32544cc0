"""One finding an image, from tables that mark each of several findings in a column of its own."""

from collections.abc import Mapping
from typing import Literal

from fairgen.errors import CohortError
from fairgen.intake.lookup import plain
from fairgen.intake.sources.plan import Drop

Policy = Literal["u-ignore", "u-zero", "u-one"]
"""What -1, an uncertain mention, counts as: the row is left out, or it is 0, or it is 1."""
Several = Literal["drop", "first"]
"""What becomes of a row with several of the findings: left out, or it has the first listed."""

NAMES = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion",
    "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
NORMAL = "Normal"
SHOWN = ("Edema", "Lung Opacity", "Pleural Effusion", NORMAL)


def column_of(finding: str) -> str:
    """Return the column of a finding; no finding at all is called normal."""
    return "No Finding" if finding == NORMAL else finding


def marks(values: Mapping[str, str], findings: tuple[str, ...]) -> dict[str, str]:
    """Return the mark of each finding: ``1``, ``0`` or ``-1``; a blank cell is no mention, 0.

    Raises:
        CohortError: If a cell holds anything else.
    """
    found = {}
    for finding in findings:
        column = column_of(finding)
        mark = plain(values.get(column, "")) or "0"
        if mark not in ("1", "0", "-1"):
            raise CohortError(f"column '{column}': '{mark}'; expected 1, 0, -1 or nothing")
        found[finding] = mark
    return found


def one_finding(
    values: Mapping[str, str], findings: tuple[str, ...], policy: Policy, several: Several
) -> str | Drop:
    """Return the one finding of a row, or the rule that leaves it out.

    Args:
        values: The row's cells.
        findings: The findings wanted, in order; the others are not looked at.
        policy: What an uncertain mention counts as.
        several: What becomes of a row with several findings.

    Raises:
        CohortError: If a cell is wrong.
    """
    found = marks(values, findings)
    if policy == "u-ignore" and "-1" in found.values():
        return Drop("uncertain finding")
    counts = ("1", "-1") if policy == "u-one" else ("1",)
    present = [finding for finding, mark in found.items() if mark in counts]
    if not present:
        return Drop("none of the findings")
    if len(present) > 1 and several == "drop":
        return Drop("several findings")
    return present[0]
