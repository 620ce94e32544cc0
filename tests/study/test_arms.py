import pytest

from fairgen.engine.settings import TrainSettings
from fairgen.errors import StudyError
from fairgen.methods import METHODS
from fairgen.objectives import Alignment, Diversity
from fairgen.study.arms import Arm, merged, resolve

TRAIN = TrainSettings(steps=1000)


def recipes(names, arms, first=()):
    made = {name: Arm.model_validate(arm) for name, arm in arms.items()}
    return resolve(names, made, TRAIN, first=first)


def test_methods_without_arms_are_what_the_table_says():
    found = recipes(["sd", "fairgen"], {})
    assert list(found) == ["sd", "fairgen"]
    assert found["fairgen"].method == METHODS["fairgen"]
    assert found["fairgen"].train == TRAIN
    assert found["fairgen"].after is None


def test_tables_are_laid_over_one_another_and_other_values_replaced():
    below = {"a": {"b": 1, "c": 2}, "d": (1, 2), "e": {"f": 1}}
    above = {"a": {"c": 3, "g": {"h": 4}}, "d": (5,), "e": "none"}
    assert merged(below, above) == {"a": {"b": 1, "c": 3, "g": {"h": 4}}, "d": (5,), "e": "none"}


def test_an_arm_is_like_its_model_but_for_what_it_changes():
    arms = {"soft": {"like": "fairgen", "method": {"diversity": {"tau": 0.5}}}}
    own, model = recipes(["soft"], arms)["soft"].method, METHODS["fairgen"]
    assert own.diversity == Diversity(tau=0.5, gamma=0.0, law="other")
    assert (own.name, own.source) == ("soft", "")
    for part in ("resampler", "awareness", "perturbation", "alignment"):
        assert getattr(own, part) == getattr(model, part)


@pytest.mark.parametrize("left_out", ["none", False])
def test_a_part_is_left_out_by_none(left_out):
    arms = {"plain": {"like": "fairgen", "method": {"diversity": left_out}}}
    assert recipes(["plain"], arms)["plain"].method.diversity is None


def test_a_part_that_the_model_lacks_begins_from_its_defaults():
    arms = {"added": {"like": "sd", "method": {"alignment": {"variant": "diffusion-dpo"}}}}
    found = recipes(["added"], arms)["added"].method
    assert found.alignment == Alignment(variant="diffusion-dpo")


ARMS = {
    "more": {"like": "sd", "after": "sqrs", "train": {"steps": 300, "learning_rate": 3e-4}},
    "dpo": {"like": "more", "method": {"alignment": {"variant": "diffusion-dpo"}}},
    "fresh": {"like": "dpo", "after": "none"},
    "third": {"like": "more", "after": "more"},
}


def test_an_arm_of_an_arm_has_its_training_and_its_start_too():
    found = recipes(["dpo", "fresh", "third"], ARMS)
    assert found["dpo"].train == TRAIN.model_copy(update={"steps": 300, "learning_rate": 3e-4})
    assert found["dpo"].after == "sqrs"
    assert found["fresh"].after is None
    assert found["fresh"].train.steps == 300


def test_what_a_training_begins_from_is_trained_before_it():
    arms = {k: v for k, v in ARMS.items() if k != "fresh"}
    assert list(recipes(["third", "dpo"], arms)) == ["sqrs", "more", "third", "dpo"]
    assert list(recipes(["third", "dpo", "sqrs"], arms, first=["sd"])) == [
        "sd", "sqrs", "more", "third", "dpo",
    ]  # fmt: skip


REFUSED = [
    ({"sd": {"like": "sqrs", "after": "sd"}}, r"arms\.sd: is a method's own name"),
    ({"real": {"like": "sd", "after": "sd"}}, r"arms\.real: the name is taken; .*candidates"),
    ({"a/b": {"like": "sd", "after": "sd"}}, r"arms\.a/b: expected a name of at most 40 letters"),
    ({"a": {"like": "sqr"}}, r"arms\.a\.like: unknown method 'sqr'; .*did you mean sqrs\?"),
    ({"a": {"like": "sd", "after": "sdd"}}, r"arms\.a\.after: unknown method 'sdd'; .*mean sd\?"),
    ({"a": {"like": "a"}}, r"arms\.a\.like: leads back to itself \(a -> a\)"),
    (
        {"a": {"like": "b", "after": "sd"}, "b": {"like": "a"}},
        r"arms\.b\.like: leads back to itself \(a -> b -> a\)",
    ),
    ({"a": {"like": "sd", "after": "a"}}, r"arms\.a\.after: leads back to itself \(a -> a\)"),
    (
        {"a": {"like": "b", "train": {"steps": 2}}, "b": {"like": "sd", "after": "a"}},
        r"arms\.a\.after: leads back to itself \(a -> a\)",
    ),
    ({"a": {"like": "sd"}}, r"arms\.a: changes nothing; expected a difference from sd"),
    (
        {"a": {"like": "fairgen", "method": {"diversity": {"law": "other"}}}},
        r"arms\.a: changes nothing; expected a difference from fairgen",
    ),
    (
        {"a": {"like": "sd", "train": {"steps": 1000}, "after": "none"}},
        r"arms\.a: changes nothing",
    ),
    (
        {"a": {"like": "sd", "after": "sd"}, "b": {"like": "sd", "after": "a"}},
        r"arms\.b: is used by nobody; expected it in methods",
    ),
    (
        {"a": {"like": "sd", "method": {"diversity": {"ta": 1}}}},
        r"arms\.a\.method: diversity\.ta: unknown; did you mean tau\?",
    ),
    (
        {"a": {"like": "sd", "method": {"diversty": {}}}},
        r"arms\.a\.method: diversty: unknown; did you mean diversity\?",
    ),
    (
        {"a": {"like": "sd", "method": {"resampler": "cbr"}}},
        r"arms\.a\.method: resampler: .*cbr.*cbrs",
    ),
    (
        {"a": {"like": "sd", "train": {"step": 5}}},
        r"arms\.a\.train: step: unknown; did you mean steps\?",
    ),
    ({"a": {"like": "sd", "train": {"steps": 0}}}, r"arms\.a\.train: steps: .*found '0'"),
    (
        {"a": {"like": "sd", "method": {"name": "b"}}},
        r"arms\.a\.method\.name: an arm is named by its table",
    ),
]


@pytest.mark.parametrize(("arms", "message"), REFUSED)
def test_an_arm_that_cannot_be_is_refused_by_its_key(arms, message):
    with pytest.raises(StudyError, match=message) as caught:
        recipes(["a"] if "a" in arms else list(arms), arms)
    assert "\n" not in str(caught.value)


def test_an_arm_that_no_method_names_is_checked_too():
    arms = {"a": {"like": "b", "after": "none"}, "b": {"like": "sd", "after": "sdd"}}
    with pytest.raises(StudyError, match=r"arms\.b\.after: unknown method 'sdd'"):
        recipes(["a"], arms)


def test_a_method_that_is_neither_known_nor_an_arm_is_refused():
    with pytest.raises(StudyError, match=r"methods: unknown method 'dop'; .*did you mean dpo\?"):
        recipes(["dop"], ARMS)
