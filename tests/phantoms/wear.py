"""What the oracles' tests share: wear of grey and colour images, and agreement with the truth."""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom


def byte(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def noisy(image):
    return byte(image + np.random.default_rng(0).normal(0, 5, image.shape))


def blurred(image):
    return byte(gaussian_filter(image.astype(float), (1, 1, 0)))


def saved(image, form, **options):
    """Return the opened file that an image was saved to, in memory."""
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, form, **options)
    return Image.open(buffer)


def jpeg(image):
    return np.array(saved(image, "JPEG", quality=75)).reshape(image.shape)


def coded(image):
    """Return what survives a fourfold reduction of each channel's detail by half."""
    small = zoom(image.astype(float), (0.25, 0.25, 1), order=1)
    return byte(0.5 * zoom(small, (4, 4, 1), order=1) + 0.5 * blurred(image))


WEARS = (blurred, noisy, jpeg, coded)


def agreement(found, truths, key):
    """Return the correlation of a measure with the truth."""
    pairs = [(t[key], f[key]) for t, f in zip(truths, found, strict=True) if f is not None]
    return np.corrcoef(np.array(pairs).T)[0, 1]
