"""Averaged weights, or none."""

from collections.abc import Iterable, Sequence

import torch
from diffusers.training_utils import EMAModel
from torch.nn import Parameter


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
) -> EMAModel | NoAverage:
    """Return what averages the weights from now on.

    Args:
        parameters: The trained weights.
        on: Whether to average at all.
        decay: Largest decay.
        device: Where the averages lie.
    """
    if not on:
        return NoAverage()
    ema = EMAModel(parameters, decay=decay)
    ema.to(device)
    return ema
