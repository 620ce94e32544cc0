"""Tensors between the host and the device, without either waiting for the other."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on the device; the host does not wait for what the device has in hand."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@dataclass(frozen=True)
class OnItsWay:
    """Holds a tensor that is being copied to the host."""

    tensor: Tensor
    arrival: Any = None

    def read(self) -> Tensor:
        """Return it, once it is there."""
        if self.arrival is not None:
            self.arrival.synchronize()
        return self.tensor


def sent(tensor: Tensor) -> OnItsWay:
    """Begin to copy a tensor to the host."""
    if tensor.device.type != "cuda":
        return OnItsWay(tensor.cpu())
    copy = tensor.to("cpu", non_blocking=True)
    arrival = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrival.record()
    return OnItsWay(copy, arrival)
