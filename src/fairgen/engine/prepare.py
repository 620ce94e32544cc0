"""Everything that a training needs before its first step, on its device."""

import copy
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from jaxtyping import Int
from torch import Tensor

from fairgen.cohort.resample import RESAMPLERS, repeats
from fairgen.cohort.schema import Schema
from fairgen.cohort.seed import derive
from fairgen.diffusion.draw import DrawPlan
from fairgen.diffusion.schedule import Schedule
from fairgen.engine.adaptive import Tap, start_adaptive
from fairgen.engine.average import averaging
from fairgen.engine.backbone import Backbone, load_backbone, tokenize
from fairgen.engine.latents import Encoding, embedded, encode
from fairgen.engine.lora import add_adapters
from fairgen.engine.optimizer import make_optimizer
from fairgen.engine.pairs import Feedback, PairBank, load_pairs
from fairgen.engine.settings import TrainSettings
from fairgen.engine.store import Crew, store_folder
from fairgen.engine.training import Captions, Rows, Training
from fairgen.files.folder import CohortFolder
from fairgen.methods.method import Method
from fairgen.objectives.diversity import borrowing, other_law
from fairgen.objectives.preference import Alignment

logger = logging.getLogger(__name__)
COMPILER = {"layout_optimization": False}
"""Options of ``torch.compile``. With convolutions laid out channels last, the compiled backward
pass of PyTorch 2.13 on a CPU silently gives the layers before an upsampling no gradient from it."""


def prepare(  # noqa: PLR0913 - what a training is made of
    folder: CohortFolder,
    *,
    method: Method,
    base: str,
    settings: TrainSettings,
    feedback: Feedback | None = None,
    seed: int,
    out: Path,
) -> Training:
    """Return everything a training step needs, on its device."""
    train_part = replace(folder, cohort=folder.cohort.part("train"))
    accelerator = _accelerator(settings, out)
    backbone = load_backbone(base)
    set_prediction(backbone, settings)
    how = _encoding(folder, backbone, settings, accelerator)
    captions = _captions(backbone, folder, settings, how)  # refuses before work is done
    cache = encode(backbone.vae, [folder.path(r) for r in train_part.cohort.records], how)
    bank = _pairs(folder, method, feedback, backbone, how)
    if settings.cache_latents:
        backbone.vae.to("cpu")
    models = trained_models(backbone, settings, derive(seed, "adapters"))
    if bank is not None:
        bank = replace(bank, reference=_reference(backbone, bank.settings, settings, how))
    tap = None if method.awareness is None else Tap(backbone.unet)
    parameters = [p for _, p in trained_parameters(models)]
    prepared = accelerator.prepare(*models.values(), make_optimizer(parameters, settings))
    ema = averaging(
        parameters, on=settings.ema, decay=settings.ema_decay, device=accelerator.device
    )
    rows = _rows(train_part, method)
    config = backbone.scheduler.config
    schedule = Schedule(backbone.scheduler.alphas_cumprod, config.prediction_type)
    draws = DrawPlan(
        seed=derive(seed, "train"),
        shape=cache.shape,
        horizon=schedule.horizon,
        dropout=settings.caption_dropout,
        flip=how.flip,
        offset=settings.noise_offset,
    )
    return Training(
        method=method,
        settings=settings,
        accelerator=accelerator,
        backbone=backbone,
        models=dict(zip(models, prepared, strict=False)),
        optimizer=prepared[-1],
        ema=ema,
        schedule=schedule,
        draws=draws,
        rows=rows,
        cache=cache,
        captions=captions,
        adaptive=start_adaptive(method, len(rows.law), rows.cardinalities),
        tap=tap,
        bank=bank,
    )


def _accelerator(settings: TrainSettings, out: Path) -> Accelerator:
    AcceleratorState._reset_state()  # an earlier training's arithmetic; processes stay joined
    return Accelerator(
        gradient_accumulation_steps=settings.accumulation,
        mixed_precision=settings.mixed_precision,
        log_with=None if settings.tracker == "none" else settings.tracker,
        project_dir=str(out),
    )


def _encoding(
    folder: CohortFolder, backbone: Backbone, settings: TrainSettings, accelerator: Accelerator
) -> Encoding:
    return Encoding(
        size=backbone.side(settings.size),
        flip=folder.modality.flip if settings.flip is None else settings.flip,
        device=accelerator.device,
        store=store_folder(folder.root),
        cached=settings.cache_latents,
        crew=Crew(
            accelerator.process_index, accelerator.num_processes, accelerator.wait_for_everyone
        ),
    )


def _pairs(
    folder: CohortFolder,
    method: Method,
    feedback: Feedback | None,
    backbone: Backbone,
    how: Encoding,
) -> PairBank | None:
    """Return the preference pairs, if there are any and the method learns from them."""
    if feedback is None or method.alignment is None:
        return None
    return load_pairs(folder, method.alignment, feedback, backbone, how)


def _reference(
    backbone: Backbone, alignment: Alignment, settings: TrainSettings, how: Encoding
) -> Any:  # noqa: ANN401 - a model of diffusers
    """Return a frozen copy of the U-Net, if errors are taken relative to one."""
    if alignment.variant != "diffusion-dpo" or settings.lora_rank is not None:
        return None
    return copy.deepcopy(backbone.unet).requires_grad_(False).to(how.device)


def set_prediction(backbone: Backbone, settings: TrainSettings) -> None:
    """Let a base predict what the settings ask for."""
    if settings.prediction is not None:
        backbone.scheduler.register_to_config(prediction_type=settings.prediction)


def trained_models(backbone: Backbone, settings: TrainSettings, seed: int) -> dict[str, Any]:
    """Return the networks that are trained, by name; the others are frozen.

    Args:
        backbone: The base.
        settings: What is trained: the whole U-Net, adapters, the text encoder too.
        seed: Seed of the adapters' first weights.

    Raises:
        StudyError: If no layer can get an adapter.
    """
    models: dict[str, Any] = {"unet": backbone.unet}
    if settings.train_text_encoder:
        models["text_encoder"] = backbone.text_encoder
    for part in (backbone.vae, backbone.text_encoder, backbone.unet):
        part.requires_grad_(any(part is m for m in models.values()))
        part.eval()
    if settings.lora_rank is not None:
        add_adapters(backbone.unet, settings, seed)
    for model in models.values():
        model.train()
    if settings.gradient_checkpointing:
        backbone.unet.enable_gradient_checkpointing()
    if settings.channels_last:
        backbone.unet.to(memory_format=torch.channels_last)
    if settings.compile:
        backbone.unet.compile(options=COMPILER)
    return models


def trained_parameters(
    models: Mapping[str, Any],
) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Yield the trained parameters, named by model and place, in a fixed order."""
    for name, model in models.items():
        for place, parameter in model.named_parameters():
            if parameter.requires_grad:
                yield f"{name}.{place}", parameter


def _captions(
    backbone: Backbone, folder: CohortFolder, settings: TrainSettings, how: Encoding
) -> Captions:
    groups = folder.cohort.schema.groups()
    prompts = [*(folder.prompts.render(g) for g in groups), ""]
    tokens, table = tokenize(backbone, prompts), None
    if settings.cache_prompts and not settings.train_text_encoder:
        table = embedded(backbone, tokens, how).to(how.device)
    backbone.text_encoder.to("cpu" if table is not None else how.device)
    return Captions(tuple(prompts[:-1]), tokens.to(how.device), table)


def _rows(folder: CohortFolder, method: Method) -> Rows:
    schema, counts = folder.cohort.schema, folder.cohort.counts()
    groups = schema.groups()
    index = {g: i for i, g in enumerate(groups)}
    weights = RESAMPLERS[method.resampler].weights(counts)
    records = folder.cohort.records
    for group, often in repeats(counts, weights).items():
        logger.info(
            "%s: %d images, each drawn %.2f times an epoch", group.key, counts[group], often
        )
    law = "other" if method.diversity is None else method.diversity.law
    return Rows(
        groups=torch.tensor([index[r.group] for r in records]),
        weights=torch.tensor([weights[r.group] for r in records]).float(),
        law=other_law(law, groups, counts),
        borrows=borrowing(groups, counts),
        members=_members(schema),
        cardinalities=tuple(len(a.levels) for a in schema.attributes),
    )


def _members(schema: Schema) -> Int[Tensor, "groups attributes"]:
    """Return the levels of each group, numbered over all attributes."""
    rows = []
    for group in schema.groups():
        first, row = 0, []
        for attribute, level in zip(schema.attributes, group.levels, strict=True):
            row.append(first + attribute.levels.index(level))
            first += len(attribute.levels)
        rows.append(row)
    return torch.tensor(rows)
