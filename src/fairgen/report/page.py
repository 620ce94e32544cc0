"""The page itself: sections put together, rendered, and written beside its figures."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fairgen.errors import StudyError
from fairgen.files.atomic import write_errors, write_text
from fairgen.report import (
    alignment,
    anatomy,
    composition,
    contact,
    fairness,
    fidelity,
    further,
    recipes,
    settings,
    training,
)
from fairgen.report.blocks import (
    Block,
    Cell,
    Glossary,
    Note,
    Section,
    Table,
    heading,
    interval,
)
from fairgen.report.chart import Chart
from fairgen.report.run import Run, read_run
from fairgen.report.scores import Scores
from fairgen.report.verdict import REFERENCE, Finding, findings, paragraph
from fairgen.report.words import glossary, number, subgroup_text


def write_report(run: str | Path) -> Path:
    """Write the report of a run from what its folder holds; a missing part becomes a note.

    The page is one file that loads nothing; its figures are also kept beside it, as SVG, each with
    its data as CSV.

    Args:
        run: Folder of a run.

    Returns:
        Path of the page, ``run/report/index.html``.

    Raises:
        StudyError: If ``run`` is no folder, or the report cannot be written.
    """
    run = Path(run)
    if not run.is_dir():
        raise StudyError(f"{run}: no such folder; expected the folder of a run")
    found = read_run(run)
    made = sections(found)
    folder = run / "report"
    _write_figures(folder / "figures", [c for section in made for c in section.charts()])
    page = folder / "index.html"
    write_text(page, render(found, made))
    return page


def _write_figures(folder: Path, charts: list[Chart]) -> None:
    for chart in charts:
        write_text(folder / f"{chart.name}.svg", chart.file())
        write_text(folder / f"{chart.name}.csv", chart.table())
    names = {c.name for c in charts}
    for old in folder.glob("*.*"):
        if old.suffix in (".svg", ".csv") and old.stem not in names:
            with write_errors(old):
                old.unlink()


def render(run: Run, made: tuple[Section, ...]) -> str:
    """Return the page as HTML."""
    environment = Environment(
        loader=PackageLoader("fairgen.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    source, _, _ = PackageLoader("fairgen.report").get_source(environment, "page.css")
    return environment.get_template("page.html").render(
        css=Markup(source),  # noqa: S704 - the package's own file
        inline=lambda chart, title: Markup(chart.inline(title)),  # noqa: S704 - matplotlib escapes its texts
        name=str(run.study.get("name") or run.root.resolve().name),
        about=str(run.study.get("about") or ""),
        facts=tuple(facts(run)),
        verdict=verdict(run),
        notices=settings.notices(run),
        missing=run.missing,
        sections=made,
    )


def facts(run: Run) -> Iterator[tuple[str, str]]:
    """Yield what was compared, as terms and values."""
    if run.cohort is not None:
        people, images = len(run.cohort.cohort.subjects()), len(run.cohort.cohort)
        yield "Cohort", f"{run.cohort.modality.name}, {images:,} images of {people:,} subjects"
        names = " × ".join(a.name for a in run.cohort.cohort.schema.attributes)
        yield "Subgroups", f"{names}: {', '.join(map(subgroup_text, run.subgroups))}"
        yield "Labels", ", ".join(run.cohort.cohort.schema.label.levels)
    yield "Methods", ", ".join(run.methods) or "none yet"
    yield "Preferences", recipes.source_of(run)
    lacking = "none" if without_classifiers(run) else "none yet"
    yield "Classifiers", ", ".join(run.scores.names("classifier")) or lacking
    yield "Seeds", ", ".join(map(str, run.seeds)) or "none yet"


def tested(run: Run) -> Scores:
    """Return the rows of the test split, and those that name no split."""
    return Scores(tuple(r for r in run.scores.rows if r.split in ("test", "")))


def verdict(run: Run) -> dict[str, object]:
    """Return the verdict as prose and table."""
    found = findings(tested(run), run.methods, run.subgroups)
    text = paragraph(found, run.methods, len(run.seeds))
    return {"text": text, "table": verdict_table(found) if found else None}


def verdict_table(found: list[Finding]) -> Table:
    """Return one row a method, one column a figure, the comparison in words."""
    figures = tuple(dict.fromkeys(f.figure for f in found))
    cells = {(f.method, f.figure): _verdict_cell(f) for f in found}
    methods = dict.fromkeys(f.method for f in found)
    rows = tuple((heading(m), *(cells.get((m, g), Cell("–")) for g in figures)) for m in methods)
    note = (
        f"Each cell: value, interval, and the comparison with {REFERENCE}. Intervals are "
        "bootstraps over subjects; with several seeds the value is their mean, and the interval "
        "spans all of theirs. Overlapping intervals do not show that methods are equal."
    )
    return Table(f"Every method against {REFERENCE}", ("Method", *figures), rows, note)


def _verdict_cell(f: Finding) -> Cell:
    value = f.mine.value if f.mine else None
    text = number(value, f.decimals)
    bounds = interval(f.mine, f.decimals) if f.mine else ""
    shown = f" – {f.shown}" if f.shown else ""
    return Cell(f"{text} {bounds}".strip(), (f"{f.words}{shown}",))


def sections(run: Run) -> tuple[Section, ...]:
    """Return the sections of the page, in order."""
    scores, methods, subgroups = tested(run), run.methods, run.subgroups
    cohort = run.cohort.cohort if run.cohort else None
    absent: tuple[Block, ...] = (Note("The cohort is not there or cannot be read.", missing=True),)
    return (
        Section("data", "Who is in the data", composition.blocks(cohort) if cohort else absent),
        Section("images", "What the images look like", _sheets(run)),
        Section("training", "Training", _training(run)),
        Section(
            "fidelity",
            "Fidelity of generated images",
            (*_guidance(run), *fidelity.blocks(scores, methods, subgroups)),
        ),
        Section(
            "fairness",
            "Fairness and accuracy of the classifiers",
            _fairness(run, scores),
        ),
        Section(
            "consistency",
            "Do images show what was asked for?",
            fidelity.consistency_blocks(scores, methods, subgroups),
        ),
        *_anatomy(run, scores),
        *further.sections(run),
        Section("settings", "Settings and provenance", settings.blocks(run)),
        Section("words", "Words", (Glossary((*TERMS, *glossary(run.scores.names("metric")))),)),
    )


TERMS = (
    ("group", "A level of each sensitive attribute together with a disease label."),
    ("subgroup", "A level of each sensitive attribute alone."),
    ("synthetic", "Generated; the opposite, real, is the cohort."),
    ("real only", "The classifier trained without synthetic images; the base of comparison."),
    ("↑ ↓", "Whether a higher or a lower figure is better."),
    ("[low, high]", "Interval of a bootstrap over subjects; with several seeds it spans theirs."),
    ("n", "Number of images that a figure rests on; with several seeds the smallest."),
)


def _ordered(run: Run) -> list[settings.Trained]:
    """Return all trainings: the methods under comparison, then those that others begin from."""
    place = {m: i for i, m in enumerate(run.methods)}
    return sorted(run.trained, key=lambda t: (t.seed, place.get(t.method, len(place)), t.method))


def _training(run: Run) -> tuple[Block, ...]:
    cohort, trained = run.cohort.cohort if run.cohort else None, _ordered(run)
    return (*training.blocks(trained, cohort), *alignment.blocks(trained))


def _fairness(run: Run, scores: Scores) -> tuple[Block, ...]:
    if without_classifiers(run):
        return (Note("The study trains no classifier: images alone are judged."),)
    return fairness.blocks(scores, run.methods, run.subgroups, run.groups)


def without_classifiers(run: Run) -> bool:
    """Return whether the study asks for no classifier, and none was scored."""
    asked = run.study.get("downstream")
    names = asked.get("classifiers") if isinstance(asked, Mapping) else None
    return names == [] and not run.scores.names("classifier")


def _sheets(run: Run) -> tuple[Block, ...]:
    made = [t for t in _ordered(run) if t.synthetic is not None]
    seed = made[0].seed if made else None
    synthetic = {t.method: t.synthetic for t in made if t.seed == seed and t.synthetic is not None}
    return contact.blocks(run.cohort, synthetic, seed)


def _anatomy(run: Run, scores: Scores) -> tuple[Section, ...]:
    found = anatomy.blocks(run, scores)
    return (Section("anatomy", "Does the anatomy fit the prompt?", found),) if found else ()


def _guidance(run: Run) -> tuple[Block, ...]:
    text = settings.guidance(run)
    return (Note(text),) if text else ()
