"""Renders the chest phantom: draws what absorbs, and exposes the radiograph."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import affine_transform, gaussian_filter
from scipy.special import expit

from fairgen.cohort.seed import derive
from fairgen.phantoms.chest_anatomy import Findings, Person, View, person, view
from fairgen.phantoms.chest_bones import breasts, devices, ribs, skeleton, vessels
from fairgen.phantoms.chest_findings import FINDINGS, SUPINE
from fairgen.phantoms.chest_frame import Frame, edge, frame
from fairgen.phantoms.chest_signs import fluid, hazed, opacities
from fairgen.phantoms.fields import Field, fractal
from fairgen.phantoms.phantom import Specimen
from fairgen.phantoms.scaling import area_weights, canvas


@dataclass(frozen=True)
class Film:
    """Holds a drawing before it is exposed.

    Attributes:
        frame: Where the organs lie.
        thickness: How much each pixel's ray is absorbed, 0 for air.
        signs: What was drawn where, each in [0, 1]: ``effusion``, ``opacity``, ``haze``,
            ``breast``.
    """

    frame: Frame
    thickness: Field
    signs: dict[str, Field]


def render(specimen: Specimen, size: int) -> UInt8[np.ndarray, "size size 1"]:
    """Return the radiograph of a specimen.

    Args:
        specimen: Whose chest, and which finding.
        size: Pixels a side, 32 to 512; the same scene at every size.

    Raises:
        CohortError: If the size is outside that range.
    """
    patient, findings, camera = scene(specimen)
    film = draw(specimen, patient, findings, camera, canvas(size))
    return develop(film, camera, size, specimen.seed)


def develop(film: Film, camera: View, size: int, seed: int) -> UInt8[np.ndarray, "size size 1"]:
    """Return the radiograph of a film that is drawn at ``size`` or larger."""
    grey = expose(placed(film.thickness, camera), camera)
    n = len(grey)
    if n > size:
        smaller = area_weights(n, size)
        grey = smaller @ grey @ smaller.T
    rng = np.random.default_rng(derive(seed, "grain", size))
    grain = camera.grain * min(1.0, (size / 64) ** 0.5)
    blurred = gaussian_filter(grey, camera.blur * size)
    grainy = blurred + grain * rng.standard_normal(grey.shape, dtype=np.float32)
    return np.asarray(np.clip(grainy * 255 + 0.5, 0, 255).astype(np.uint8)[:, :, None])


def scene(specimen: Specimen) -> tuple[Person, Findings, View]:
    """Return the patient, the findings and the view of a specimen."""
    patient = person(specimen.subject, specimen.group.levels[0])
    rng = np.random.default_rng(derive(specimen.seed, "chest scene"))
    findings = FINDINGS[specimen.group.label](rng)
    return patient, findings, view(rng, SUPINE[specimen.group.label])


def draw(specimen: Specimen, patient: Person, findings: Findings, camera: View, n: int) -> Film:
    """Return the film of a patient, ``n`` pixels a side."""
    rng = np.random.default_rng(derive(specimen.seed, "chest texture"))
    outlines = frame(patient, camera, findings.heart, n)
    signs = {
        "opacity": opacities(outlines, findings, rng),
        "haze": hazed(outlines, findings, rng),
        "effusion": fluid(outlines, findings, camera.supine),
        "breast": breasts(outlines, patient),
    }
    clear = (1 - signs["opacity"]) * (1 - signs["haze"]) * (1 - signs["effusion"])
    air = outlines.lungs * (1 - outlines.heart) * clear
    tree = findings.vessels * (1 - 0.7 * signs["haze"]) * vessels(outlines, patient)
    thickness = tissue(outlines, patient, rng) + 0.38 * signs["breast"]
    thickness = thickness - air * (0.60 - 0.16 * np.minimum(tree, 1.5))
    bones = 0.085 * ribs(outlines, patient) + 0.20 * skeleton(outlines, patient)
    thickness = thickness + outlines.body * patient.bone * bones
    thickness = thickness + 0.35 * devices(outlines, camera, rng)
    return Film(outlines, thickness.astype(np.float32), signs)


def tissue(outlines: Frame, patient: Person, rng: np.random.Generator) -> Field:
    """Return how much soft tissue absorbs: body, heart, belly, and the gas within."""
    width, apex, base = outlines.chest
    chord = np.clip(1 - (outlines.x / (width + 0.2)) ** 2, 0, 1)
    depth = 0.58 + 0.34 * chord + 0.20 * patient.build
    upper = 0.12 * np.clip((apex + 0.10 - outlines.y) / 0.12, 0, 1)
    uneven = 0.02 * fractal(rng, outlines.side, 3, 3, 0.6)
    whole = outlines.body * (depth - upper + 0.15 * outlines.heart + 0.30 * outlines.below + uneven)
    pipe = edge(np.abs(outlines.x) - 0.017, 0.004)
    gas = 0.16 * pipe * edge(outlines.y - outlines.hilum + 0.06, 0.02)
    if patient.bubble:
        place = np.hypot(outlines.x - 0.15, (outlines.y - base + 0.01) * 1.4) - patient.bubble
        gas = gas + 0.40 * edge(place, 0.008) * outlines.below
    return np.asarray(whole - gas * outlines.body)


def placed(field: Float[np.ndarray, "n n"], camera: View) -> Float[np.ndarray, "n n"]:
    """Return a map as the view shows it: turned, shifted and magnified."""
    n = len(field)
    c, s = np.cos(camera.tilt) / camera.zoom, np.sin(camera.tilt) / camera.zoom
    matrix = np.array([[c, s], [-s, c]])
    middle = np.full(2, (n - 1) / 2)
    target = middle + np.array(camera.shift[::-1]) * n
    return np.asarray(
        affine_transform(field, matrix, middle - matrix @ target, order=1, mode="nearest")
    )


def expose(thickness: Float[np.ndarray, "n n"], camera: View) -> Float[np.ndarray, "n n"]:
    """Return the grey of each pixel in [0, 1]: an S-shaped curve of what is absorbed."""
    curve = expit((thickness - np.float32(camera.middle)) / np.float32(camera.latitude))
    floor = expit(-camera.middle / camera.latitude)
    seen = np.clip((curve - floor) / (1 - floor), 0, 1)
    grey = camera.black + (camera.white - camera.black) * (seen * (1 - camera.haze) + camera.haze)
    if camera.frame:
        n = len(grey)
        edge = np.minimum(np.arange(n), np.arange(n)[::-1]) >= camera.frame * n
        grey = grey * edge[:, None] * edge[None, :]
    return np.asarray(grey.astype(np.float32))
