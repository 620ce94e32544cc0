"""The skin phantom: three tones by five diseases, with the imbalance of the paper's skin cohort."""

from fairgen.cohort.schema import Attribute, Group, Schema
from fairgen.phantoms.phantom import Phantom, Quantity, specimens
from fairgen.phantoms.skin_oracle import measure
from fairgen.phantoms.skin_render import render
from fairgen.phantoms.skin_truth import anatomy

TONES = ("light", "medium", "dark")
DISEASES = (
    "allergic contact dermatitis",
    "basal cell carcinoma",
    "lichen planus",
    "psoriasis",
    "squamous cell carcinoma",
)
SCHEMA = Schema((Attribute("tone", TONES),), Attribute("disease", DISEASES))

# Dark skin has the paper's share (10.6 %); the diseases' shares within a tone are ours.
TONE_SHARES = {"light": 0.594, "medium": 0.300, "dark": 0.106}
DISEASE_SHARES = {
    "light": (0.18, 0.23, 0.07, 0.30, 0.22),
    "medium": (0.21, 0.18, 0.09, 0.32, 0.20),
    "dark": (0.26, 0.11, 0.08, 0.36, 0.19),
}
SHARES = {
    Group((tone,), disease): TONE_SHARES[tone] * share
    for tone in TONES
    for disease, share in zip(DISEASES, DISEASE_SHARES[tone], strict=True)
}

QUANTITIES = (
    Quantity("ita", "tone angle (ITA)", "degrees"),
    Quantity("lesion_area", "lesion area", "share of the image", robust=False),
    Quantity("scale", "scale", "share of the lesion"),
    Quantity("crust", "crust", "share of the lesion"),
    Quantity("ulceration", "ulceration", "share of the lesion", robust=False),
    Quantity("telangiectasia", "telangiectasia", "share of the lesion", robust=False),
    Quantity("redness", "redness", "CIELAB +a* against the skin around"),
    Quantity("darkening", "darkening", "CIELAB −L* against the skin around"),
    Quantity("violaceous", "violaceous", "CIELAB −b* against the skin around"),
    Quantity("border_sharpness", "border sharpness", "slope per side", robust=False),
    Quantity("papule_count", "papules", robust=False),
    Quantity("vesicle_count", "vesicles", robust=False),
)

SKIN = Phantom(
    name="skin",
    modality="skin",
    schema=SCHEMA,
    specimens=specimens(SHARES, (0.40, 0.28, 0.20, 0.12), "skin", mixed=0.2),
    render=render,
    anatomy=anatomy,
    measure=measure,
    quantities=QUANTITIES,
    looked_at=("ita", "scale", "violaceous"),
    kept_back=("crust", "redness", "darkening"),
)
