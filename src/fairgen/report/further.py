"""Rows of scores that no other section shows, so that none is lost."""

from fairgen.report import anatomy, fairness, twobytwo
from fairgen.report.blocks import Cell, Section, Table, heading, measured
from fairgen.report.run import Run
from fairgen.report.scores import OVERALL, Row, pooled
from fairgen.report.words import method_text, place_text, word

MOST_ROWS = 400
PLACED = (
    *fairness.COLUMNS,
    *anatomy.METRICS,
    *("fairness_improvement", "levelling_best", "levelling_worst"),
    *(f"{metric}_change" for metric in twobytwo.MEASURES),
)
BY_GROUP = (*fairness.BY_GROUP, *anatomy.METRICS)
SUFFIXES, PREFIXES = ("_term", "_consistency"), ("fid_", "kid_", "within_group_")


def sections(run: Run) -> tuple[Section, ...]:
    """Return a section for the rows that are shown nowhere else, or nothing."""
    rest = [r for r in run.scores.rows if not placed(r, run)]
    if not rest:
        return ()
    rows = tuple(_row(r, run.groups) for r in rest[:MOST_ROWS])
    head = ("Figure", "Method", "Classifier", "Group", "Split", "Value", "n", "Seed")
    caption = f"{len(rest)} further rows of scores.jsonl, {len(rows)} of them shown"
    return (Section("further", "Further figures", (Table(caption, head, rows, folded=True),)),)


def _row(r: Row, groups: tuple[str, ...]) -> tuple[Cell, ...]:
    return (
        heading(word(r.metric).arrowed),
        Cell(method_text(r.method)),
        Cell(", ".join(filter(None, (r.classifier, "reweighted" if r.reweight else "")))),
        Cell(place_text(r.group, groups)),
        Cell(r.split),
        measured(pooled([r]), word(r.metric).decimals, size=False),
        Cell("–" if r.n is None else f"{r.n:,}", number=True),
        Cell("–" if r.seed is None else str(r.seed), number=True),
    )


def placed(row: Row, run: Run) -> bool:
    """Return whether another section shows a row."""
    if row.split not in ("test", ""):
        return False
    if row.group in run.groups:
        return row.metric in BY_GROUP or row.metric.startswith(anatomy.PREFIX)
    known = row.metric in PLACED or row.metric.endswith(SUFFIXES) or row.metric.startswith(PREFIXES)
    return known and row.group in (OVERALL, *run.subgroups)
