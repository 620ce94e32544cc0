import math
from pathlib import Path

import pytest
from scipy.stats import binom

from fairgen.cohort.schema import Group
from fairgen.errors import PreferenceError
from fairgen.preferences.judge import Judge, answers_of, better
from fairgen.preferences.pairs import Comparison

GROUP = Group(("dark",), "acne")


def asked(count, prefix="q"):
    return tuple(
        Comparison(f"{prefix}{i}", GROUP, "acne", Path(f"{2 * i}"), Path(f"{2 * i + 1}"))
        for i in range(count)
    )


def judge(error_rate=0.0, fit=lambda path, _: float(path.name) % 2):
    return Judge("oracle", lambda: fit, error_rate=error_rate)  # the right image fits better


def choices(answers):
    return [a.choice for a in answers]


@pytest.mark.parametrize(
    ("left", "right", "choice"),
    [
        (1.0, 2.0, "right"), (-1.0, -2.0, "left"), (1.0, 1.0, "both"), (-math.inf, -9.0, "right"),
        (math.nan, -9.0, "right"), (-math.inf, math.nan, "left"), (math.nan, math.nan,
        "cannot judge"), (-math.inf, -math.inf, "both"),
    ],
)  # fmt: skip
def test_the_better_fit_wins_and_what_cannot_be_told_loses(left, right, choice):
    assert better(left, right) == choice


def test_without_errors_the_better_image_always_wins():
    answers = answers_of(judge(), asked(200), seed=3)
    assert set(choices(answers)) == {"right"}
    assert {a.rater for a in answers} == {"oracle"}
    assert [a.comparison for a in answers] == [c.id for c in asked(200)]


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_the_error_rate_is_the_share_of_answers_turned_round(rate):
    turned = choices(answers_of(judge(rate), asked(1000), seed=0)).count("left")
    low, high = binom.interval(0.999, 1000, rate)
    assert low <= turned <= high


def test_seed_and_name_alone_decide_what_is_turned_round():
    def turned(questions, seed):
        answers = answers_of(judge(0.3), questions, seed=seed)
        return {a.comparison for a in answers if a.choice == "left"}

    every = turned(asked(300), 1)
    assert turned(asked(300), 1) == turned(asked(300)[::-1], 1) == every
    assert turned(asked(100), 1) == every & {c.id for c in asked(100)}
    assert turned(asked(300), 2) != every
    assert {q.removeprefix("p") for q in turned(asked(300, "p"), 1)} != {q[1:] for q in every}


def test_what_is_no_preference_is_not_turned_round():
    equal = judge(0.5, lambda path, _: 1.0)
    assert set(choices(answers_of(equal, asked(50), seed=0))) == {"both"}
    blind = judge(0.5, lambda path, _: math.nan)
    assert set(choices(answers_of(blind, asked(50), seed=0))) == {"cannot judge"}


def test_an_image_is_looked_at_once_for_each_group():
    seen = []

    def fit(path, group):
        seen.append((path, group))
        return 0.0

    questions = asked(3)
    answers_of(judge(fit=fit), questions * 2, seed=0)
    assert len(seen) == len(set(seen)) == 6


@pytest.mark.parametrize("rate", [-0.1, 0.51, math.nan])
def test_an_error_rate_beyond_a_half_is_refused(rate):
    with pytest.raises(PreferenceError, match=r"expected 0 to 0\.5"):
        judge(rate)
