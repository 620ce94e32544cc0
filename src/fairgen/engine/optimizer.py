"""The optimizer: made by name, and its state as flat, named tensors that a checkpoint keeps."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from fairgen.engine.settings import TrainSettings
from fairgen.engine.sharding import fill

Optimizer = Any  # of torch or of bitsandbytes, in accelerate's wrapping or without
Tensors = Mapping[str, Tensor]
SMALL = 4096  # a weight of fewer elements keeps its moments in fp32
BLOCK = 256  # elements that share a scale


def make_optimizer(parameters: Sequence[Parameter], settings: TrainSettings) -> Optimizer:
    """Return AdamW over the parameters, in the form that the settings name."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adamw-8bit":
        from bitsandbytes.optim import AdamW8bit  # noqa: PLC0415 - few have it

        return AdamW8bit(parameters, lr=rate, weight_decay=decay, min_8bit_size=SMALL)
    fused = settings.optimizer == "adamw"
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=fused)


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's state by the place of each parameter and the name of each value.

    A count that is a number of Python becomes an integer tensor, and what bitsandbytes hides from
    FSDP in a mapping within the state stands beside the rest. It shares its two maps between all
    parameters; each is copied, since safetensors keeps no tensor under two names.
    """
    found: dict[str, Tensor] = {}
    for place, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            own = value if isinstance(value, Mapping) else {name: value}
            found |= {f"{place}.{key}": _tensor(key, v) for key, v in own.items()}
    return found


def _tensor(name: str, value: Tensor | int) -> Tensor:
    if not isinstance(value, Tensor):
        return torch.tensor(value)
    return value.clone() if name.startswith("qmap") else value


def restore_optimizer(
    optimizer: Optimizer, tensors: Tensors, parameters: Sequence[Parameter]
) -> None:
    """Let an optimizer take up flat, named tensors; they are copied, not held."""
    state = optimizer.state_dict()
    own: dict[int, dict[str, Tensor | int]] = {}
    for key, value in tensors.items():
        place, name = key.split(".", 1)
        own.setdefault(int(place), {})[name] = _value(value, parameters[int(place)])
    optimizer.load_state_dict({**state, "state": own})


def _value(value: Tensor, parameter: Parameter) -> Tensor | int:
    """Return a value of the state, a moment laid out as its weight: the fused step relies on it."""
    if value.ndim == 0 and not value.is_floating_point():
        return int(value)
    if value.shape != parameter.shape:
        return value.clone()
    moment = torch.empty_like(parameter, dtype=value.dtype)
    fill(moment, value)
    return moment


def expected_tensors(parameters: Sequence[Parameter], settings: TrainSettings) -> dict[str, Tensor]:
    """Return tensors of the names and shapes that the state has once it has stepped."""
    eight = settings.optimizer == "adamw-8bit"
    found: dict[str, Tensor] = {}
    for place, parameter in enumerate(parameters):
        own = _eight_bit(parameter) if eight else _plain(parameter)
        found |= {f"{place}.{name}": value for name, value in own.items()}
    return found


def _plain(parameter: Parameter) -> dict[str, Tensor]:
    return {"step": torch.zeros(()), "exp_avg": parameter, "exp_avg_sq": parameter}


def _eight_bit(parameter: Parameter) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {"step": torch.zeros(())}
    scales = torch.zeros(-(-parameter.numel() // BLOCK))
    for number in (1, 2):
        found[f"state{number}"] = parameter
        if parameter.numel() >= SMALL:
            found |= {f"qmap{number}": torch.zeros(256), f"absmax{number}": scales}
    return found
