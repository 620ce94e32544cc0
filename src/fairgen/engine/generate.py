"""Draw a planned set of images from a model; finished only when every planned image exists."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from pydantic import BaseModel, ValidationError

from fairgen import __version__
from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.plan import Item, Plan, balanced_plan
from fairgen.cohort.plan import plan as make_plan
from fairgen.cohort.schema import Group
from fairgen.engine.backbone import Backbone, load_backbone
from fairgen.engine.progress import progress_bar
from fairgen.engine.sampling import SampleSettings, check_steps, find_sampler, sample
from fairgen.errors import CheckpointError, CohortError, StudyError
from fairgen.files.atomic import write_json
from fairgen.files.card import NAME as CARD
from fairgen.files.card import Card, first_problem, read_card
from fairgen.files.digest import folder_digest, value_digest
from fairgen.files.folder import CohortFolder, read_cohort, write_tables
from fairgen.files.image import is_whole, write_image
from fairgen.files.mapping import read_mapping
from fairgen.modalities.modality import Modality, Prompts, find_modality

logger = logging.getLogger(__name__)
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Generator:
    """Names a trained model and what its prompts stand for.

    Attributes:
        pipeline: Folder of the diffusers pipeline.
        digest: Digest of that folder.
        prompts: Groups of the cohort that it was trained on, and their wording.
        modality: Kind of image.
        counts: Training images of each group.
        manifest: The training's manifest.
    """

    pipeline: Path
    digest: str
    prompts: Prompts
    modality: Modality
    counts: dict[Group, int]
    manifest: dict[str, Any]


class Manifest(BaseModel, extra="ignore", frozen=True):
    """Lists what a training's ``manifest.json`` must hold to draw from its model.

    Attributes:
        pipeline_digest: Digest of the pipeline folder.
        method: The recipe; its ``name`` is one of ``METHODS`` or that of a study's arm.
        preferences: Where preferences came from.
        seed: Seed of the training.
        source: Where the training images come from.
        cohort: Groups and wording.
        counts: Training images of each group's key.
    """

    pipeline_digest: str
    method: dict[str, Any]
    preferences: str
    seed: int
    source: dict[str, Any]
    cohort: Card
    counts: dict[str, int]


def open_generator(model: str | Path) -> Generator:
    """Return the finished training in a folder written by ``train``.

    Raises:
        CheckpointError: If the folder holds no finished training, its manifest is damaged, or the
            pipeline was changed since.
    """
    model = Path(model)
    path = model / MANIFEST
    if not path.is_file():
        raise CheckpointError(
            f"{model}: no {MANIFEST}; expected a folder written by `fairgen train` that finished"
        )
    content = read_mapping(path, CheckpointError, "the manifest that `fairgen train` wrote")
    try:
        found = Manifest.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(f"{path}: is damaged: {first_problem(error)}") from error
    digest = folder_digest(model / "pipeline")
    if digest != found.pipeline_digest:
        raise CheckpointError(f"{model}/pipeline: differs from what {MANIFEST} says was written")
    card = found.cohort
    prompts = Prompts(card.schema_of_groups(), card.prompt.template, card.prompt.words)
    counts = {prompts.schema.group(k): n for k, n in found.counts.items()}
    modality = find_modality(card.modality)
    return Generator(model / "pipeline", digest, prompts, modality, counts, content)


def planned(generator: Generator, plan: str | None, per_group: int | None, seed: int) -> Plan:
    """Return the plan that a command line asks for.

    Args:
        generator: A finished training.
        plan: ``fill`` lifts every group to the largest one's training images; unset, every group
            gets ``per_group`` images.
        per_group: Images a group.
        seed: Seed of the images.

    Raises:
        StudyError: If neither or both are given, or the plan is unknown.
    """
    if (plan is None) == (per_group is None):
        raise StudyError("expected one of --per-group N and --plan fill")
    if per_group is not None:
        return balanced_plan(generator.prompts, per_group, seed)
    if plan != "fill":
        raise StudyError(f"--plan {plan}: unknown; expected fill")
    largest = max(generator.counts.values())
    wanted = {g: largest - n for g, n in generator.counts.items()}
    return make_plan(generator.prompts, wanted, seed)


def generate(
    generator: Generator, plan: Plan, *, out: str | Path, settings: SampleSettings
) -> CohortFolder:
    """Draw every image of a plan into a cohort folder.

    Repeating the call draws only what is missing or damaged, in the same batches, so that an
    interrupted and an uninterrupted run write the same files.

    Args:
        generator: A finished training.
        plan: Which images.
        out: Folder for ``images``, ``metadata.csv``, ``cohort.json`` and ``manifest.json``.
        settings: Sampler, steps, guidance, batch size.

    Raises:
        CohortError: If the plan is empty, or ``out`` holds another set, or one that was split.
        StudyError: If the sampler is unknown, has more steps than the model's noise schedule, or a
            file cannot be written.
    """
    out = Path(out)
    if not plan.items:
        raise CohortError("the plan holds no image; expected at least one")
    find_sampler(settings.sampler)
    check_steps(settings, _horizon(generator))
    manifest = _describe(generator, plan, settings)
    state, lacking = _state(out, manifest["key"]), _lacking(generator, plan, out)
    if state == "finished" and not lacking:
        logger.info("%s: finished already", out)
        return read_cohort(out)
    if state == "finished":
        logger.warning("%s: %d images are missing or damaged; drawn again", out, len(lacking))
    write_json(out / MANIFEST, {**manifest, "finished": False})
    _draw(generator, plan, out, settings, lacking)
    write_tables(_folder(generator, plan, out, settings))
    write_json(out / MANIFEST, {**manifest, "finished": True})
    return read_cohort(out)


def _horizon(generator: Generator) -> int:
    """Return the number of noise steps that the model was trained with."""
    path = generator.pipeline / "scheduler" / "scheduler_config.json"
    config = read_mapping(path, CheckpointError, "a scheduler of diffusers")
    return int(config.get("num_train_timesteps", 1000))


def _lacking(generator: Generator, plan: Plan, out: Path) -> frozenset[Item]:
    """Return the planned images that are missing, empty or damaged."""
    return frozenset(i for i in plan.items if not is_whole(_file(out, generator, i)))


def _describe(generator: Generator, plan: Plan, settings: SampleSettings) -> dict[str, Any]:
    content: dict[str, Any] = {
        "fairgen": __version__,
        "model": generator.digest,
        "method": generator.manifest["method"],
        "preferences": generator.manifest["preferences"],
        "training_seed": generator.manifest["seed"],
        "settings": settings.model_dump(),
        "counts": {g.key: n for g, n in plan.counts().items()},
        "items": value_digest([[i.group.key, i.index, i.seed, i.prompt] for i in plan.items]),
    }
    return {"key": value_digest(content), **content}


def _state(out: Path, key: str) -> str:
    """Return whether ``out`` is new, begun or finished.

    Raises:
        CohortError: If it holds something else, or a set that was split since.
    """
    path = out / MANIFEST
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise CohortError(f"{out}: exists and is no synthetic set; give another --out")
        return "new"
    found = read_mapping(path, CohortError, "the manifest of a synthetic set, or another --out")
    if found.get("key") != key:
        raise CohortError(
            f"{out}: holds a set with another model, plan or settings; give another --out"
        )
    if (out / CARD).is_file() and read_card(out).layout != "flat":
        raise CohortError(f"{out}: the set was split since it was drawn; give another --out")
    return "finished" if found.get("finished") is True else "begun"


def _draw(
    generator: Generator,
    plan: Plan,
    out: Path,
    settings: SampleSettings,
    lacking: frozenset[Item],
) -> None:
    """Draw the batches that lack an image."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = settings.batch_size
    batches = [plan.items[i : i + size] for i in range(0, len(plan), size)]
    wanted = [b for b in batches if not lacking.isdisjoint(b)]
    if not wanted:
        return
    backbone = load_backbone(str(generator.pipeline))
    for part in (backbone.unet, backbone.vae, backbone.text_encoder):
        part.to(device).eval()
    done = len(plan) - sum(map(len, wanted))
    with progress_bar("generate", len(plan), done) as advance:
        for batch in wanted:
            images = _sample(backbone, batch, settings, device)
            for item, image in zip(batch, images, strict=True):
                _write(out, generator, item, image)
            advance(len(batch), "")


def _sample(
    backbone: Backbone, batch: Sequence[Item], settings: SampleSettings, device: torch.device
) -> UInt8[np.ndarray, "batch height width 3"]:
    prompts, seeds = [i.prompt for i in batch], [i.seed for i in batch]
    return sample(backbone, prompts, seeds, settings, device=device)


def _write(
    out: Path, generator: Generator, item: Item, image: UInt8[np.ndarray, "height width 3"]
) -> None:
    """Write one image, grey where the modality is, with a text chunk that says what it is."""
    if generator.modality.channels == 1:
        image = image.mean(axis=2, keepdims=True).round().astype(np.uint8)
    text = {
        "Software": f"FairGen {__version__}",
        "Synthetic": "true: this image was generated by a model and shows no patient",
        "Prompt": item.prompt,
        "Group": item.group.key,
        "Seed": str(item.seed),
        "Model": generator.digest,
    }
    write_image(_file(out, generator, item), image, text=text)


def _file(out: Path, generator: Generator, item: Item) -> Path:
    return out / _name(generator, item)


def _name(generator: Generator, item: Item) -> str:
    number = generator.prompts.schema.groups().index(item.group)
    slug = re.sub(r"[^A-Za-z0-9]+", "-", item.group.key).strip("-").lower()
    return f"images/{number:02d}-{slug}-{item.index:05d}.png"


def _folder(generator: Generator, plan: Plan, out: Path, settings: SampleSettings) -> CohortFolder:
    schema = generator.prompts.schema
    records = tuple(_record(generator, item, settings) for item in plan.items)
    source = {
        "synthetic": True,
        "model": generator.digest,
        "method": generator.manifest["method"]["name"],
        "preferences": generator.manifest["preferences"],
        "trained_on": generator.manifest["source"],
    }
    return CohortFolder(out, Cohort(schema, records), generator.prompts, generator.modality, source)


def _record(generator: Generator, item: Item, settings: SampleSettings) -> Record:
    number = generator.prompts.schema.groups().index(item.group)
    extra = {
        "seed": str(item.seed),
        "guidance": str(settings.guidance),
        "sampler": settings.sampler,
        "steps": str(settings.steps),
        "model": generator.digest,
    }
    subject = f"synthetic-{number}-{item.index}"
    return Record(_name(generator, item), subject, item.group, item.prompt, extra=extra)
