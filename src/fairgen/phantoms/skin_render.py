"""Renders the skin phantom: draws the sheet, lights it, and takes the photograph."""

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter

from fairgen.cohort.seed import derive
from fairgen.phantoms.fields import axis
from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.scaling import area_weights, canvas
from fairgen.phantoms.skin_anatomy import Lesion, Person, View, person, view
from fairgen.phantoms.skin_colour import encode, linear_from_lab
from fairgen.phantoms.skin_diseases import LESIONS
from fairgen.phantoms.skin_sheet import Sheet, hairs, skin
from fairgen.phantoms.skin_signs import (
    crust,
    globules,
    inflame,
    papules,
    pearl,
    plaque_depth,
    raise_plaque,
    scale,
    ulcer,
    vesicles,
    vessels,
)


def render(specimen: Specimen, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Return the photograph of a specimen.

    Args:
        specimen: Whose skin, and which disease.
        size: Pixels a side, 32 to 512; the same scene at every size.

    Raises:
        CohortError: If the size is outside that range.
    """
    patient, lesion, camera = scene(specimen)
    sheet = draw(specimen, patient, lesion, canvas(size))
    return develop(sheet, camera, size, specimen.seed)


def develop(sheet: Sheet, camera: View, size: int, seed: int) -> UInt8[np.ndarray, "size size 3"]:
    """Return the photograph of a sheet that is drawn at ``size`` or larger."""
    linear = light(sheet, camera)
    if sheet.side > size:
        smaller = area_weights(sheet.side, size)
        linear = smaller @ linear @ smaller.T
    return photograph(linear, camera, np.random.default_rng(derive(seed, "grain", size)))


def scene(specimen: Specimen) -> tuple[Person, Lesion, View]:
    """Return the patient, the lesion and the camera of a specimen."""
    patient = person(specimen.subject, specimen.group.levels[0])
    rng = np.random.default_rng(derive(specimen.seed, "skin scene"))
    lesion = LESIONS[specimen.group.label](rng, patient.melanin)
    return patient, lesion, view(rng)


def draw(specimen: Specimen, patient: Person, lesion: Lesion, n: int) -> Sheet:
    """Return the skin with the lesion's signs on it, ``n`` pixels a side."""
    rng = np.random.default_rng(derive(specimen.seed, "skin texture"))
    sheet = skin(patient, rng, n)
    distance, radius = plaque_depth(lesion, rng, n)
    sheet = inflame(sheet, lesion, distance, rng)
    sheet = raise_plaque(sheet, lesion, distance, radius)
    sheet = papules(sheet, lesion, patient, rng)
    sheet = pearl(sheet, lesion, patient, radius, rng)
    sheet = globules(sheet, lesion, rng)
    sheet = scale(sheet, lesion, patient, rng)
    sheet = ulcer(sheet, lesion, radius, rng)
    sheet = crust(sheet, lesion, patient, rng)
    sheet = vessels(sheet, lesion, patient, rng)
    sheet = vesicles(sheet, lesion, patient)
    return hairs(sheet, patient, rng)


def light(sheet: Sheet, camera: View) -> Float[np.ndarray, "3 n n"]:
    """Return linear RGB of the lit sheet: slopes towards the light are brighter, and may glint."""
    n = sheet.side
    c, s = np.float32(np.cos(camera.light)), np.float32(np.sin(camera.light))
    dy, dx = np.gradient(sheet.height, 1 / n)
    toward = np.clip(-(c * dx + s * dy), -1.5, 1.5)
    u = axis(n) - 0.5
    ramp = camera.slope * (c * u[None, :] + s * u[:, None]) * 2
    corner = camera.vignette * 2 * (u[None, :] ** 2 + u[:, None] ** 2)
    gain = (1 + 0.42 * np.tanh(toward)) * (1 + ramp - corner)
    across = c * dy - s * dx
    glint = np.exp(-(((toward - 0.55) / 0.28) ** 2) - (across / 0.4) ** 2)
    linear = np.clip(linear_from_lab(sheet.lab), 0.001, None) * gain + sheet.gloss * glint
    return np.asarray(linear * np.array(camera.gains, np.float32)[:, None, None])


def photograph(
    linear: Float[np.ndarray, "3 size size"], camera: View, rng: np.random.Generator
) -> UInt8[np.ndarray, "size size 3"]:
    """Return the picture that a camera with blur and sensor noise takes."""
    size = linear.shape[1]
    sharp = encode(gaussian_filter(linear, (0, camera.blur * size, camera.blur * size)))
    noise = rng.standard_normal(sharp.shape, dtype=np.float32)
    grainy = sharp + camera.grain * min(1.0, (size / 64) ** 0.5) * noise
    return np.asarray(
        np.clip(grainy * 255 + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy()
    )
