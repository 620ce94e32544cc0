"""A study, or one fold of it, in the place where it is run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairgen.files.folder import CohortFolder, read_cohort
from fairgen.study.config import Study
from fairgen.study.stages import Stages


@dataclass(frozen=True)
class Part:
    """Holds a study, or one fold of it, where it lies, and the record of its stages.

    Attributes:
        study: What to do.
        out: The run folder.
        stages: Which of its stages are done.
        place: Where in the run folder this part lies: empty, or such as ``fold0/``.
    """

    study: Study
    out: Path
    stages: Stages
    place: str = ""

    @property
    def root(self) -> Path:
        """Return the folder of this part."""
        return self.out / self.place

    @property
    def base(self) -> str:
        """Return the base that is fine-tuned: the study's own, or the tiny one of the run."""
        return self.study.base.path or str(self.root / "base")

    def cohort(self) -> CohortFolder:
        """Return the run's cohort."""
        return read_cohort(self.root / "cohort")

    def make(self, name: str, inputs: Any, make: Callable[[Path], object]) -> str:  # noqa: ANN401
        """Run a stage of this part; see ``Stages.make``."""
        return self.stages.make(f"{self.place}{name}", inputs, make)
