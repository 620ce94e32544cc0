"""Built-in cohorts: images rendered from known anatomy, and oracles that measure it back. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

from fairgen.phantoms.chest import CHEST
from fairgen.phantoms.mri import MRI
from fairgen.phantoms.phantom import Phantom, Specimen
from fairgen.phantoms.shapes import SHAPES
from fairgen.phantoms.skin import SKIN

PHANTOMS: Mapping[str, Phantom] = MappingProxyType({p.name: p for p in (SKIN, CHEST, MRI, SHAPES)})

__all__ = ["PHANTOMS", "Phantom", "Specimen"]
