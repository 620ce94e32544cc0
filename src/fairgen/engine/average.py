"""Averaged weights, or none."""

from collections.abc import Iterable, Sequence

import torch
from diffusers.training_utils import EMAModel
from torch.nn import Parameter


class Average(EMAModel):  # type: ignore[misc]
    """Averages weights as diffusers does, in one pass over each and without a copy of it."""

    @torch.no_grad()
    def step(self, parameters: Iterable[Parameter]) -> None:
        """Move the averages towards the weights."""
        self.optimization_step += 1
        self.cur_decay_value = self.get_decay(self.optimization_step)
        for shadow, parameter in zip(self.shadow_params, parameters, strict=True):
            shadow.lerp_(parameter, 1 - self.cur_decay_value)


class NoAverage:
    """Stands where weights are not averaged: the last weights are the result."""

    shadow_params: Sequence[torch.Tensor] = ()
    optimization_step = 0

    def step(self, parameters: Iterable[Parameter]) -> None:
        """Do nothing, as all that follows."""

    def store(self, parameters: Iterable[Parameter]) -> None:
        """Keep nothing."""

    def copy_to(self, parameters: Iterable[Parameter]) -> None:
        """Leave the weights as they are."""

    def restore(self, parameters: Iterable[Parameter]) -> None:
        """Leave the weights as they are."""


def averaging(
    parameters: Sequence[Parameter], *, on: bool, decay: float, device: torch.device
) -> Average | NoAverage:
    """Return what averages the weights from now on.

    Args:
        parameters: The trained weights.
        on: Whether to average at all.
        decay: Largest decay.
        device: Where the averages lie.
    """
    if not on:
        return NoAverage()
    ema = Average(parameters, decay=decay)
    ema.to(device)
    return ema
