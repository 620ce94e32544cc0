"""Public releases of medical images, each described by a value; ``import_source`` brings one in."""

from fairgen.intake.sources.deliver import How, import_source
from fairgen.intake.sources.plan import Plan
from fairgen.intake.sources.registry import SOURCES, find_source
from fairgen.intake.sources.release import Source

__all__ = ["SOURCES", "How", "Plan", "Source", "find_source", "import_source"]
