"""What is refused before a run writes anything: what is missing, and another study's folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairgen.classifiers import find_classifier
from fairgen.engine.backbone import check_base
from fairgen.engine.checks import check_machine
from fairgen.errors import StudyError
from fairgen.files.mapping import read_mapping
from fairgen.intake.source import flat
from fairgen.study.config import Study
from fairgen.study.data import data_inputs
from fairgen.study.stages import STUDY, Stages, stage_key


def check_study(study: Study) -> None:
    """Raise unless the data, the base, the classifiers' weights and the machine are at hand.

    Raises:
        FairGenError: If not.
    """
    data_inputs(study)
    check_machine(study.train)
    if study.base.path is not None:
        check_base(study.base.path)
    for name in study.downstream.classifiers:
        own = study.downstream.settings.model_copy(update={"classifier": name})
        find_classifier(own).resolve(own)


def difference(stages: Stages, parts: Sequence[tuple[str, Study]]) -> str:
    """Return how a study's data differ from those that a run folder holds; empty if they agree.

    Args:
        stages: What the run folder holds.
        parts: Place and study of every fold; one nameless place where there are none.
    """
    begun = {name: s for name, s in stages.done.items() if name.split("/")[-1] == "cohort"}
    if not begun:
        return ""
    wanted = {f"{place}cohort": data_inputs(study) for place, study in parts}
    same = all(
        name in begun and begun[name].get("key") == stage_key(name, w) for name, w in wanted.items()
    )
    found, asked = _described(stages.root), _description(parts[0][1])
    if same and found.get("name", asked["name"]) == asked["name"]:
        return ""
    keys = [k for k in asked if found.get(k, asked[k]) != asked[k]]
    named = [f"{k} was {found[k]!r}, is {asked[k]!r}" for k in keys]
    named += [f"{k} is new since the version that made it" for k in asked if k not in found]
    return named[0] if named else "the content of the data's table or cohort"


def _described(root: Path) -> Mapping[str, Any]:
    path = root / STUDY
    if not path.is_file():
        return {}
    found = read_mapping(path, StudyError, "the settings of a run")
    return flat({key: found[key] for key in ("name", "data", "split") if key in found})


def _description(study: Study) -> Mapping[str, Any]:
    content = json.loads(study.model_dump_json(include={"name", "data", "split"}))
    return flat(content)
