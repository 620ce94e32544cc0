"""The commands of reviews: which of two images shows its prompt better?"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairgen.cli_options import Out, Seed
from fairgen.errors import StudyError

if TYPE_CHECKING:
    from fairgen.files.folder import CohortFolder
    from fairgen.preferences import Judge

reviewing = typer.Typer(help="Compare images: preferences.", no_args_is_help=True)


@reviewing.callback()
def _reviewing() -> None:
    """Compare images: preferences."""


@reviewing.command("pairs")
def review_pairs(
    out: Out,
    protocol: Annotated[str, typer.Option(help="preference.")] = "preference",
    synthetic: Annotated[Path | None, typer.Option(help="Generated set to compare.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="Trained model to draw images from, in its place.")
    ] = None,
    per_group: Annotated[int, typer.Option(help="Comparisons a group.", min=1)] = 20,
    oracle: Annotated[bool, typer.Option(help="Let the phantom's oracle answer.")] = False,
    error_rate: Annotated[
        float | None,
        typer.Option(help="Share of the oracle's preferences turned round.", min=0, max=0.5),
    ] = None,
    proxy: Annotated[
        Path | None, typer.Option(help="Let a trained extractor answer: no physician's word.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Sampling steps, with --model.", min=1)] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance, with --model.", min=1)] = None,
    seed: Seed = 0,
) -> None:
    """Draw pairs of images of one prompt, for people, the oracle or a proxy to choose from.

    Example: fairgen review pairs --protocol preference --synthetic synthetic --out review
    --per-group 20 --oracle --error-rate 0.1
    """
    from fairgen.files.folder import read_cohort
    from fairgen.preferences import write_review

    _check_protocol(protocol)
    _check_judges(oracle=oracle, error_rate=error_rate, proxy=proxy)
    sampling = {k: v for k, v in {"steps": steps, "guidance": guidance}.items() if v is not None}
    if (synthetic is None) == (model is None):
        raise StudyError("expected one of --synthetic S and --model DIR")
    if synthetic is not None:
        if sampling:
            raise StudyError(f"--{next(iter(sampling))}: belongs to --model")
        folder = read_cohort(synthetic)
    elif model is not None:
        folder = _candidates(model, out, per_group, sampling, seed)
    judge = _judge(folder, oracle=oracle, error_rate=error_rate, proxy=proxy)
    _show(out, write_review(folder, out, per_group=per_group, seed=seed, judge=judge))


def _check_protocol(protocol: str) -> None:
    if protocol == "blinded":
        raise StudyError("--protocol blinded: is not built yet; expected preference")
    if protocol != "preference":
        raise StudyError(f"--protocol {protocol}: unknown; expected preference")


def _check_judges(*, oracle: bool, error_rate: float | None, proxy: Path | None) -> None:
    if oracle and proxy is not None:
        raise StudyError("--oracle and --proxy: expected one of them, or none for people")
    if error_rate is not None and not oracle:
        raise StudyError("--error-rate: belongs to --oracle")


def _candidates(
    model: Path, out: Path, per_group: int, sampling: Mapping[str, float], seed: int
) -> "CohortFolder":
    from fairgen.engine.sampling import SampleSettings
    from fairgen.preferences.candidates import draw_candidates
    from fairgen.study.overrides import validate

    settings = validate(SampleSettings, sampling, "review pairs")
    return draw_candidates(model, out, per_group=per_group, settings=settings, seed=seed)


def _judge(
    folder: "CohortFolder", *, oracle: bool, error_rate: float | None, proxy: Path | None
) -> "Judge | None":
    """Return what answers in place of people, if anything does."""
    if oracle:
        from fairgen.preferences.oracle import oracle_judge

        return oracle_judge(folder, error_rate=error_rate or 0.0)
    if proxy is not None:
        from fairgen.preferences.proxy import proxy_judge

        return proxy_judge(folder, proxy)
    return None


def _show(out: Path, manifest: Mapping[str, Any]) -> None:
    asked = manifest["comparisons"]
    print(f"{out}: {sum(asked.values())} comparisons of {len(asked)} groups")
    if "preferences" in manifest:
        wrong = f", {manifest['error_rate']:.0%} turned round" if manifest["error_rate"] else ""
        print(
            f"  {sum(manifest['preferences'].values())} preferences by the {manifest['source']}"
            f"{wrong}; {manifest['cannot_judge']:.0%} of the answers are 'cannot judge'"
        )
