from pathlib import Path

import pytest

from fairgen.engine.settings import TrainSettings
from fairgen.errors import StudyError
from fairgen.study.config import read_study
from fairgen.study.overrides import override, parse_value

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_every_study_that_ships_can_be_read(path):
    data = [] if "[data.phantom]" in path.read_text() else ["data.root=/data"]
    study = read_study(path, data)
    assert study.name == path.stem
    assert set(study.methods) <= set(study.recipes())
    assert path.read_text().startswith("# ")


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
        ("arms.a.like=sd", r"small.toml: arms\.a: changes nothing"),
        ("arms.a.lik=sd", r"small.toml: arms\.a\.lik: unknown; did you mean like\?"),
        ("arms.a.after=sd", r"small.toml: arms\.a\.like: Field required"),
        ("preferences.sorce=oracle", r"preferences\.sorce: unknown; did you mean source\?"),
        ("preferences.source=doctors", r"preferences\.source: .*'oracle'"),
        ("preferences.source=file", r"preferences\.file: None; .*expected a preference file"),
        ("preferences.file=a.jsonl", r"preferences\.file: a\.jsonl; source is none; expected none"),
        ("preferences.error_rate=0.6", r"preferences\.error_rate: .*equal to 0.5"),
        ("preferences.reward.step=1", r"preferences\.reward\.step: unknown; did you mean steps\?"),
        ("train", "expected KEY=VALUE"),
        ("name.first=x", "'name' is a value, not a table"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(assignment, message, small):
    with pytest.raises(StudyError, match=message) as caught:
        read_study(small, [assignment])
    assert "\n" not in str(caught.value)


ORACLE = ["preferences.source=oracle"]
REWARD = ["arms.a.like=fairgen", "methods=['sd', 'a']"]


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["methods=['sd']"], r"preferences\.source: oracle; no method of this study learns"),
        (
            ["preferences.source=proxy", "preferences.error_rate=0.1"],
            r"preferences\.error_rate: 0\.1; source is proxy; expected 0",
        ),
        (["preferences.candidates=6"], r"preferences\.candidates: 6 make 15 pairs .* least the 20"),
        (
            [*REWARD, "arms.a.method.alignment.reward=margin", "preferences.candidates=24"],
            r"preferences\.candidates: 24 for 20 pairs of a group; expected at least 25",
        ),
        (
            [
                *REWARD,
                "arms.a.method.alignment={reward='margin', variant='diffusion-dpo'}",
            ],
            r"arms\.a\.method\.alignment\.reward: margin; diffusion-dpo takes none",
        ),
        (
            [*REWARD, "arms.a.method.alignment.reward=x0", "preferences.reward.backbone=dinov2"],
            r"arms\.a\.method\.alignment\.reward: x0 needs a reward model on latents",
        ),
    ],
)
def test_preferences_that_nobody_can_use_are_refused_by_their_key(assignments, message, small):
    with pytest.raises(StudyError, match=f"small.toml: {message}") as caught:
        read_study(small, ORACLE + assignments)
    assert "\n" not in str(caught.value)


def test_fewer_candidates_are_allowed_where_more_pairs_may_be_dropped(small):
    own = ["arms.a.method.alignment.reward=margin", "preferences.candidates=12"]
    study = read_study(small, ORACLE + REWARD + own + ["preferences.reward.max_dropped=0.6"])
    assert study.preferences.candidates == 12


def test_without_preferences_no_recipe_has_an_alignment(small):
    arms = ["arms.a.like=fairgen", "arms.a.method.alignment.beta=1.0", "methods=['fairgen', 'a']"]
    found = read_study(small, arms).recipes()
    assert list(found) == ["fairgen", "a"]
    assert all(r.method.alignment is None for r in found.values())
    asked = read_study(small, arms + ORACLE).recipes()
    assert list(asked) == ["sd", "fairgen", "a"]
    assert asked["a"].method.alignment.beta == 1.0


def test_a_study_without_classifiers_can_be_read(small):
    assert read_study(small, ["downstream.classifiers=[]"]).downstream.classifiers == ()


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
