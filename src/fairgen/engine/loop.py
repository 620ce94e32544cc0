"""The one training loop: every method is a resampler's weights and an objective.

``training_steps`` is a generator; logging, checkpoints and stopping belong to its caller.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from accelerate import Accelerator
from jaxtyping import Float, Int
from torch import Tensor

from fairgen.cohort.seed import derive
from fairgen.diffusion.draw import Draw
from fairgen.diffusion.schedule import Latents
from fairgen.engine.device import moved
from fairgen.engine.settings import TrainSettings
from fairgen.engine.sharding import is_deepspeed, whole
from fairgen.engine.training import Training, pair_batch, predict, safeguarded
from fairgen.objectives.denoising import denoising_error, min_snr_weight
from fairgen.objectives.gradient_norm import last_layer_norm, tally_norms
from fairgen.objectives.objective import Pairs, Step, pair_figures
from fairgen.objectives.perturbation import advance_perturbation, perturbation_weights

FIGURE = "preference."


@dataclass(frozen=True)
class StepReport:
    """Tells what one optimisation step did; tensors stay on the device until they are read.

    Attributes:
        step: Number of the step, from zero.
        loss: The total.
        parts: Each term's mean.
        figures: What else is told of preference pairs; empty without them.
        grad_norm: Norm of the gradient before it was clipped.
        learning_rate: The step's rate.
        rows: The training images that were drawn.
        shares: Chance that a draw fell on each group.
    """

    step: int
    loss: Float[Tensor, ""]
    parts: Mapping[str, Float[Tensor, ""]]
    figures: Mapping[str, Float[Tensor, ""]]
    grad_norm: Float[Tensor, ""]
    learning_rate: float
    rows: Int[Tensor, " batch"]
    shares: Float[Tensor, " groups"]


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Return the rate of a step: linear warm-up, then half a cosine down to zero."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    share = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def training_steps(training: Training, start: int) -> Iterator[StepReport]:
    """Yield after each optimisation step from ``start`` to the last."""
    for step in range(start, training.settings.steps):
        yield _optimise(training, step)


def _optimise(training: Training, step: int) -> StepReport:
    accelerator, settings = training.accelerator, training.settings
    weights = training.adaptive.weights(training.rows.weights, training.rows.groups)
    draw = training.draws.draw(step, training.global_batch, weights)
    rate = learning_rate(settings, step)
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    losses: list[dict[str, Tensor]] = []
    norm: Tensor = torch.zeros((), device=accelerator.device)
    tallies: list[Tensor] = []
    for micro in range(settings.accumulation):
        first = micro * accelerator.num_processes + accelerator.process_index
        part = draw.part(first * settings.batch_size, (first + 1) * settings.batch_size)
        with accelerator.accumulate(*training.models.values()):
            seen, parts = _learn_images(training, part, step, first)
            parts = _sum(parts, _learn_pairs(training, step, first))
            if accelerator.sync_gradients:
                norm = _clip(training)
            training.optimizer.step()
            training.optimizer.zero_grad()
        tallies += _norms(training, part, seen)
        _advance_perturbation(training, part, seen, step * settings.accumulation + micro)
        losses.append(parts)
    if tallies:
        tally = torch.stack(tallies).sum(dim=0)
        training.adaptive.extend(accelerator.reduce(tally, "sum"))
    training.ema.step(training.parameters)
    means = {name: torch.stack([m[name] for m in losses]).mean() for name in losses[0]}
    return StepReport(
        step=step,
        loss=means.pop("total"),
        figures={k.removeprefix(FIGURE): means.pop(k) for k in list(means) if FIGURE in k},
        parts=means,
        grad_norm=norm.detach(),
        learning_rate=rate,
        rows=draw.rows,
        shares=training.rows.shares(weights),
    )


def _clip(training: Training) -> Float[Tensor, ""]:
    """Clip the gradient and return the norm that it had; DeepSpeed has done so, and tells it."""
    accelerator, most = training.accelerator, training.settings.max_grad_norm
    norm = accelerator.clip_grad_norm_(training.parameters, most)
    return whole(torch.as_tensor(norm, device=accelerator.device))


def _learn_images(
    training: Training, draw: Draw, step: int, place: int
) -> tuple[Step, dict[str, Tensor]]:
    """Add the gradient of one batch of images; return what was seen, and each term's mean."""
    with ExitStack() as stack:
        if training.bank is not None:  # processes exchange gradients once, after the pairs
            for model in training.models.values():
                stack.enter_context(training.accelerator.no_sync(model))
        seen = _forward(training, draw, step, place)
        total, means = training.method.objective(seen)
        _backward(training.accelerator, total, follows=training.bank is not None)
    return seen, {"total": total.detach(), **means}


def _backward(accelerator: Accelerator, total: Float[Tensor, ""], *, follows: bool) -> None:
    """Add a gradient. DeepSpeed steps within a backward pass, unless told that another follows."""
    if follows and is_deepspeed(accelerator):
        accelerator.deepspeed_engine_wrapped.backward(total, sync_gradients=False)
    else:
        accelerator.backward(total)


def _learn_pairs(training: Training, step: int, place: int) -> dict[str, Tensor]:
    """Add the gradient of one batch of preference pairs; return each term's mean and figures."""
    pairs, alignment = _pairs(training, step, place), training.method.alignment
    if pairs is None or alignment is None:
        return {}
    total, means = training.method.objective.of_pairs(pairs)
    figures = pair_figures(alignment, pairs)
    training.accelerator.backward(total)
    told = {f"{FIGURE}{name}": value for name, value in figures.items()}
    return {"total": total.detach(), **means, **told}


def _sum(images: dict[str, Tensor], pairs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return both parts' figures, their totals added."""
    if not pairs:
        return images
    return {**images, **pairs, "total": images["total"] + pairs["total"]}


def _forward(training: Training, draw: Draw, step: int, place: int) -> Step:
    """Return all that the objective looks at in one batch of images.

    Args:
        training: The training.
        draw: The batch's draws.
        step: Number of the optimisation step.
        place: Number of the batch among all batches of the step, over all processes.
    """
    on = partial(moved, device=training.accelerator.device)
    clean = on(training.cache.sample(draw.rows, draw.posterior, draw.flipped))
    noise, t = on(draw.noise), on(draw.t)
    groups = training.rows.groups[draw.rows]
    noised = training.schedule.add_noise(clean, noise, t)
    own = torch.where(draw.kept, groups, training.captions.empty)
    law = training.rows.law[groups]
    prediction, other = _predictions(training, noised, t, own, other_groups(law, draw.quantile))
    return Step(
        prediction=prediction,
        target=training.schedule.target(clean, noise, t),
        t=t,
        horizon=training.schedule.horizon,
        kept=on(draw.kept & (law.sum(dim=1) > 0)),
        other=other,
        progress=step / training.settings.steps,
        weights=_loss_weights(training, groups, t, step, place),
        borrows=on(training.rows.borrows[groups]),
    )


def _loss_weights(
    training: Training,
    groups: Int[Tensor, " batch"],
    t: Int[Tensor, " batch"],
    step: int,
    place: int,
) -> Float[Tensor, " batch"] | None:
    """Return the weight of each image's denoising error; nothing where all count alike."""
    weights: Tensor | None = None
    if training.settings.min_snr_gamma is not None:
        weights = min_snr_weight(training.schedule, t, training.settings.min_snr_gamma)
    method, state = training.method, training.adaptive.perturbation
    if method.perturbation is not None and state is not None:
        members = training.rows.members[groups]
        size = training.settings.batch_size
        noise = training.draws.normal(
            "perturbation", step, training.global_batch, members.shape[1]
        )[place * size : (place + 1) * size]
        own = perturbation_weights(method.perturbation, state, members, noise).float()
        own = moved(own, t.device)
        weights = own if weights is None else weights * own
    return weights


def _norms(training: Training, draw: Draw, seen: Step) -> list[Tensor]:
    """Return this batch's gradient norms by group and noise step, captions kept; or nothing."""
    aware = training.method.awareness
    if aware is None or training.tap is None:
        return []
    inputs = training.tap.read()[: len(seen.prediction)]
    norms = last_layer_norm(inputs, seen.prediction, seen.target)
    bins = seen.t * aware.bins // seen.horizon
    groups = moved(training.rows.groups[draw.rows], norms.device)
    shape = (len(training.rows.law), aware.bins)
    return [tally_norms(norms, groups, bins, moved(draw.kept, norms.device), shape)]


def _advance_perturbation(training: Training, draw: Draw, seen: Step, number: int) -> None:
    """Let FairDiffusion look at the errors of one batch over all processes."""
    settings, state = training.method.perturbation, training.adaptive.perturbation
    if settings is None or state is None:
        return
    errors = denoising_error(seen.prediction.detach(), seen.target)
    members = training.rows.members[training.rows.groups[draw.rows]].to(errors.device)
    losses, known = training.accelerator.gather((errors, members))
    training.adaptive.perturbation = advance_perturbation(
        settings,
        state,
        losses.double().cpu(),
        known.cpu(),
        training.rows.cardinalities,
        derive(training.draws.seed, "perturbation", number),
    )


def _pairs(training: Training, step: int, place: int) -> Pairs | None:
    """Return what the network says of one batch of preference pairs, if there are any."""
    bank = training.bank
    if bank is None:
        return None
    size = bank.settings.pairs
    batches = training.global_batch // training.settings.batch_size
    draw = training.draws.draw_pairs(
        step, size * batches, len(bank), shared_noise=bank.settings.shared_noise
    ).part(place * size, (place + 1) * size)
    return safeguarded(training, pair_batch(training, draw))


def _predictions(
    training: Training,
    noised: Latents,
    t: Int[Tensor, " batch"],
    own: Int[Tensor, " batch"],
    other: Int[Tensor, " batch"],
) -> tuple[Latents, Latents | None]:
    """Return the predictions under each image's own prompt, and under another group's.

    Where both need a gradient they are one pass over twice the images; else the pass without
    gradient comes first, while no graph is held.
    """
    diversity, behind = training.method.diversity, None
    if diversity is not None and diversity.gamma == 0:
        with torch.no_grad():
            behind = predict(training, noised, t, other)
    if training.tap is not None:
        training.tap.arm()
    if diversity is None or diversity.gamma == 0:
        return predict(training, noised, t, own), behind
    both = predict(training, noised.repeat(2, 1, 1, 1), t.repeat(2), torch.cat([own, other]))
    prediction, behind = both.chunk(2)
    return prediction, behind


def other_groups(
    law: Float[Tensor, "batch groups"], quantile: Float[Tensor, " batch"]
) -> Int[Tensor, " batch"]:
    """Return one group a row, drawn from the row's law by inversion."""
    cumulative = law.double().cumsum(dim=1)
    mark = quantile.double()[:, None] * cumulative[:, -1:]
    return (cumulative <= mark).sum(dim=1).clamp(max=law.shape[1] - 1)
