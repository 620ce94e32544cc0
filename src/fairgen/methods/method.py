"""The methods under comparison; each is a value in one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from fairgen.errors import StudyError
from fairgen.objectives.objective import Diversity, Objective, build_objective


@dataclass(frozen=True)
class Method:
    """Describes one way to fine-tune a generator.

    Attributes:
        name: Key in ``METHODS``.
        resampler: Key in ``RESAMPLERS``: how training images are drawn.
        source: Where the method comes from.
        diversity: The class-diversity term, if it is part of the objective.
        preferences: What preference data it uses; ``none`` so far.
    """

    name: str
    resampler: str
    source: str
    diversity: Diversity | None = None
    preferences: str = "none"

    @property
    def objective(self) -> Objective:
        """Return what the method minimises."""
        return build_objective(self.diversity)

    def as_dict(self) -> dict[str, object]:
        """Return the recipe in JSON's types, for manifests."""
        terms = None if self.diversity is None else dict(vars(self.diversity))
        return {
            "name": self.name,
            "resampler": self.resampler,
            "diversity": terms,
            "preferences": self.preferences,
        }


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        m.name: m
        for m in (
            Method("sd", "natural", "Rombach et al., CVPR 2022: plain fine-tuning"),
            Method("cbrs", "cbrs", "FairGen, Eq. 1 with alpha = 0: class-balanced draws"),
            Method("sqrs", "sqrs", "FairGen, Eq. 2 with alpha = 0: square-root draws"),
            Method(
                "cbdm",
                "natural",
                "Qin et al., CVPR 2023: class-balancing diffusion models",
                Diversity(tau=1.0, gamma=0.25, law="uniform"),
            ),
            Method(
                "fairgen",
                "sqrs",
                "FairGen, Eq. 2 and 4, without preferences",
                Diversity(tau=1.0, gamma=0.0, law="other"),
            ),
        )
    }
)


def find_method(name: str) -> Method:
    """Return the method of that name.

    Raises:
        StudyError: If there is none; the message lists those that exist.
    """
    if name in METHODS:
        return METHODS[name]
    near = get_close_matches(name, METHODS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise StudyError(f"unknown method '{name}'; expected one of {', '.join(METHODS)}{hint}")
