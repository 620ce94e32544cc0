"""The bare arithmetic of a training: its passes on random tensors; and its other parts alone."""

from collections.abc import Callable, Sequence

import torch

from fairgen.engine.backbone import load_backbone
from fairgen.engine.training import Training
from fairgen.methods import Method

Pass = tuple[int, bool]  # images, and whether a gradient is wanted


def passes(method: Method, batch: int) -> list[Pass]:
    """Return the passes of the U-Net in a step of a method."""
    found = [(batch, True)]
    if method.diversity is not None:
        found.append((batch, method.diversity.gamma > 0))
    if method.alignment is not None:
        found.append((2 * method.alignment.pairs, True))
    return found


def bare_step(training: Training, base: str, wanted: Sequence[Pass]) -> Callable[[], None]:
    """Return what makes the passes of a step of a training and nothing else.

    There is no optimizer, averaging, drawing, lookup or log; the gradients are thrown away.
    """
    device, shape = training.accelerator.device, training.cache.shape
    unet = load_backbone(base).unet.train().to(device)
    width = training.captions.table[:1].to(device)
    inputs = [
        (
            torch.randn(count, *shape, device=device),
            torch.randint(0, 1000, (count,), device=device),
            width.repeat(count, 1, 1),
        )
        for count, _ in wanted
    ]

    def step() -> None:
        total = torch.zeros((), device=device)
        for given, (_, gradient) in zip(inputs, wanted, strict=True):
            with torch.set_grad_enabled(gradient), training.accelerator.autocast():
                said = unet(*given).sample
            if gradient:
                total = total + (said.float() ** 2).mean()
        total.backward()
        unet.zero_grad()

    return step


def parts(training: Training, base: str) -> dict[str, Callable[[], object]]:
    """Return the parts of a step beside its passes, and what the caches spare, to time alone."""
    for parameter in training.parameters:
        parameter.grad = 1e-3 * torch.randn_like(parameter)
    batch, weights = training.global_batch, training.rows.weights
    draw = training.draws.draw(0, batch, weights)
    limit = training.settings.max_grad_norm
    return {
        "optimizer": training.optimizer.step,
        "clipping": lambda: training.accelerator.clip_grad_norm_(training.parameters, limit),
        "averaged weights": lambda: training.ema.step(training.parameters),
        "draws": lambda: training.draws.draw(0, batch, weights),
        "latents": lambda: training.cache.sample(draw.rows, draw.posterior, draw.flipped),
        **_encoders(training, base),
    }


def _encoders(training: Training, base: str) -> dict[str, Callable[[], object]]:
    device, batch = training.accelerator.device, training.global_batch
    backbone = load_backbone(base)
    vae = backbone.vae.requires_grad_(False).to(device)
    text_encoder = backbone.text_encoder.requires_grad_(False).to(device)
    images = torch.rand(batch, 3, *[backbone.image_size] * 2, device=device)
    tokens = training.captions.tokens[:1].repeat(batch, 1).to(device)
    return {
        "encoding of a batch of images (spared)": lambda: vae.encode(images),
        "encoding of its captions (spared)": lambda: text_encoder(tokens),
    }
