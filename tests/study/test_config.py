from pathlib import Path

import pytest

from fairgen.engine.settings import TrainSettings
from fairgen.errors import StudyError
from fairgen.study.config import read_study
from fairgen.study.overrides import override, parse_value

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_every_study_that_ships_can_be_read(path):
    embedded = path.stem == "demo" or path.stem.startswith("phantom_")
    data = [] if embedded else ["data.root=/data"]
    assert read_study(path, data).name == path.stem


def test_settings_from_the_command_line_lie_over_the_file(small):
    study = read_study(small, ["train.steps=7", "methods=['sd']", "base.path=some/folder"])
    assert study.train.steps == 7
    assert study.methods == ("sd",)
    assert study.base.path == "some/folder"


def test_values_are_read_as_toml_or_as_text():
    assert parse_value("3") == 3
    assert parse_value("true") is True
    assert parse_value("[1, 2]") == [1, 2]
    assert parse_value("../data/nih") == "../data/nih"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.step=3", r"train\.step: unknown; did you mean steps\?"),
        ("trian.steps=3", r"trian: unknown; did you mean train\?"),
        ("train.steps=many", r"train\.steps: .*integer.*found 'many'"),
        ("train.steps=0", r"train\.steps: .*greater than or equal to 1"),
        ("methods=['sd', 'sqrt']", "unknown method 'sqrt'"),
        ("methods=['sd', 'sd']", "one is named twice"),
        ("downstream.classifiers=['resnet']", "small.toml: downstream: .*unknown 'resnet'"),
        ("downstream.settings.model='x'", "small.toml: downstream: .*'vit-tiny' reads it not"),
        ("generate.sample.sampler=euler", "small.toml: generate.sample.sampler: unknown sampler"),
        ("data.phantom.name=heart", "small.toml: data.phantom.name: unknown phantom 'heart'"),
        ("data.phantom.seed=-1", "data.phantom.seed: .*greater than or equal to 0"),
        ("generate.guidance=[0.5]", "generate.guidance.0: .*greater than or equal to 1"),
        ("generate.guidance=[inf]", "generate.guidance.0: .*finite"),
        ("downstream.ratio=nan", "downstream.ratio: .*finite"),
        ("downstream.ratio=0", "downstream.ratio: .*greater than 0"),
        ("seeds=[-1]", "seeds.0: .*greater than or equal to 0"),
        ("split.fractions=[1, 0, 0]", "small.toml: split: fractions 1.0, 0.0, 0.0; expected"),
        ("data.root=here", "found both of root and phantom"),
        ("train", "expected KEY=VALUE"),
        ("name.first=x", "'name' is a value, not a table"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(assignment, message, small):
    with pytest.raises(StudyError, match=message) as caught:
        read_study(small, [assignment])
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_file_is_refused(tmp_path):
    with pytest.raises(StudyError, match="no such file"):
        read_study(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(StudyError, match="is not TOML"):
        read_study(tmp_path / "broken.toml")


def test_options_override_single_settings():
    settings = override(TrainSettings(), ["learning_rate=0.001"])
    assert settings.learning_rate == 0.001
    assert settings.steps == TrainSettings().steps
    with pytest.raises(StudyError, match="did you mean learning_rate"):
        override(TrainSettings(), ["learning_rat=1"])
