"""The chest phantom: two sexes by five findings, imbalanced like the paper's chest cohort."""

from types import MappingProxyType

from fairgen.cohort.schema import Attribute, Group, Schema
from fairgen.phantoms.chest_oracle import measure
from fairgen.phantoms.chest_render import render
from fairgen.phantoms.chest_truth import anatomy
from fairgen.phantoms.phantom import Phantom, Quantity, specimens

SEXES = ("female", "male")
FINDINGS = ("COVID-19", "lung oedema", "lung opacity", "pleural effusion", "normal")
SCHEMA = Schema((Attribute("sex", SEXES),), Attribute("finding", FINDINGS))

# COVID-19 has the paper's share, 576 of 14,222 images or 4 %; all other shares are ours.
SEX_SHARES = {"female": 0.41, "male": 0.59}
FINDING_SHARES = {
    "female": (0.030, 0.200, 0.290, 0.270, 0.210),
    "male": (0.0475, 0.1825, 0.310, 0.270, 0.190),
}
SHARES = {
    Group((sex,), finding): SEX_SHARES[sex] * share
    for sex in SEXES
    for finding, share in zip(FINDINGS, FINDING_SHARES[sex], strict=True)
}

QUANTITIES = (
    Quantity("effusion_left", "effusion, left", "share of the lung's height"),
    Quantity("effusion_right", "effusion, right", "share of the lung's height"),
    Quantity("opacity_extent", "opacity", "share of the lungs"),
    Quantity("opacity_laterality", "opacity left − right", "share of the lungs"),
    Quantity("opacity_height", "opacity above − below", "share of the lungs", robust=False),
    Quantity("opacity_periphery", "opacity lateral − medial", "share of the lungs"),
    Quantity("perihilar_index", "perihilar haze", "share of the lungs' roots"),
    Quantity("breast_shadow", "breast shadow", "share of the image"),
    Quantity("cardiothoracic_ratio", "cardiothoracic ratio"),
    Quantity("lung_area", "lung fields", "share of the image"),
)

CHEST = Phantom(
    name="chest",
    modality="chest",
    schema=SCHEMA,
    specimens=specimens(SHARES, (0.45, 0.27, 0.18, 0.10), "chest", mixed=0.2),
    render=render,
    anatomy=anatomy,
    measure=measure,
    quantities=QUANTITIES,
    looked_at=("opacity_extent", "opacity_laterality", "opacity_periphery", "breast_shadow"),
    kept_back=(
        *("effusion_left", "effusion_right", "perihilar_index"),
        *("cardiothoracic_ratio", "lung_area"),
    ),
    words=MappingProxyType({"normal": "no finding"}),
)
