"""The command line: one command a stage; each parses, calls one function, and prints."""

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from fairgen import __version__
from fairgen.cli_import import importing
from fairgen.cli_options import AsJson, Assignments, CohortPath, Out, Seed
from fairgen.cli_review import reviewing
from fairgen.cli_reward import reward
from fairgen.cli_train import export, train
from fairgen.errors import FairGenError, Stopped

app = typer.Typer(
    help="FairGen: demographically fair medical image synthesis. Research only, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
basing = typer.Typer(help="Make a base to fine-tune.", no_args_is_help=True)
scoring = typer.Typer(help="Write rows of scores.jsonl.", no_args_is_help=True)
app.add_typer(importing, name="import")
app.add_typer(basing, name="base")
app.add_typer(scoring, name="score")
app.add_typer(reviewing, name="review")
for command in (train, export, reward):
    app.command()(command)

INTERRUPTED = 130  # as shells report Ctrl-C
TERMINATED = 143  # and SIGTERM


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit with 2 and one line on stderr for a user's mistake."""
    _quiet_libraries()
    _quiet_others()
    given = None if arguments is None else list(arguments)
    try:
        status = app(args=given, prog_name="fairgen", standalone_mode=False)
    except FairGenError as error:
        _stop("fairgen", str(error), TERMINATED if isinstance(error, Stopped) else 2)
    except TyperException as error:
        _stop_usage(error)
    except typer.Abort:
        status = INTERRUPTED
    if status == INTERRUPTED:
        _stop("fairgen", "interrupted; repeating the command goes on from here", INTERRUPTED)
    sys.exit(status or 0)


def _stop(command: str, message: str, status: int = 2) -> NoReturn:
    """Print one line on stderr and exit."""
    print(f"{command}: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


def _stop_usage(error: TyperException) -> NoReturn:
    """Print what is wrong with a command's arguments; a command without any has shown its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.exit(2)
    context = getattr(error, "ctx", None)
    command = "fairgen" if context is None else context.command_path
    _stop(command, f"{error.format_message().rstrip('.')}; see `{command} --help`")


def _quiet_libraries() -> None:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")


def _quiet_others() -> None:
    """Leave it to the first process of a launcher to print results; each prints its errors."""
    if os.environ.get("RANK", "0") != "0":
        sys.stdout = StringIO()


def _show_version(value: bool | None) -> None:
    if value:
        print(f"fairgen {__version__}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell what is done.")] = False,
    _version: Annotated[
        bool | None,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = None,
) -> None:
    """Set up what all commands share."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("fairgen").setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("fairgen.files.progress").setLevel(logging.INFO)  # where no bar is seen


@app.command()
def show(study: Path, assignments: Assignments = None) -> None:
    """Print a study's settings, every default included.

    Example: fairgen show studies/demo.toml --set train.steps=200
    """
    from fairgen.study.config import read_study

    print(read_study(study, assignments or ()).model_dump_json(indent=2))


@app.command()
def phantom(
    name: str,
    out: Out,
    count: Annotated[int, typer.Option(help="Images.", min=1)] = 2000,
    size: Annotated[int, typer.Option(help="Side in pixels.", min=32, max=512)] = 64,
    seed: Seed = 0,
) -> None:
    """Render a built-in cohort.

    Example: fairgen phantom skin --out cohorts/skin --count 2000
    """
    from fairgen.intake.phantom import write_phantom

    folder = write_phantom(name, out, count=count, size=size, seed=seed)
    print(f"{out}: {len(folder.cohort)} images of {len(folder.cohort.subjects())} subjects")


@app.command()
def audit(cohort: Path, json_: AsJson = False) -> None:
    """Say who is in a cohort: counts, imbalance, leaks, duplicates, unreadable files.

    Example: fairgen audit cohorts/skin
    """
    from fairgen.files.facts import audit_folder

    found = audit_folder(cohort)
    if json_:
        print(json.dumps(found.as_dict(), indent=2))
        return
    from rich.console import Console

    from fairgen.report.terminal import audit_table

    Console().print(audit_table(found))
    for sentence in found.findings():
        print(sentence)


@app.command()
def split(
    cohort: Path,
    fractions: Annotated[str, typer.Option(help="Train, valid, test.")] = "0.6,0.15,0.25",
    folds: Annotated[int, typer.Option(help="Folds for cross-validation.", min=0)] = 0,
    fold: Annotated[int, typer.Option(help="Fold that is the test data.", min=0)] = 0,
    given: Annotated[
        str | None, typer.Option(help="Column that names the splits, as release_split.")
    ] = None,
    external: Annotated[bool, typer.Option(help="All of it is test data.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace another split.")] = False,
    seed: Seed = 0,
) -> None:
    """Divide a cohort by subject, with each group's share alike in every part.

    Example: fairgen split cohorts/skin --fractions 0.6,0.15,0.25 --seed 1
    """
    from fairgen.cohort.split import EXTERNAL, SplitSettings
    from fairgen.files.layout import split_folder
    from fairgen.study.overrides import validate

    asked = {
        "fractions": EXTERNAL if external else fractions.split(","),
        "folds": folds,
        "fold": fold,
        "given": given,
        "seed": seed,
    }
    settings = validate(SplitSettings, asked, "split")
    folder = split_folder(cohort, settings, overwrite=overwrite)
    for name in ("train", "valid", "test"):
        shown = [r.subject for r in folder.cohort.records if r.split == name]
        print(f"{name}: {len(shown)} images of {len(set(shown))} subjects")


@app.command()
def pack(
    cohort: Path,
    out: Out,
    images: Annotated[int, typer.Option(help="Images a shard.", min=1)] = 1000,
) -> None:
    """Write a cohort anew with its images in WebDataset shards; everything reads it as before.

    Example: fairgen pack cohorts/skin --out cohorts/skin-shards
    """
    from fairgen.files.pack import pack_cohort

    folder = pack_cohort(cohort, out, images=images)
    print(f"{out}: {len(folder.cohort)} images")


@basing.command("tiny")
def base_tiny(
    cohort: CohortPath, out: Out, assignments: Assignments = None, seed: Seed = 0
) -> None:
    """Make a small Stable Diffusion; its autoencoder sees the training split only.

    Example: fairgen base tiny --cohort cohorts/skin --out bases/skin
    """
    from fairgen.engine.tiny import TinySettings, make_tiny
    from fairgen.files.folder import read_cohort
    from fairgen.study.overrides import override

    settings = override(TinySettings(), assignments or ())
    make_tiny(read_cohort(cohort), out=out, settings=settings, seed=seed)
    print(out)


@app.command()
def generate(
    model: Annotated[Path, typer.Option(help="Folder written by `fairgen train`.")],
    out: Out,
    per_group: Annotated[int | None, typer.Option(help="Images a group.", min=1)] = None,
    plan: Annotated[str | None, typer.Option(help="fill: every group up to the largest.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images drawn together.", min=1)] = 16,
    steps: Annotated[int, typer.Option(help="Sampling steps.", min=1)] = 50,
    guidance: Annotated[float, typer.Option(help="Classifier-free guidance.", min=1)] = 7.5,
    sampler: Annotated[str, typer.Option(help="ddim, dpm-solver++, pndm or unipc.")] = "ddim",
    precision: Annotated[str, typer.Option(help="fp32 or bf16, of the weights.")] = "fp32",
    decode_batch: Annotated[
        int | None, typer.Option(help="Images decoded together; unset, a million pixels.", min=1)
    ] = None,
    seed: Seed = 0,
) -> None:
    """Draw a synthetic set; repeating the command draws what is missing or damaged.

    Example: fairgen generate --model models/fairgen --out synthetic --per-group 100

    Several processes share the work: accelerate launch -m fairgen generate ...
    """
    from fairgen.engine.generate import generate as run
    from fairgen.engine.generate import open_generator, planned
    from fairgen.engine.sampling import SampleSettings
    from fairgen.study.overrides import validate

    given = {
        "sampler": sampler,
        "steps": steps,
        "guidance": guidance,
        "batch_size": batch_size,
        "decode_batch": decode_batch,
        "precision": precision,
    }
    settings = validate(SampleSettings, given, "generate")
    generator = open_generator(model)
    folder = run(generator, planned(generator, plan, per_group, seed), out=out, settings=settings)
    print(f"{out}: {len(folder.cohort)} images")


@app.command()
def classify(
    cohort: CohortPath,
    out: Out,
    synthetic: Annotated[Path | None, typer.Option(help="Generated set to add.")] = None,
    ratio: Annotated[float | None, typer.Option(help="Synthetic images a real one.")] = None,
    classifier: Annotated[str, typer.Option(help="vit-tiny or vit.")] = "vit-tiny",
    reweight: Annotated[bool, typer.Option(help="Weigh by inverse performance.")] = False,
    assignments: Assignments = None,
    seed: Seed = 0,
) -> None:
    """Train a downstream classifier and predict the validation and test images.

    Example: fairgen classify --cohort cohorts/skin --synthetic synthetic --reweight --out vit
    """
    from fairgen.classifiers import ClassifySettings
    from fairgen.classifiers import classify as run
    from fairgen.files.folder import read_cohort
    from fairgen.study.overrides import override

    given = [*(assignments or ()), f"classifier={classifier}", f"reweight={str(reweight).lower()}"]
    print(
        run(
            read_cohort(cohort),
            synthetic=None if synthetic is None else read_cohort(synthetic),
            ratio=ratio,
            settings=override(ClassifySettings(), given),
            out=out,
            seed=seed,
        )
    )


@scoring.command("fidelity")
def score_fidelity(
    cohort: CohortPath,
    synthetic: Annotated[Path, typer.Option(help="Generated set.")],
    extractor: Annotated[Path, typer.Option(help="Folder of the extractor; made if missing.")],
    out: Annotated[Path, typer.Option("--out", help="File of rows to write.")],
    json_: AsJson = False,
    seed: Seed = 0,
) -> None:
    """Score a generated set against the test split: FID, KID, consistency.

    Example: fairgen score fidelity --cohort cohorts/skin --synthetic synthetic
    --extractor extractor --out fidelity.jsonl
    """
    from fairgen.engine.features import ExtractorSettings, train_extractor
    from fairgen.files.folder import read_cohort
    from fairgen.files.synthetic import check_synthetic, method_of
    from fairgen.study.scoring import Origin
    from fairgen.study.scoring import score_fidelity as run

    real, made = read_cohort(cohort), read_cohort(synthetic)
    check_synthetic(made, real)
    judge = train_extractor(real, ExtractorSettings(), out=extractor, seed=seed)
    _show_rows(run(real, made, judge, Origin(method_of(made), seed=seed)), out, as_json=json_)


@scoring.command("fairness")
def score_fairness(
    predictions: Annotated[
        list[Path], typer.Option(help="predictions.parquet of `classify`; repeated, folds.")
    ],
    out: Annotated[Path, typer.Option("--out", help="File of rows to write.")],
    base: Annotated[
        list[Path] | None, typer.Option(help="Predictions without synthetic images.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Name of the generator; unset, as `classify` noted it.")
    ] = None,
    json_: AsJson = False,
    seed: Seed = 0,
) -> None:
    """Score a classifier's predictions of the test split, overall and by subgroup.

    Example: fairgen score fairness --predictions vit/predictions.parquet --out fairness.jsonl
    """
    from fairgen.classifiers.downstream import read_methods, read_settings
    from fairgen.study.scoring import Origin, score_predictions

    made = read_settings(predictions[0].parent)
    name = method or read_methods([path.parent for path in predictions])
    origin = Origin(name, made.classifier, made.reweight, seed=seed)
    _show_rows(
        score_predictions(predictions, origin, base=base or None),
        out,
        as_json=json_,
    )


@app.command()
def report(run: Path) -> None:
    """Write the report of a run folder from the files in it.

    Example: fairgen report runs/demo
    """
    from fairgen.report import write_report
    from fairgen.study.stages import check_run

    check_run(run)
    print(write_report(run))


@app.command("run")
def run_(
    study: Path,
    out: Out,
    assignments: Assignments = None,
    json_: AsJson = False,
    overwrite: Annotated[
        bool, typer.Option(help="Remove what another study left in the folder.")
    ] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="In place of `seeds`.", min=0)] = None,
) -> None:
    """Run a study, from its data to its report; repeating the command resumes.

    Example: fairgen run studies/demo.toml --out runs/demo
    """
    from fairgen.study.config import read_study
    from fairgen.study.run import run_study

    logging.getLogger("fairgen").setLevel(logging.INFO)
    given = [*(assignments or ()), *([] if seed is None else [f"seeds=[{seed}]"])]
    page = run_study(read_study(study, given), out, overwrite=overwrite)
    lines = (out / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    if json_:
        print(json.dumps(rows, indent=2))
        return
    _print_scores(rows)
    print(page)


def _show_rows(rows: Sequence[Mapping[str, Any]], out: Path, *, as_json: bool) -> None:
    """Write rows of scores to a file, and print them."""
    from fairgen.study.scores import write_rows

    write_rows(out, rows)
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print_scores(rows)


def _print_scores(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console

    from fairgen.report.terminal import score_tables

    Console().print(score_tables(rows))
