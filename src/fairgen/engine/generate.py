"""Draw a planned set of images from a model; finished only when every planned image exists."""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from fairgen import __version__
from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.plan import Item, Plan, balanced_plan
from fairgen.cohort.plan import plan as make_plan
from fairgen.cohort.schema import Group
from fairgen.engine.backbone import Backbone, load_backbone
from fairgen.engine.progress import progress_bar
from fairgen.engine.sampling import SampleSettings, find_sampler, sample
from fairgen.errors import CheckpointError, CohortError, StudyError
from fairgen.files.atomic import write_json
from fairgen.files.card import Card
from fairgen.files.digest import folder_digest, value_digest
from fairgen.files.folder import CohortFolder, read_cohort, write_tables
from fairgen.files.image import write_image
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


def open_generator(model: Path) -> Generator:
    """Return the finished training in a folder written by ``train``.

    Raises:
        CheckpointError: If the folder holds no finished training, or was changed since.
    """
    path = model / MANIFEST
    if not path.is_file():
        raise CheckpointError(
            f"{model}: no {MANIFEST}; expected a folder written by `fairgen train` that finished"
        )
    manifest = json.loads(path.read_text(encoding="utf-8"))
    digest = folder_digest(model / "pipeline")
    if digest != manifest["pipeline_digest"]:
        raise CheckpointError(f"{model}/pipeline: differs from what {MANIFEST} says was written")
    card = Card.model_validate(manifest["cohort"])
    prompts = Prompts(card.schema_of_groups(), card.prompt.template, card.prompt.words)
    counts = {prompts.schema.group(k): n for k, n in manifest["counts"].items()}
    modality = find_modality(card.modality)
    return Generator(model / "pipeline", digest, prompts, modality, counts, manifest)


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
    generator: Generator, plan: Plan, *, out: Path, settings: SampleSettings
) -> CohortFolder:
    """Draw every image of a plan into a cohort folder.

    Repeating the call draws only what is missing, in the same batches, so that an interrupted and
    an uninterrupted run write the same files.

    Args:
        generator: A finished training.
        plan: Which images.
        out: Folder for ``images``, ``metadata.csv``, ``cohort.json`` and ``manifest.json``.
        settings: Sampler, steps, guidance, batch size.

    Raises:
        CohortError: If the plan is empty, or ``out`` holds another set.
        StudyError: If the sampler is unknown or a file cannot be written.
    """
    if not plan.items:
        raise CohortError("the plan holds no image; expected at least one")
    find_sampler(settings.sampler)
    manifest = _describe(generator, plan, settings)
    if _state(out, manifest["key"]) == "finished":
        logger.info("%s: finished already", out)
    else:
        write_json(out / MANIFEST, {**manifest, "finished": False})
        _draw(generator, plan, out, settings)
    missing = [i for i in plan.items if not _file(out, generator, i).is_file()]
    if missing:
        raise CohortError(f"{out}: {len(missing)} planned images are missing")
    write_tables(_folder(generator, plan, out, settings))
    write_json(out / MANIFEST, {**manifest, "finished": True})
    return read_cohort(out)


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
        CohortError: If it holds something else.
    """
    path = out / MANIFEST
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise CohortError(f"{out}: exists and is no synthetic set; give another --out")
        return "new"
    found = json.loads(path.read_text(encoding="utf-8"))
    if found.get("key") != key:
        raise CohortError(
            f"{out}: holds a set with another model, plan or settings; give another --out"
        )
    return "finished" if found["finished"] else "begun"


def _draw(generator: Generator, plan: Plan, out: Path, settings: SampleSettings) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = settings.batch_size
    batches = [plan.items[i : i + size] for i in range(0, len(plan), size)]
    wanted = [b for b in batches if not all(_file(out, generator, i).is_file() for i in b)]
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
