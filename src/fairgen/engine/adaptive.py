"""What a training learns about its groups on the way: how hard they are, how they are perturbed.

The state is the same on every process, since it follows from sums and losses of all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairgen.engine.device import OnItsWay, sent
from fairgen.methods.method import Method
from fairgen.objectives.gradient_norm import (
    NormWindow,
    empty_window,
    gradient_aware,
    hardness,
)
from fairgen.objectives.perturbation import (
    PerturbationState,
    start_perturbation,
    state_from,
    state_tensors,
)


@dataclass
class Adaptive:
    """Holds the state of gradient-aware draws and of FairDiffusion; each may be absent.

    Attributes:
        method: The method whose state it is.
        window: Gradient norms of the last steps but the very last.
        latest: Those of the last step; they count from the step after the next, so that a step need
            not wait until the device has finished the one before.
        perturbation: Scales of the perturbed weights, and what is known of them.
    """

    method: Method
    window: NormWindow | None = None
    perturbation: PerturbationState | None = None
    latest: OnItsWay | None = None

    def extend(self, tally: Float[Tensor, "2 groups bins"]) -> None:
        """Take up a step's gradient norms: sums and numbers of samples, over all processes."""
        aware = self.method.awareness
        if self.window is None or self.latest is None or aware is None:
            return
        self.window = self.window.extended(self.latest.read(), aware.window)
        self.latest = sent(tally)

    def tensors(self) -> dict[str, Tensor]:
        """Return the state as named tensors, for a checkpoint; empty where there is none."""
        found: dict[str, Tensor] = {}
        if self.window is not None:
            found |= {"window.sums": self.window.sums, "window.counts": self.window.counts}
        if self.latest is not None:
            found["latest"] = self.latest.read()
        if self.perturbation is not None:
            own = state_tensors(self.perturbation)
            found |= {f"perturbation.{k}": v for k, v in own.items()}
        return found

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up the state of a checkpoint."""
        if self.window is not None:
            self.window = NormWindow(tensors["window.sums"], tensors["window.counts"])
        if "latest" in tensors:
            self.latest = OnItsWay(tensors["latest"])
        if self.perturbation is not None:
            own = {k: v for k, v in tensors.items() if k.startswith("perturbation.")}
            self.perturbation = state_from(
                {k.removeprefix("perturbation."): v for k, v in own.items()}
            )

    def hardness(self) -> Float[Tensor, " groups"] | None:
        """Return how hard each group is, or nothing if the method does not ask."""
        if self.window is None or self.method.awareness is None:
            return None
        return hardness(self.window, self.method.awareness.pseudo_count)

    def weights(
        self, plain: Float[Tensor, " images"], groups: Int[Tensor, " images"]
    ) -> Float[Tensor, " images"]:
        """Return the draw weight of each image (Eq. 1, 2).

        Args:
            plain: The weights of the plain scheme.
            groups: Group of each image.
        """
        hard = self.hardness()
        if hard is None or self.method.awareness is None:
            return plain
        return gradient_aware(plain, groups, hard, self.method.awareness.alpha)


def start_adaptive(method: Method, groups: int, cardinalities: Sequence[int]) -> Adaptive:
    """Return the state before the first step.

    Args:
        method: The method.
        groups: Number of groups.
        cardinalities: Number of levels of each sensitive attribute.
    """
    aware = method.awareness
    return Adaptive(
        method,
        None if aware is None else empty_window(groups, aware.bins),
        None if method.perturbation is None else start_perturbation(cardinalities),
        None if aware is None else OnItsWay(torch.zeros(2, groups, aware.bins)),
    )


class Tap:
    """Keeps what enters the U-Net's last convolution in one pass."""

    def __init__(self, unet: Any) -> None:  # noqa: ANN401 - a model of diffusers
        self._armed = False
        self._seen: Tensor | None = None
        unet.conv_out.register_forward_pre_hook(self._take)

    def arm(self) -> None:
        """Keep what the next pass brings."""
        self._armed = True

    def _take(self, _module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if self._armed:
            self._armed, self._seen = False, inputs[0].detach()

    def read(self) -> Tensor:
        """Return what was kept, and let go of it.

        Raises:
            RuntimeError: If no pass was made since it was armed.
        """
        if self._seen is None:
            raise RuntimeError("the U-Net was not run since the tap was armed")
        seen, self._seen = self._seen, None
        return seen
