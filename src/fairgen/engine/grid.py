"""A contact sheet of generated images, a row for each group, drawn from fixed seeds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fairgen.cohort.seed import derive
from fairgen.engine.backbone import Backbone
from fairgen.engine.sampling import SampleSettings, caption_table, sample
from fairgen.files.image import write_image

GRID_STEPS = 20


def write_grid(
    path: Path, backbone: Backbone, prompts: Sequence[str], *, columns: int, guidance: float
) -> None:
    """Write a PNG with one row of ``columns`` images for each prompt."""
    device, home = backbone.unet.device, backbone.vae.device
    backbone.vae.to(device)
    captions = caption_table(backbone, prompts, device)
    settings = SampleSettings(steps=GRID_STEPS, guidance=guidance, batch_size=columns)
    rows = [
        sample(
            backbone,
            [prompt] * columns,
            [derive(0, "grid", prompt, c) for c in range(columns)],
            settings,
            device=device,
            captions=captions,
        )
        for prompt in prompts
    ]
    backbone.vae.to(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, tile(np.stack(rows)))


def tile(
    images: UInt8[np.ndarray, "rows columns height width channels"],
) -> UInt8[np.ndarray, "tall wide channels"]:
    """Return images side by side as one picture."""
    rows, columns, height, width, channels = images.shape
    return images.swapaxes(1, 2).reshape(rows * height, columns * width, channels)
