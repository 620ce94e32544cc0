"""The study file: one TOML table a room, unknown keys refused with the nearest name."""

import math
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from fairgen.classifiers import ClassifySettings, find_classifier
from fairgen.cohort.split import SplitSettings
from fairgen.engine.extractor import ExtractorSettings
from fairgen.engine.reward import RewardSettings
from fairgen.engine.sampling import SampleSettings, find_sampler
from fairgen.engine.settings import TrainSettings
from fairgen.engine.tiny import TinySettings
from fairgen.errors import FairGenError, StudyError
from fairgen.intake.phantom import find_phantom
from fairgen.intake.spec import TableSettings
from fairgen.modalities.modality import find_modality
from fairgen.study.arms import Arm, Recipe, resolve
from fairgen.study.overrides import assign, validate

Scale = Annotated[float, Field(ge=1, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0)]
PER_PAIR = 1.25  # candidates a pair: with fewer, too many pairs hang together by their images


class PhantomSettings(BaseModel, extra="forbid", frozen=True):
    """Sets a built-in cohort.

    Attributes:
        name: Key in ``PHANTOMS``.
        count: Images.
        size: Side in pixels.
        seed: Seed of the patients and their images.
    """

    name: str = "skin"
    count: int = Field(2000, ge=1)
    size: int = Field(64, ge=32, le=512)
    seed: Seed = 0


class DataSettings(BaseModel, extra="forbid", frozen=True):
    """Says whose images the study is about: a phantom, a table with images, or a cohort folder.

    Attributes:
        root: Folder of the table and its images, or a cohort folder where ``table`` is unset.
        phantom: A built-in cohort, in place of ``root``.
        file: Name of the table in ``root``.
        table: What the table's columns mean; its ``images`` are relative to ``root``.
    """

    root: Path | None = None
    phantom: PhantomSettings | None = None
    file: str = "metadata.csv"
    table: TableSettings | None = None


class BaseSettings(BaseModel, extra="forbid", frozen=True):
    """Says which base is fine-tuned.

    Attributes:
        path: Local pipeline folder or hub id; unset, a tiny base is made for the cohort.
        tiny: How the tiny base is made.
    """

    path: str | None = None
    tiny: TinySettings = TinySettings()


class PreferenceSettings(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Says whose preferences methods learn from; the other keys count where there are any.

    Candidates are drawn once a seed, by the study's own ``sd``, at the first of
    ``generate.guidance``.

    Attributes:
        source: ``none``; ``oracle``, a phantom's known anatomy; ``proxy``, the in-domain extractor;
            ``file``, what physicians said.
        file: Their preference file, for ``file`` alone.
        per_group: Pairs of each group.
        candidates: Images of each group that pairs are made of. A reward model asks for a quarter
            more than pairs at least, so that few pairs share an image.
        error_rate: Share of pairs that the oracle answers the wrong way round, up to one half.
        reward: How the reward model is trained, for methods that take one.
    """

    source: Literal["none", "oracle", "proxy", "file"] = "none"
    file: Path | None = None
    per_group: int = Field(20, ge=1)
    candidates: int = Field(30, ge=2)
    error_rate: float = Field(0.0, ge=0, le=0.5)
    reward: RewardSettings = RewardSettings()

    @property
    def drawn(self) -> bool:
        """Return whether pairs are made of candidates that ``sd`` draws."""
        return self.source in ("oracle", "proxy")


class GenerateSettings(BaseModel, extra="forbid", frozen=True):
    """Says how many synthetic images are drawn and how.

    Attributes:
        plan: ``balanced``: ``per_group`` of every group; ``fill``: every group up to the largest.
        per_group: Images a group of the balanced plan.
        guidance: Scales to choose from, for each method on validation data by FID.
        trial: Images drawn for that choice at each scale.
        sample: Sampler, steps and batch size; its ``guidance`` is replaced by the chosen one.
    """

    plan: Literal["balanced", "fill"] = "balanced"
    per_group: int = Field(1000, ge=1)
    guidance: tuple[Scale, ...] = Field((7.5,), min_length=1)
    trial: int = Field(300, ge=2)
    sample: SampleSettings = SampleSettings()


class DownstreamSettings(BaseModel, extra="forbid", frozen=True):
    """Says which classifiers judge the synthetic images.

    Attributes:
        classifiers: Keys of ``CLASSIFIERS``; none where images alone are judged.
        reweight: Whether to reweight by inverse performance (Eq. 10); both are compared.
        ratio: Synthetic images for each real one, spread evenly over groups; unset, all of them.
        settings: How a classifier is trained; its ``classifier`` and ``reweight`` are replaced.
    """

    classifiers: tuple[str, ...] = ("vit-tiny",)
    reweight: tuple[bool, ...] = Field((False, True), min_length=1)
    ratio: float | None = Field(None, gt=0, allow_inf_nan=False)
    settings: ClassifySettings = ClassifySettings()


class ScoreSettings(BaseModel, extra="forbid", frozen=True):
    """Sets the scores' intervals, and what they ask for.

    Attributes:
        replicates: Bootstrap replicates of the classifiers' scores.
        fidelity_replicates: Bootstrap replicates of FID and KID.
        least_cell: Images that a subgroup or group must have for its accuracy and AUC to be
            reported.
        anatomy_reference: Phantoms of each group, drawn afresh, that generated anatomy is held
            against.
    """

    replicates: int = Field(500, ge=20)
    fidelity_replicates: int = Field(100, ge=20)
    least_cell: int = Field(10, ge=0)
    anatomy_reference: int = Field(80, ge=10)


class Study(BaseModel, extra="forbid", frozen=True):
    """Holds everything that a study needs; each table is explained where it is read.

    Attributes:
        name: Name of the study.
        about: A sentence for the report.
        methods: Methods under comparison: keys of ``METHODS``, or of ``arms``.
        arms: Methods of the study's own, by name.
        seeds: Seeds of training, generation and classification.
    """

    name: str
    about: str = ""
    methods: tuple[str, ...] = Field(("sd", "fairgen"), min_length=1)
    seeds: tuple[Seed, ...] = Field((0,), min_length=1)
    arms: dict[str, Arm] = Field(default_factory=dict)
    data: DataSettings
    split: SplitSettings = SplitSettings()
    base: BaseSettings = BaseSettings()
    train: TrainSettings = TrainSettings()
    preferences: PreferenceSettings = PreferenceSettings()
    extractor: ExtractorSettings = ExtractorSettings()
    generate: GenerateSettings = GenerateSettings()
    downstream: DownstreamSettings = DownstreamSettings()
    score: ScoreSettings = ScoreSettings()

    def recipes(self) -> dict[str, Recipe]:
        """Return what is trained, by name, in order: each after the model that it begins from.

        Beside the methods under comparison these are the models that some of them begin from, and
        ``sd`` where it draws candidates. Without preferences no recipe has an alignment.

        Raises:
            StudyError: If an arm is wrong; the message names the key.
        """
        first = ("sd",) if self.preferences.drawn else ()
        found = resolve(self.methods, self.arms, self.train, first=first)
        if self.preferences.source != "none":
            return found
        return {n: replace(r, method=r.method.without_preferences) for n, r in found.items()}


def read_study(path: str | Path, assignments: Sequence[str] = ()) -> Study:
    """Return the study of a TOML file, with settings from the command line laid over it.

    Args:
        path: The study file.
        assignments: Texts such as ``train.steps=200``; values are written as in TOML, and a bare
            word counts as a text.

    Raises:
        StudyError: If the file or a setting is wrong; the message names the key, what was found
            and what was expected.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StudyError(f"{path}: no such file; expected a study in TOML") from error
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: is not TOML ({error})") from error
    for text in assignments:
        assign(content, text)
    study = validate(Study, content, str(path))
    _check(study, path)
    return study


def _check(study: Study, path: Path) -> None:
    """Raise unless the study's parts fit together."""
    for key, find in _named(study):
        try:
            find()
        except FairGenError as error:
            raise StudyError(f"{path}: {f'{key}: ' if key else ''}{error}") from error
    lists: dict[str, tuple[object, ...]] = {
        "methods": study.methods,
        "seeds": study.seeds,
        "downstream.classifiers": study.downstream.classifiers,
        "downstream.reweight": study.downstream.reweight,
        "generate.guidance": study.generate.guidance,
    }
    for what, values in lists.items():
        if len(set(values)) != len(values):
            raise StudyError(f"{path}: {what}: one is named twice in {list(values)}")
    data = study.data
    if (data.root is None) == (data.phantom is None):
        found = "both" if data.root else "neither"
        raise StudyError(
            f"{path}: data: found {found} of root and phantom; expected one "
            "(give the folder with --set data.root=FOLDER)"
        )


def check_preferences(study: Study) -> None:
    """Raise unless preferences and those who learn from them fit together.

    Raises:
        StudyError: If not; the message names the key.
    """
    own = study.preferences
    if (own.source == "file") != (own.file is not None):
        wanted = "a preference file" if own.source == "file" else 'none, or source = "file"'
        raise StudyError(f"preferences.file: {own.file}; source is {own.source}; expected {wanted}")
    if own.error_rate and own.source not in ("none", "oracle"):
        raise StudyError(
            f"preferences.error_rate: {own.error_rate}; source is {own.source}; expected 0, as the "
            "oracle's answers alone can be turned round"
        )
    recipes = tuple(study.recipes().values())
    if own.source != "none" and not any(r.method.alignment for r in recipes):
        raise StudyError(
            f"preferences.source: {own.source}; no method of this study learns from preferences; "
            "expected none, or a method with alignment such as fairgen"
        )
    if own.drawn:
        _check_candidates(own, rewarded=any(r.takes_reward for r in recipes))
    for recipe in recipes:
        arm = f"arms.{recipe.name}.method" if recipe.name in study.arms else recipe.name
        _check_reward(f"{arm}.alignment.reward", recipe, own.reward)


def _check_candidates(own: PreferenceSettings, *, rewarded: bool) -> None:
    """Raise unless there are enough candidates for the pairs that are asked for."""
    key, found = "preferences.candidates", own.candidates
    pairs = found * (found - 1) // 2
    if pairs < own.per_group:
        raise StudyError(
            f"{key}: {found} make {pairs} pairs of a group; expected at least the {own.per_group} "
            "of preferences.per_group"
        )
    least = math.ceil(PER_PAIR * own.per_group)
    if rewarded and found < least and own.reward.max_dropped <= RewardSettings().max_dropped:
        raise StudyError(
            f"{key}: {found} for {own.per_group} pairs of a group; expected at least {least}, as "
            "no image may be both learned from and measured on by the reward model"
        )


def _check_reward(key: str, recipe: Recipe, reward: RewardSettings) -> None:
    """Raise unless a method can take the reward model as it asks to."""
    alignment = recipe.method.alignment
    if alignment is None or not recipe.takes_reward:
        return
    if alignment.variant == "diffusion-dpo":
        raise StudyError(f"{key}: {alignment.reward}; diffusion-dpo takes none; expected none")
    if alignment.reward == "x0" and reward.backbone is not None:
        raise StudyError(
            f"{key}: x0 needs a reward model on latents; expected no preferences.reward.backbone, "
            "or margin or offset"
        )


def _named(study: Study) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the key of every name that a study gives, and what raises if there is no such thing."""
    yield "", study.recipes
    yield "", partial(check_preferences, study)
    for name in study.downstream.classifiers:
        own = study.downstream.settings.model_copy(update={"classifier": name})
        yield "downstream", partial(find_classifier, own)
    yield "generate.sample.sampler", partial(find_sampler, study.generate.sample.sampler)
    if study.data.phantom is not None:
        yield "data.phantom.name", partial(find_phantom, study.data.phantom.name)
    if study.data.table is not None:
        yield "data.table.modality", partial(find_modality, study.data.table.modality)
