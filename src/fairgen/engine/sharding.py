"""State that lies in shards over processes: whether it does, put together, and dealt out.

A checkpoint and a pipeline hold whole tensors, so that any number of processes can take them up.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from fairgen.engine.backbone import Backbone


def is_sharded(accelerator: Accelerator) -> bool:
    """Return whether each process holds only its shard of the weights."""
    return bool(accelerator.distributed_type == DistributedType.FSDP)


def is_deepspeed(accelerator: Accelerator) -> bool:
    """Return whether DeepSpeed steps; the optimizer's state then is its own, in parts."""
    return bool(accelerator.distributed_type == DistributedType.DEEPSPEED)


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor put together; each process must ask for the same one."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Return whole tensors, those that were shards on the host.

    Args:
        tensors: Tensors by name, the same names in the same order in every process.
        keep: Whether this process needs them; if not, it only gives its shards and gets nothing.
    """
    found = {}
    for name, tensor in tensors.items():
        own = whole(tensor.detach())
        if keep:
            found[name] = own.cpu() if isinstance(tensor, DTensor) else own
    return found


@torch.no_grad()
def fill(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into one that may be a shard; no process waits for another."""
    if isinstance(target, DTensor):
        mesh = target.device_mesh
        value = distribute_tensor(
            value.to(target.device), mesh, target.placements, src_data_rank=None
        )
    target.copy_(value)


def whole_backbone(backbone: Backbone, accelerator: Accelerator) -> Backbone:
    """Return a model whose U-Net is whole, on the host if it was in shards.

    Each process must ask; only the main one gets it.
    """
    if not is_sharded(accelerator):
        return backbone
    weights = gathered(backbone.unet.state_dict(), keep=accelerator.is_main_process)
    if not accelerator.is_main_process:
        return backbone
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(backbone.unet.config)
    unet.load_state_dict(weights, assign=True)
    return replace(backbone, unet=unet.eval())
