"""What is refused before a run writes anything: what is missing, and another study's folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairgen.classifiers import find_classifier
from fairgen.engine.backbone import check_base
from fairgen.engine.checks import check_groups, check_machine
from fairgen.engine.reward import LEAST
from fairgen.engine.reward_network import load_eye
from fairgen.errors import StudyError
from fairgen.files.folder import CohortFolder, read_cohort
from fairgen.files.mapping import read_mapping
from fairgen.files.preferences import read_preferences
from fairgen.intake.phantom import describe, find_phantom
from fairgen.intake.source import flat
from fairgen.modalities.modality import Prompts
from fairgen.study.anatomy import oracle_of
from fairgen.study.config import Study, check_preferences
from fairgen.study.data import data_inputs
from fairgen.study.stages import STUDY, Stages, stage_key


def check_study(study: Study) -> None:
    """Raise unless the arms, the data, the base, the classifiers and the machine are at hand.

    Raises:
        FairGenError: If not.
    """
    recipes = study.recipes()
    check_preferences(study)
    data_inputs(study)
    for recipe in recipes.values():
        check_machine(recipe.train)
    if study.base.path is not None:
        check_base(study.base.path)
    for name in study.downstream.classifiers:
        own = study.downstream.settings.model_copy(update={"classifier": name})
        find_classifier(own).resolve(own)
    _check_raters(study)


def check_cohort(study: Study, cohort: CohortFolder) -> None:
    """Raise unless the split cohort can be trained on, and a preference file speaks of it.

    Raises:
        FairGenError: If not.
    """
    for recipe in study.recipes().values():
        check_groups(cohort, recipe.train)
    own, groups = study.preferences, len(cohort.cohort.schema.groups())
    if own.file is not None:
        read_preferences(own.file, cohort.prompts)
    if own.drawn and _rewarded(study) and own.per_group * groups < LEAST:
        raise StudyError(
            f"preferences.per_group: {own.per_group} of {groups} groups; expected {LEAST} pairs or "
            "more in all, as a method takes a reward model"
        )


def _rewarded(study: Study) -> bool:
    return any(recipe.takes_reward for recipe in study.recipes().values())


def _check_raters(study: Study) -> None:
    """Raise unless whoever is asked for preferences can be asked.

    Raises:
        FairGenError: If not.
    """
    own = study.preferences
    phantom = oracle_of(study)
    if own.source == "oracle" and (phantom is None or not phantom.looked_at):
        raise StudyError(
            "preferences.source: oracle; the study is about no phantom whose anatomy is known; "
            "expected data.phantom, or proxy, file or none"
        )
    if own.reward.backbone is not None and _rewarded(study):
        load_eye(own.reward.backbone, own.reward.size)
    if own.file is None:
        return
    if not own.file.is_file():
        raise StudyError(f"preferences.file: {own.file}: no such file")
    prompts = _known_prompts(study)
    if prompts is not None:
        read_preferences(own.file, prompts)


def _known_prompts(study: Study) -> Prompts | None:
    """Return how the study's groups are worded, if that is known before a table is imported."""
    data = study.data
    if data.phantom is not None:
        return describe(find_phantom(data.phantom.name), Path(), {}, {}).prompts
    if data.root is not None and data.table is None:
        return read_cohort(data.root).prompts
    return None


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
