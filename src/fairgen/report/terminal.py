"""Tables for the terminal: an audit, and the scores of a study."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from fairgen.cohort.audit import Audit
from fairgen.report.words import word

HEADLINES = (
    "fid_indomain",
    "kid_indomain",
    "fid_indomain_variance",
    "label_consistency",
    "attribute_consistency",
    "phenotype_fit",
    "unseen_fit",
    "anatomy_distance",
    "accuracy",
    "worst_subgroup_accuracy",
    "auc",
    "demographic_parity_mean",
    "equal_opportunity_mean",
    "essp",
    "nar",
    "fairness_improvement",
)


def audit_table(audit: Audit) -> Table:
    """Return one line a group: images, subjects, share, images a split, and repeats.

    Repeats are those of the training split, or of the whole cohort before it is split.
    """
    whole, *splits = audit.parts
    drawn = next((p for p in splits if p.name == "train"), whole)
    ratio = "-" if whole.imbalance is None else f"{whole.imbalance:.1f}"
    title = f"{whole.images} images of {whole.subjects} subjects, largest group / smallest {ratio}"
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    table.caption = "×resampler: draws of one training image an epoch (×natural is 1)"
    table.add_column("group", overflow="fold", min_width=20)
    resamplers = [r for r in drawn.repeats if r != "natural"]
    names = ("images", "subjects", "share", *(p.name for p in splits))
    for name in (*names, *(f"×{r}" for r in resamplers)):
        table.add_column(name, justify="right", no_wrap=True)
    for place, share in enumerate(whole.groups):
        parts = [str(p.groups[place].images) for p in splits]
        often = [f"{drawn.repeats[r][share.name]:.1f}" for r in resamplers]
        numbers = [str(share.images), str(share.subjects), f"{share.share:.1%}"]
        table.add_row(share.name, *numbers, *parts, *often)
    return table


def score_tables(rows: Iterable[Mapping[str, Any]]) -> Group:
    """Return the overall scores: a line a metric, a column a method.

    Scores of the images, and of each classifier with and without reweighting, are tables of their
    own, so that each fits a terminal. With several seeds a cell holds the mean over them; a single
    seed's cell holds the interval.
    """
    tables: dict[str, dict[str, dict[str, list[Mapping[str, Any]]]]] = {}
    for row in rows:
        if row["metric"] in HEADLINES and row["group"] == "overall":
            metrics = tables.setdefault(_title(row), {})
            methods = metrics.setdefault(row["metric"], {})
            methods.setdefault(row["method"], []).append(row)
    return Group(
        *(part for title in sorted(tables) for part in (Text(title), _score_table(tables[title])))
    )


def _title(row: Mapping[str, Any]) -> str:
    what = row.get("classifier") or "Images"
    return f"{what}, {row['split']} split{', reweighted' if row.get('reweight') else ''}"


def _score_table(cells: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> Table:
    methods = list(dict.fromkeys(method for found in cells.values() for method in found))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric")
    for method in methods:
        table.add_column(method, justify="right")
    for metric in HEADLINES:
        if metric in cells:
            found = [cells[metric].get(method, ()) for method in methods]
            table.add_row(word(metric).arrowed, *map(_cell, found))
    return table


def _cell(rows: Sequence[Mapping[str, Any]]) -> str:
    values = [r["value"] for r in rows if r["value"] is not None]
    if not values:
        return "-"
    text = _number(sum(values) / len(values))
    if len(rows) > 1 or rows[0]["low"] is None:
        return text
    return f"{text}\n{_number(rows[0]['low'])}–{_number(rows[0]['high'])}"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
