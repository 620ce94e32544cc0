"""The brain phantom: two age bands, with and without dementia, as axial T1-like slices."""

from fairgen.cohort.schema import Attribute, Group, Schema
from fairgen.phantoms.mri_anatomy import HEALTHY, ILL, OLDER, YOUNGER
from fairgen.phantoms.mri_oracle import measure
from fairgen.phantoms.mri_render import render
from fairgen.phantoms.mri_truth import anatomy
from fairgen.phantoms.phantom import Phantom, Quantity, specimens

SCHEMA = Schema((Attribute("age", (YOUNGER, OLDER)),), Attribute("diagnosis", (HEALTHY, ILL)))

# Ours. As in the paper's cohort, demented patients over 75 are the rarest.
SHARES = {
    Group((YOUNGER,), HEALTHY): 0.38,
    Group((YOUNGER,), ILL): 0.27,
    Group((OLDER,), HEALTHY): 0.26,
    Group((OLDER,), ILL): 0.09,
}

QUANTITIES = (
    Quantity("brain_area", "brain area", "share of the image"),
    Quantity("ventricle_ratio", "ventricle-to-brain ratio", "share of the brain's area"),
    Quantity("parenchyma", "tissue (not fluid)", "share of the brain's area"),
    Quantity("hippocampus", "hippocampus", "share of the brain's area", robust=False),
    Quantity("temporal_horn", "temporal horns", "share of the brain's area"),
    Quantity("lesions", "white-matter lesions", "share of the white matter", robust=False),
    Quantity("sulcal_width", "sulcal width", "% of the side"),
    Quantity("cortical_thickness", "cortical thickness", "% of the side", robust=False),
    Quantity(
        "grey_white_contrast",
        "grey-white contrast",
        "share of white's brightness",
        robust=False,
    ),
)

MRI = Phantom(
    name="mri",
    modality="mri",
    schema=SCHEMA,
    specimens=specimens(SHARES, (0.30, 0.30, 0.25, 0.15), "mri", mixed=0.2),
    render=render,
    anatomy=anatomy,
    measure=measure,
    quantities=QUANTITIES,
    # Tissue is what is neither ventricle nor sulcus, and temporal horns are parts of the
    # ventricles: in either half they would give away the other.
    looked_at=("brain_area", "sulcal_width"),
    kept_back=("ventricle_ratio", "lesions"),
    template="an axial brain MRI of a patient aged {attributes}, {label}",
)
