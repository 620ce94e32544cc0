"""The commands that turn outside data into a cohort folder."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairgen.cli_options import Assignments, Out

if TYPE_CHECKING:
    from fairgen.files.folder import CohortFolder

importing = typer.Typer(help="Turn outside data into a cohort folder.", no_args_is_help=True)

Size = Annotated[int | None, typer.Option(help="Side of a centre crop.")]
Salt = Annotated[
    Path | None, typer.Option(help="Secret file for pseudonyms of subjects; made if not there.")
]
Unreadable = Annotated[str, typer.Option(help="Broken images: drop or error.")]
Show = Annotated[
    list[str] | None,
    typer.Option(
        help="How DICOM and volumes are shown, as KEY=VALUE: window=percentiles, window=[40,400], "
        "axis=coronal, volume.orientation=LAS, volume.window=slice; repeatable."
    ),
]
FlagText = Annotated[bool, typer.Option(help="Mark images that seem to show words.")]
Workers = Annotated[
    int, typer.Option(min=1, help="Processes that read images; every core if not given.")
]
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@importing.command("table")
def import_table(
    file: Path,
    images: Annotated[Path, typer.Option(help="Folder that the file names are relative to.")],
    label: Annotated[str, typer.Option(help="NAME, NAME=COLUMN or NAME=COLUMN:LEVEL=V,V;...")],
    attribute: Annotated[list[str], typer.Option(help="As --label; repeatable.")],
    out: Out,
    file_column: Annotated[str, typer.Option(help="Column of file names.")] = "file_name",
    subject_column: Annotated[str | None, typer.Option(help="Column of patients.")] = None,
    prompt_column: Annotated[str | None, typer.Option(help="Column of prompts.")] = None,
    missing: Annotated[str, typer.Option(help="drop, level or error.")] = "error",
    unreadable: Unreadable = "error",
    modality: Annotated[str, typer.Option(help="skin, chest, mri or generic.")] = "generic",
    size: Size = None,
    slice_: Annotated[
        list[str] | None,
        typer.Option("--slice", help="Of volumes: number, share or largest; repeatable."),
    ] = None,
    show: Show = None,
    salt: Salt = None,
    terms: Annotated[Path | None, typer.Option(help="File with the terms of use.")] = None,
    flag_text: FlagText = True,
    workers: Workers = CORES,
    assignments: Assignments = None,
) -> None:
    """Import any CSV, TSV, JSON lines or Parquet table with its images.

    Example: fairgen import table metadata.csv --images . --subject-column patient
    --attribute sex --label disease --missing drop --salt ~/salt --out cohorts/mine
    """
    from fairgen.intake.spec import TableSettings, parse_attributes, parse_label
    from fairgen.intake.table import import_table as run
    from fairgen.intake.volumes import parse_slices
    from fairgen.study.overrides import override, validate

    given: dict[str, Any] = {
        "images": images,
        "attributes": parse_attributes(attribute),
        "label": parse_label(label),
        "file_column": file_column,
        "subject_column": subject_column,
        "prompt_column": prompt_column,
        "missing": missing,
        "unreadable": unreadable,
        "modality": modality,
        "size": size,
        "show": _shown(show),
        "salt": salt,
        "terms": terms,
        "flag_text": flag_text,
    }
    if slice_:
        given["slices"] = parse_slices(slice_)
    spec = override(validate(TableSettings, given, "import table"), assignments or ())
    folder = run(file, out=out, spec=spec, workers=workers)
    _tell(folder)
    print(f"  prompts read: {folder.prompts.render(folder.cohort.schema.groups()[0])}")


def _shown(texts: list[str] | None) -> dict[str, Any]:
    """Return what KEY=VALUE texts say of how images are shown."""
    from fairgen.study.overrides import assign

    found: dict[str, Any] = {}
    for text in texts or ():
        assign(found, text)
    return found


def _tell(folder: "CohortFolder") -> None:
    """Print what became of the rows and images of an import."""
    from fairgen.intake.make import suspected

    source, cohort = folder.source, folder.cohort
    print(f"{folder.root}: {len(cohort)} images of {len(cohort.subjects())} subjects")
    lost = sum(source["dropped"].values())
    print(f"  rows: {source['rows']} in = {source['kept']} kept + {lost} left out")
    for reason, count in dict(source["dropped"]).items():
        print(f"  left out: {count} rows, {reason}")
    for key in ("absent", "unreadable"):
        if count := source.get(f"images_{key}"):
            print(f"  left out: {count} images, {key}")
    if not source["pseudonyms"]:
        print("  subjects keep the ids of the source; --salt FILE makes pseudonyms of them")
    if marked := suspected(folder):
        named = ", ".join(marked[:3]) + (", ..." if len(marked) > 3 else "")
        print(f"  words seem to be burned into {len(marked)} images: {named}; look at them")


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
        size: Size = None,
        absent: Annotated[
            str, typer.Option(help="Image files not there: drop or error.")
        ] = "error",
        unreadable: Unreadable = "error",
        show: Show = None,
        salt: Salt = None,
        flag_text: FlagText = True,
        workers: Workers = CORES,
        assignments: Assignments = None,
    ) -> None:
        from fairgen.intake.sources import How, import_source
        from fairgen.study.overrides import assign, validate

        given: dict[str, Any] = {}
        for text in assignments or ():
            assign(given, text)
        asked = {
            "size": size,
            "absent": absent,
            "unreadable": unreadable,
            "show": _shown(show),
            "salt": salt,
            "flag_text": flag_text,
            "workers": workers,
        }
        how = validate(How, asked, f"import {words}")
        _tell(import_source(name, root, out=out, preset=preset, options=given, how=how))

    command.__doc__ = f"""Import a release of {words} from its own files; docs/importers.md.

    Example: fairgen import {words} FOLDER --out cohorts/{words} --size 256
    """
    importing.command(words)(command)


for _name in RELEASES:
    _import_release(_name)
