"""Colour arithmetic of skin: CIELAB, linear light and sRGB, and the Individual Typology Angle."""

import numpy as np
from jaxtyping import Float, UInt8

WHITE = np.array([0.95047, 1.0, 1.08883], np.float32)
"""CIE XYZ of the D65 white point, two-degree observer."""

XYZ_FROM_RGB = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ],
    np.float32,
)
RGB_FROM_XYZ = np.linalg.inv(XYZ_FROM_RGB.astype(np.float64)).astype(np.float32)
KINK = 6 / 29


def typology_angle(lightness: float, b: float) -> float:
    r"""Return the Individual Typology Angle in degrees: large on light skin, negative on dark.

    $$\mathrm{ITA}=\arctan\frac{L^*-50}{b^*}\cdot\frac{180}{\pi}$$

    Args:
        lightness: CIELAB $L^*$, 0 to 100.
        b: CIELAB $b^*$; skin is yellowish, so it is positive.

    Reference:
        Chardon et al., "Skin colour typology and suntanning pathways", 1991.
    """
    return float(np.degrees(np.arctan2(lightness - 50.0, b)))


def linear_from_lab(lab: Float[np.ndarray, "3 *shape"]) -> Float[np.ndarray, "3 *shape"]:
    """Return linear RGB in [0, 1] of CIELAB (D65); colours outside sRGB leave that range."""
    y = (lab[0] + 16.0) / 116.0
    f = np.stack([y + lab[1] / 500.0, y, y - lab[2] / 200.0])
    xyz = np.where(f > KINK, f * f * f, 3 * KINK**2 * (f - 4 / 29))
    xyz *= WHITE.reshape(3, *[1] * (f.ndim - 1))
    return np.tensordot(RGB_FROM_XYZ, xyz.astype(np.float32), 1)


def lab_from_linear(rgb: Float[np.ndarray, "3 *shape"]) -> Float[np.ndarray, "3 *shape"]:
    """Return CIELAB (D65) of linear RGB in [0, 1]."""
    xyz = np.tensordot(XYZ_FROM_RGB, rgb, 1) / WHITE.reshape(3, *[1] * (rgb.ndim - 1))
    f = np.where(xyz > KINK**3, np.cbrt(xyz), xyz / (3 * KINK**2) + 4 / 29)
    return np.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def encode(linear: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return sRGB values in [0, 1] of linear light; values outside [0, 1] are clipped."""
    x = np.clip(linear, 0.0, 1.0)
    return np.asarray(np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** np.float32(1 / 2.4) - 0.055))


def decode(srgb: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return linear light of sRGB values in [0, 1]."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** np.float32(2.4))


def lab_from_pixels(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "3 h w"]:
    """Return CIELAB of an sRGB image."""
    return lab_from_linear(decode(image.astype(np.float32).transpose(2, 0, 1) / 255))
