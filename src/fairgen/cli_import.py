"""The commands that turn outside data into a cohort folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fairgen.cli_options import Assignments, Out

importing = typer.Typer(help="Turn outside data into a cohort folder.", no_args_is_help=True)


@importing.command("table")
def import_table(
    file: Path,
    images: Annotated[Path, typer.Option(help="Folder that the file names are relative to.")],
    label: Annotated[str, typer.Option(help="NAME, NAME=COLUMN or NAME=COLUMN:LEVEL=V,V;...")],
    attribute: Annotated[list[str], typer.Option(help="As --label; repeatable.")],
    out: Out,
    file_column: Annotated[str, typer.Option(help="Column of file names.")] = "file_name",
    subject_column: Annotated[str | None, typer.Option(help="Column of patients.")] = None,
    missing: Annotated[str, typer.Option(help="drop, level or error.")] = "error",
    modality: Annotated[str, typer.Option(help="skin, chest, mri or generic.")] = "generic",
    assignments: Assignments = None,
) -> None:
    """Import any CSV, TSV, JSON lines or Parquet table with its images.

    Example: fairgen import table metadata.csv --images . --subject-column patient
    --attribute sex --label disease --missing drop --out cohorts/mine
    """
    from fairgen.intake.spec import TableSettings, parse_attributes, parse_label
    from fairgen.intake.table import import_table as run
    from fairgen.study.overrides import override, validate

    given = {
        "images": images,
        "attributes": parse_attributes(attribute),
        "label": parse_label(label),
        "file_column": file_column,
        "subject_column": subject_column,
        "missing": missing,
        "modality": modality,
    }
    spec = override(validate(TableSettings, given, "import table"), assignments or ())
    folder = run(file, out=out, spec=spec)
    print(f"{out}: {len(folder.cohort)} images of {len(folder.cohort.subjects())} subjects")
    for reason, count in dict(folder.source.get("dropped", {})).items():
        print(f"  left out: {count} rows, {reason}")
    print(f"  prompts read: {folder.prompts.render(folder.cohort.schema.groups()[0])}")


RELEASES = (
    *("fitzpatrick17k", "chexpert", "covid19", "oasis", "isic", "ixi", "mimic_cxr"),
    *("nih_cxr14", "pad_ufes20", "imagefolder"),
)
"""The keys of ``SOURCES``, so that help needs not load them all."""


def _import_release(name: str) -> None:
    """Add the command that imports one release."""
    words = name.replace("_", "-")

    def command(
        root: Annotated[Path, typer.Argument(help="Folder of the release.")],
        out: Out,
        preset: Annotated[str, typer.Option(help="Settings by name.")] = "",
        size: Annotated[int | None, typer.Option(help="Side of a centre crop.")] = None,
        absent: Annotated[
            str, typer.Option(help="Image files not there: drop or error.")
        ] = "error",
        unreadable: Annotated[str, typer.Option(help="Broken images: drop or error.")] = "error",
        salt: Annotated[Path | None, typer.Option(help="Secret file for pseudonyms.")] = None,
        assignments: Assignments = None,
    ) -> None:
        from fairgen.intake.sources import How, import_source
        from fairgen.study.overrides import assign, validate

        given: dict[str, Any] = {}
        for text in assignments or ():
            assign(given, text)
        asked = {"size": size, "absent": absent, "unreadable": unreadable, "salt": salt}
        how = validate(How, asked, f"import {words}")
        folder = import_source(name, root, out=out, preset=preset, options=given, how=how)
        print(f"{out}: {len(folder.cohort)} images of {len(folder.cohort.subjects())} subjects")
        for reason, count in dict(folder.source.get("dropped", {})).items():
            print(f"  left out: {count} rows, {reason}")

    command.__doc__ = f"""Import a release of {words} from its own files; docs/importers.md.

    Example: fairgen import {words} FOLDER --out cohorts/{words} --size 256
    """
    importing.command(words)(command)


for _name in RELEASES:
    _import_release(_name)
