import pytest

from fairgen.errors import CohortError, StudyError
from fairgen.intake.sources import SOURCES, find_source

ALL = sorted(SOURCES.values(), key=lambda s: s.name)
EACH = pytest.mark.parametrize("source", ALL, ids=lambda s: s.name)
NEEDED = {("chexpert", "paper-chest"): {"covid": "covid"}}


@EACH
def test_every_preset_holds_only_known_settings(source):
    for preset in source.presets:
        options = NEEDED.get((source.name, preset), {})
        assert isinstance(source.settings(preset, options), source.options)


@EACH
def test_every_source_says_what_it_is_and_what_it_asks_of_its_users(source):
    assert source.about
    assert source.layouts
    text = source.terms.text()
    for part in ("Licence: ", "Conditions: ", "Consent and approval: ", "Cite: "):
        assert text.split(part)[1].strip()


@EACH
def test_unknown_settings_and_presets_are_refused(source):
    with pytest.raises(StudyError, match=f"import {source.name}: 'colour'; "):
        source.settings(options={"colour": 1})
    with pytest.raises(StudyError, match=f"import {source.name}: preset 'nothing'; "):
        source.settings("nothing")


@EACH
def test_a_folder_that_is_missing_or_empty_is_refused(source, tmp_path):
    settings = source.settings()
    for root in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(CohortError, match=r"expected|no such table"):
            source.plan(root, settings)


def test_dashes_and_underscores_in_names_are_the_same():
    assert find_source("mimic-cxr") is SOURCES["mimic_cxr"]


def test_an_unknown_source_is_refused_with_the_nearest_name():
    with pytest.raises(StudyError, match=r"'chexprt'; unknown; did you mean chexpert\?"):
        find_source("chexprt")


def test_a_users_option_counts_before_the_presets():
    settings = SOURCES["ixi"].settings("external-mri", {"bounds": (50,)})
    assert settings.model_dump()["bounds"] == (50,)
    assert settings.model_dump()["sequence"] == "T1"


def test_a_wrong_value_is_refused_in_one_line():
    with pytest.raises(StudyError, match=r"import isic: age_bound: .*found '0'|found 0"):
        SOURCES["isic"].settings(options={"age_bound": 0})
