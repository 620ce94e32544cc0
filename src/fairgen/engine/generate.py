"""Draw a planned set of images from a model; finished only when every planned image exists."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairgen import __version__
from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.plan import Item, Plan, balanced_plan
from fairgen.cohort.plan import plan as make_plan
from fairgen.engine.drawing import batches, draw, image_name, lacking
from fairgen.engine.generator import MANIFEST, Generator, open_generator
from fairgen.engine.processes import by_main, wait_for_all
from fairgen.engine.sampling import SampleSettings, check_steps, find_sampler
from fairgen.errors import CheckpointError, CohortError, StudyError
from fairgen.files.atomic import write_errors, write_json
from fairgen.files.card import NAME as CARD
from fairgen.files.card import read_card
from fairgen.files.digest import value_digest
from fairgen.files.folder import CohortFolder, read_cohort, write_tables
from fairgen.files.mapping import read_mapping

__all__ = ["Generator", "generate", "open_generator", "planned"]
logger = logging.getLogger(__name__)


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
    interrupted and an uninterrupted run write the same files. So do several processes under
    ``accelerate launch``, which share the batches.

    Args:
        generator: A finished training.
        plan: Which images.
        out: Folder for ``images``, ``metadata.csv``, ``cohort.json`` and ``manifest.json``.
        settings: Sampler, steps, guidance, batch size, precision.

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
    wanted = by_main(lambda: _begin(generator, plan, out, settings, manifest))
    if wanted is not None:
        draw(generator, plan, out, settings, wanted)
        wait_for_all()
        by_main(lambda: _finish(_folder(generator, plan, out, settings), manifest))
    return read_cohort(out)


def _begin(
    generator: Generator,
    plan: Plan,
    out: Path,
    settings: SampleSettings,
    manifest: Mapping[str, Any],
) -> list[int] | None:
    """Return which batches lack an image and mark the set as begun; None if it is finished."""
    state, missing = _state(out, manifest["key"]), lacking(generator, plan, out)
    if state == "finished" and not missing:
        logger.info("%s: finished already", out)
        return None
    if state == "finished":
        logger.warning("%s: %d images are missing or damaged; drawn again", out, len(missing))
    write_json(out / MANIFEST, {**manifest, "finished": False})
    return [n for n, b in enumerate(batches(plan, settings)) if not missing.isdisjoint(b)]


def _finish(folder: CohortFolder, manifest: Mapping[str, Any]) -> None:
    with write_errors(folder.root):
        for torn in folder.root.glob("images/.*.partial"):  # what a killed run left
            torn.unlink()
    write_tables(folder)
    write_json(folder.root / MANIFEST, {**manifest, "finished": True})


def _horizon(generator: Generator) -> int:
    """Return the number of noise steps that the model was trained with."""
    path = generator.pipeline / "scheduler" / "scheduler_config.json"
    config = read_mapping(path, CheckpointError, "a scheduler of diffusers")
    return int(config.get("num_train_timesteps", 1000))


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
    return Record(image_name(generator, item), subject, item.group, item.prompt, extra=extra)
