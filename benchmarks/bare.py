"""The bare arithmetic of a training: its passes on random tensors; and its other parts alone."""

from collections.abc import Callable, Sequence

import torch

from fairgen.engine.backbone import load_backbone
from fairgen.engine.training import Training
from fairgen.methods import Method

Pass = tuple[int, bool]  # images, and whether a gradient is wanted


def passes(method: Method, batch: int) -> list[list[Pass]]:
    """Return the passes of the U-Net in a step of a method; each list has one backward pass."""
    images = [(batch, True)]
    if method.diversity is not None:
        both = [(2 * batch, True)]  # the two prompts' passes in one
        images = both if method.diversity.gamma > 0 else [(batch, False), *images]
    if method.alignment is None:
        return [images]
    return [images, [(2 * method.alignment.pairs, True)]]


def bare_step(
    training: Training, base: str, wanted: Sequence[Sequence[Pass]]
) -> Callable[[], None]:
    """Return what makes the passes of a step of a training and nothing else.

    There is no optimizer, averaging, drawing, lookup or log; the gradients are thrown away.
    """
    device, shape = training.accelerator.device, training.cache.shape
    unet = load_backbone(base).unet.train().to(device)
    length, width = training.backbone.prompt_length, unet.config.cross_attention_dim

    def inputs(count: int) -> tuple[torch.Tensor, ...]:
        latents = torch.randn(count, *shape, device=device)
        t = torch.randint(0, 1000, (count,), device=device)
        return latents, t, torch.randn(count, length, width, device=device)

    given = [[(inputs(count), gradient) for count, gradient in part] for part in wanted]

    def step() -> None:
        for part in given:
            total = torch.zeros((), device=device)
            for tensors, gradient in part:
                with torch.set_grad_enabled(gradient):
                    said = unet(*tensors).sample
                if gradient:
                    total = total + (said**2).mean()
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
