"""The methods under comparison; each is a value in one table, and any part can be replaced."""

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, field_validator

from fairgen.cohort.resample import find_resampler
from fairgen.errors import CohortError, StudyError
from fairgen.objectives.diversity import Diversity
from fairgen.objectives.gradient_norm import Awareness
from fairgen.objectives.objective import Objective, build_objective
from fairgen.objectives.perturbation import Perturbation
from fairgen.objectives.preference import Alignment


class Method(BaseModel, extra="forbid", frozen=True):
    """Describes one way to fine-tune a generator; a part may be left out by ``none``.

    Attributes:
        name: Key in ``METHODS``, or the name of a study's own arm.
        source: Where the method comes from.
        resampler: Key in ``RESAMPLERS``: how training images are drawn.
        awareness: Lifts the draws of groups that are hard (Eq. 1, 2), if it is part of the method.
        diversity: The class-diversity term (Eq. 4), if it is part of the objective.
        perturbation: FairDiffusion's perturbed weights, if they are part of the objective.
        alignment: The preference term (Eq. 7, 8), which is in force where a preference file is
            given.
    """

    name: str
    source: str = ""
    resampler: str = "natural"
    awareness: Awareness | None = None
    diversity: Diversity | None = None
    perturbation: Perturbation | None = None
    alignment: Alignment | None = None

    @field_validator("awareness", "diversity", "perturbation", "alignment", mode="before")
    @classmethod
    def _left_out(cls, value: Any) -> Any:  # noqa: ANN401 - whatever a file can hold
        return None if value is False or value == "none" else value

    @field_validator("resampler")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return find_resampler(value).name
        except CohortError as error:
            raise ValueError(str(error)) from error

    @property
    def objective(self) -> Objective:
        """Return what the method minimises."""
        return build_objective(self.diversity, self.alignment)

    @property
    def without_preferences(self) -> "Method":
        """Return the method as it is where no preference file is given."""
        return self.model_copy(update={"alignment": None})

    def as_dict(self) -> dict[str, object]:
        """Return the recipe in JSON's types, for manifests."""
        return self.model_dump(mode="json", exclude={"source"})


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        m.name: m
        for m in (
            Method(name="sd", source="Rombach et al., CVPR 2022: plain fine-tuning"),
            Method(
                name="cbrs",
                resampler="cbrs",
                source="FairGen, Eq. 1 with alpha = 0: class-balanced draws",
            ),
            Method(
                name="sqrs",
                resampler="sqrs",
                source="FairGen, Eq. 2 with alpha = 0: square-root draws",
            ),
            Method(
                name="cbdm",
                diversity=Diversity(tau=1.0, gamma=0.25, law="uniform"),
                source="Qin et al., CVPR 2023: class-balancing diffusion models",
            ),
            Method(
                name="fairdiffusion",
                perturbation=Perturbation(mode="faithful"),
                source="Luo et al., Science Advances 2025: fair Bayesian perturbation",
            ),
            Method(
                name="fairgen",
                resampler="sqrs",
                awareness=Awareness(),
                diversity=Diversity(tau=1.0, gamma=0.0, law="other"),
                alignment=Alignment(),
                source="FairGen, Eq. 2 to 8",
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
