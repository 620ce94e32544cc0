"""What happens to pictures on their way: blur, noise and compression, for oracles to learn from."""

import numpy as np
from jaxtyping import UInt8
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter

Picture = UInt8[np.ndarray, "n n c"]
BLOCK = 8


def worn(image: Picture, rng: np.random.Generator) -> Picture:
    """Return an image blurred, grainy or compressed to a random degree, or untouched.

    Args:
        image: A grey or colour image whose side is a multiple of 8.
        rng: Decides kind and degree.
    """
    kind = rng.integers(4)
    if kind == 0:
        return image
    values: np.ndarray = image.astype(np.float32)
    if kind == 1:
        values = gaussian_filter(values, (blur := rng.uniform(0.4, 1.1), blur, 0))
    elif kind == 2:
        values = values + rng.normal(0, rng.uniform(1, 5), values.shape)
    else:
        values = compressed(values, rng.uniform(3, 14))
    return np.asarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def compressed(image: np.ndarray, coarse: float) -> np.ndarray:
    """Return what is left when fine detail is rounded away in blocks, and more so in colour."""
    grey = image.mean(axis=2, keepdims=True)
    planes = np.concatenate([grey, gaussian_filter(image - grey, (0.8, 0.8, 0))], axis=2)
    height, width, channels = planes.shape
    blocks = planes.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, channels)
    detail = dctn(blocks, axes=(1, 3), norm="ortho")
    u = np.arange(BLOCK)
    weight = np.array([1, *[2] * (channels - 1)])
    quantum = coarse * (1 + 0.5 * (u[:, None, None, None] + u[:, None])) * weight
    rounded = idctn(np.rint(detail / quantum) * quantum, axes=(1, 3), norm="ortho")
    planes = rounded.reshape(planes.shape)
    return np.asarray(planes[..., :1] + planes[..., 1:])
