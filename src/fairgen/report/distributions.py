"""How measured anatomy is distributed, reference phantoms beside generated images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairgen.cohort.schema import SEPARATOR
from fairgen.phantoms.phantom import Quantity
from fairgen.report.anatomy_file import REFERENCE, SYNTHETIC, Anatomy, quantiles
from fairgen.report.blocks import Fold, Gallery
from fairgen.report.boxes import Box, BoxRow, box_chart
from fairgen.report.chart import INK, colour, marker, slug, span
from fairgen.report.words import method_text, subgroup_text

HOW = (
    "One panel a label, one row a subgroup. Grey, on top: newly drawn phantoms of that group; "
    "below, the images that each method made for its prompt, all seeds together. The mark is the "
    "median, the thick bar holds the middle half of the images, the thin line 90 % of them. All "
    "panels share their axis."
)
FAIR = (
    "in every row each method's bar lies under the grey one and is as long; bars that are alike "
    "in all rows where the grey ones differ have lost what tells the groups apart."
)
HOW_AGAIN = (
    "As the first of these figures. Grey: new phantoms of the group; below: each method's images. "
    "Mark: median; thick: the middle half; thin: 90 %."
)
FAIR_AGAIN = "in every row each method's bar lies under the grey one and is as long."
UNSAFE = (
    "Folded away: after a round trip through the autoencoder the oracle no longer measures these "
    "well even in real images, so a difference says little about a method."
)


@dataclass(frozen=True)
class Material:
    """Holds the measured images: the reference, and each method's of every seed.

    Attributes:
        reference: Newly drawn phantoms, or ``None``.
        made: The generated images of each method.
        groups: Keys of the groups, in order.
    """

    reference: Anatomy | None
    made: Mapping[str, tuple[Anatomy, ...]]
    groups: tuple[str, ...]

    def boxes(self, quantity: str, group: str) -> tuple[Box, ...]:
        """Return the distributions of one quantity in one group."""
        sets: dict[str, tuple[str, str, str, tuple[Anatomy, ...]]] = {}
        if self.reference is not None:
            sets["reference"] = (INK, "|", REFERENCE, (self.reference,))
        for i, (method, found) in enumerate(self.made.items()):
            if found:
                sets[method_text(method)] = (colour(i), marker(i), SYNTHETIC, found)
        return tuple(
            Box(name, tint, shape, *quantiles(a.of(quantity, source, group) for a in found))
            for name, (tint, shape, source, found) in sets.items()
        )


def figures(material: Material, known: Sequence[Quantity]) -> tuple[Gallery | Fold, ...]:
    """Return a figure for each quantity; those that may not judge generated images are folded."""
    ordered = sorted(known, key=lambda q: not q.robust)
    made = {q: gallery(material, q, first=q is ordered[0]) for q in ordered}
    safe = tuple(g for q, g in made.items() if q.robust and g.charts)
    unsafe = tuple(g for q, g in made.items() if not q.robust and g.charts)
    if not unsafe:
        return safe
    names = ", ".join(q.label for q, g in made.items() if g in unsafe)
    return *safe, Fold(f"Quantities that may not judge generated images: {names}", UNSAFE, unsafe)


def gallery(material: Material, quantity: Quantity, *, first: bool = True) -> Gallery:
    """Return one panel a label with one row a subgroup."""
    panels: dict[str, list[BoxRow]] = {}
    for group in material.groups:
        subgroup, _, label = group.rpartition(SEPARATOR)
        boxes = material.boxes(quantity.name, group)
        panels.setdefault(label, []).append(BoxRow(subgroup_text(subgroup), boxes))
    every = [b for rows in panels.values() for r in rows for b in r.boxes]
    limits = span([q for b in every for q in b.quantiles])
    charts = tuple(
        box_chart(f"anatomy-{slug(quantity.name)}-{i}", label, rows, axis(quantity), limits)
        for i, (label, rows) in enumerate(panels.items())
        if any(b.quantiles for r in rows for b in r.boxes)
    )
    title = quantity.label[:1].upper() + quantity.label[1:]
    texts = (HOW, FAIR) if first else (HOW_AGAIN, FAIR_AGAIN)
    return Gallery(f"{title}, by label and subgroup", charts, *texts)


def axis(quantity: Quantity) -> str:
    """Return the name of a quantity's axis."""
    return f"{quantity.label}, {quantity.unit}" if quantity.unit else quantity.label
