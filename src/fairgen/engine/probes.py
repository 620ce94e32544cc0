"""What is measured on fixed images and noise: before the first step, and now and then after it."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from fairgen.diffusion.draw import Draw
from fairgen.engine.training import Training, pair_batch, predict

PROBED = 64  # pairs whose errors are followed through the training
MEASURED = 256  # pairs on whose errors Eq. 7's lambda is set


@torch.no_grad()
def condition_strength(
    training: Training, *, images: int = 32, marks: tuple[int, ...] = (100, 300, 500, 700, 900)
) -> dict[str, float]:
    r"""Return how much the prompt matters: mean $|\epsilon(c)-\epsilon(c')|^2$ by noise step.

    $c$ is an image's own prompt, $c'$ that of another group drawn uniformly; the images and the
    noise are the same at every call. A v-prediction is turned into the noise that it implies.

    Args:
        training: The training.
        images: Images looked at.
        marks: Noise steps, in thousandths of the horizon.
    """
    draw = training.draws.draw(-1, images, training.rows.weights)
    draw = Draw(**{**vars(draw), "flipped": torch.zeros_like(draw.flipped)})
    device, groups = training.accelerator.device, training.rows.groups[draw.rows]
    other = (groups + 1 + (draw.quantile * (training.captions.empty - 1)).long()) % (
        training.captions.empty
    )
    clean = training.cache.sample(draw.rows, draw.posterior, draw.flipped).to(device)
    strength = {}
    for mark in marks:
        t = torch.full((images,), mark * training.schedule.horizon // 1000, device=device)
        noised = training.schedule.add_noise(clean, draw.noise.to(device), t)
        own, others = (
            training.schedule.noise(predict(training, noised, t, rows).float(), noised, t)
            for rows in (groups, other)
        )
        gap = own - others
        strength[f"t={int(t[0])}"] = gap.square().mean().item()
    return strength


@torch.no_grad()
def pair_errors(training: Training, count: int) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Return the network's errors on winners and losers of fixed pairs, noise steps and noise.

    Args:
        training: The training, with pairs.
        count: Number of draws; the same at every call.
    """
    bank = training.bank
    if bank is None:
        return torch.zeros(0), torch.zeros(0)
    draw = training.draws.draw_pairs(-1, count, len(bank), shared_noise=bank.settings.shared_noise)
    parts = [
        pair_batch(training, draw.part(i, i + bank.settings.pairs), compared=False).errors
        for i in range(0, count, bank.settings.pairs)
    ]
    return torch.cat([w for w, _ in parts]), torch.cat([e for _, e in parts])


def probe_pairs(training: Training) -> dict[str, float]:
    """Return how the errors of fixed pairs have changed since the start, winners apart."""
    if training.bank is None:
        return {}
    winner, loser = pair_errors(training, PROBED)
    before = training.bank.start
    return {
        "winner_gap": winner.mean().item() - before[0],
        "loser_gap": loser.mean().item() - before[1],
    }


def calibrated(training: Training) -> Training:
    """Return the training with what must be measured on pairs before the first step.

    That is Eq. 7's lambda, unless it is given or not used, so that it gives the difference of
    errors unit spread; and the errors that later ones are held against, if any are measured.
    """
    bank = training.bank
    if bank is None:
        return training
    own = bank
    if bank.settings.error_weight is not None:
        own = replace(own, error_weight=bank.settings.error_weight)
    elif bank.settings.variant == "fairgen":
        winner, loser = pair_errors(training, MEASURED)
        own = replace(own, error_weight=1 / max((winner - loser).std().item(), 1e-8))
    if training.settings.probe_every:
        winner, loser = pair_errors(training, PROBED)
        own = replace(own, start=(winner.mean().item(), loser.mean().item()))
    return replace(training, bank=own)
