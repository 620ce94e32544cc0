"""FairGen: demographically fair medical image synthesis, from a cohort folder to a report.

The public names are loaded on first use, so that ``import fairgen`` costs next to nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Attribute": "fairgen.cohort.schema",
    "Cohort": "fairgen.cohort.cohort",
    "ClassifySettings": "fairgen.classifiers",
    "CohortFolder": "fairgen.files.folder",
    "ExtractorSettings": "fairgen.engine.features",
    "FairGenError": "fairgen.errors",
    "Feedback": "fairgen.engine.pairs",
    "Group": "fairgen.cohort.schema",
    "METHODS": "fairgen.methods",
    "Method": "fairgen.methods",
    "Origin": "fairgen.study.scoring",
    "Record": "fairgen.cohort.cohort",
    "RewardSettings": "fairgen.engine.reward",
    "SampleSettings": "fairgen.engine.sampling",
    "Schema": "fairgen.cohort.schema",
    "SplitSettings": "fairgen.cohort.split",
    "TableSettings": "fairgen.intake.spec",
    "TinySettings": "fairgen.engine.tiny",
    "TrainSettings": "fairgen.engine.settings",
    "audit": "fairgen.files.facts:audit_any",
    "classify": "fairgen.classifiers",
    "divide": "fairgen.cohort.split",
    "export_pipeline": "fairgen.engine.export",
    "generate": "fairgen.engine.generate",
    "import_cohort": "fairgen.intake.table:import_table",
    "load_reward": "fairgen.engine.reward",
    "make_tiny": "fairgen.engine.tiny",
    "open_generator": "fairgen.engine.generate",
    "parse_attribute": "fairgen.intake.spec",
    "parse_label": "fairgen.intake.spec",
    "planned": "fairgen.engine.generate",
    "read_cohort": "fairgen.files.folder",
    "read_preferences": "fairgen.files.preferences",
    "read_study": "fairgen.study.config",
    "run_study": "fairgen.study.run",
    "score_fidelity": "fairgen.study.scoring",
    "score_predictions": "fairgen.study.scoring",
    "split_cohort": "fairgen.cohort.split",
    "split_folder": "fairgen.files.layout",
    "train": "fairgen.engine.train",
    "train_extractor": "fairgen.engine.features",
    "train_reward": "fairgen.engine.reward",
    "write_phantom": "fairgen.intake.phantom",
    "write_preferences": "fairgen.files.preferences",
    "write_report": "fairgen.report",
    "write_review": "fairgen.preferences.review",
}

__all__ = [*sorted(_HOMES), "__version__", "metrics"]  # noqa: PLE0604 - names, all of them texts


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name == "metrics":
        return import_module("fairgen.metrics")
    if name not in _HOMES:
        raise AttributeError(f"module 'fairgen' has no attribute '{name}'")
    home, _, own = _HOMES[name].partition(":")
    return getattr(import_module(home), own or name)


def __dir__() -> list[str]:
    return sorted(__all__)
