"""Digests of networks' weights: what a result was computed with."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from fairgen.files.digest import value_digest


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, shapes and values of weights, whatever file held them."""
    total = sha256()
    for name in sorted(weights):
        values = weights[name].detach().cpu().contiguous()
        total.update(f"{len(name)}:{name};{values.dtype};{tuple(values.shape)};".encode())
        total.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def vae_digest(vae: Any) -> str:  # noqa: ANN401 - diffusers is untyped
    """Return the digest of what decides an autoencoder's scaled latents: not of its decoder."""
    parts = ("encoder.", "quant_conv.")
    own = weights_digest({k: v for k, v in vae.state_dict().items() if k.startswith(parts)})
    return value_digest([own, float(vae.config.scaling_factor)])
