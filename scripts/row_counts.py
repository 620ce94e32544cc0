"""Prints what becomes of the rows of the true tables, as docs/importers.md lists it.

    python scripts/row_counts.py TABLES

Rows in = rows kept + rows left out by each rule; no image is looked at.
"""

import sys
from pathlib import Path
from typing import Any

from fairgen.intake.sources import SOURCES

FULL, SAMPLE = ({"table": f"nih_{n}.csv"} for n in ("Data_Entry_2017_v2020", "sample_labels"))
APRIL = {"table": "covid-chestxray_metadata_2020-04.csv"}
CASES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("fitzpatrick17k", "", {}),
    ("fitzpatrick17k", "paper-skin", {}),
    ("fitzpatrick17k", "paper-skin", {"scale": "fitzpatrick_centaur"}),
    ("covid19", "", {}),
    ("covid19", "", APRIL),
    ("oasis", "paper-mri", {}),
    ("oasis", "oasis1", {}),
    ("oasis", "oasis1", {"unrated": "nondemented"}),
    ("isic", "external-skin-sex", {}),
    ("isic", "", {"label": "diagnosis_3"}),
    ("isic", "external-skin-tone", {}),
    ("isic", "ham10000-sex", {}),
    ("ixi", "external-mri", {}),
    ("nih_cxr14", "one-finding", FULL),
    ("nih_cxr14", "abnormal-sex", FULL),
    ("nih_cxr14", "one-finding", {**SAMPLE, "attributes": ("age",)}),
    ("pad_ufes20", "tone", {}),
    ("pad_ufes20", "sex", {}),
    ("pad_ufes20", "", {"attributes": ("age",)}),
)


def line(root: Path, name: str, preset: str, options: dict[str, Any]) -> str:
    """Return what becomes of the rows of one table."""
    source = SOURCES[name]
    plan = source.plan(root, source.settings(preset, options))
    found, subjects = plan.gathered, len({item.subject for item in plan.items})
    lost = "".join(f" + {n:,} {rule}" for rule, n in plan.dropped.items())
    asked = " ".join(filter(None, (name, preset, *(f"{k}={v}" for k, v in options.items()))))
    return (
        f"{asked}: {found.rows:,} in = {found.kept:,} kept{lost}; {len(plan.items):,} images "
        f"of {subjects:,} subjects\n"
    )


if __name__ == "__main__":
    for case in CASES:
        sys.stdout.write(line(Path(sys.argv[1]), *case))
