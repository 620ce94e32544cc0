from collections import Counter
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from tests.preferences.conftest import SCHEMA, SOURCE, generated

from fairgen.cohort.schema import Group
from fairgen.errors import CohortError, PreferenceError
from fairgen.preferences.pairs import (
    CHOICES,
    Answer,
    Comparison,
    draw_comparisons,
    pairing,
    preferences_of,
)

ASKED = tuple(
    Comparison(f"q{i}", Group(("dark",), "acne"), "acne, please", Path(f"{i}l"), Path(f"{i}r"))
    for i in range(5)
)


def pairs(found):
    return [frozenset((c.left, c.right)) for c in found]


def test_every_group_is_asked_about_alike_and_no_pair_twice(folder):
    found = draw_comparisons(folder, per_group=5, seed=1)
    assert Counter(c.group for c in found) == dict.fromkeys(SCHEMA.groups(), 5)
    assert len(set(pairs(found))) == len({c.id for c in found}) == 20
    own = {folder.path(r): r.group for r in folder.cohort.records}
    for asked in found:
        assert own[asked.left] == own[asked.right] == asked.group
        assert asked.left != asked.right
        assert asked.text == folder.prompts.render(asked.group)


def test_all_pairs_of_a_group_can_be_asked_for(folder):
    found = pairs(draw_comparisons(folder, per_group=6, seed=0))
    for group in SCHEMA.groups():
        images = [folder.path(r) for r in folder.cohort.records if r.group == group]
        assert {frozenset(p) for p in combinations(images, 2)} <= set(found)


def test_the_seed_alone_decides(folder):
    once, again, other = (draw_comparisons(folder, per_group=3, seed=s) for s in (1, 1, 2))
    assert once == again
    assert [(c.left, c.right) for c in once] != [(c.left, c.right) for c in other]


def test_pairs_are_drawn_uniformly_and_their_sides_too(folder):
    count, left = Counter(), 0
    for seed in range(300):
        for asked in draw_comparisons(folder, per_group=2, seed=seed):
            count[frozenset((asked.left, asked.right))] += 1
            left += asked.left < asked.right
    assert len(count) == 24
    assert min(count.values()) > 100 - 4 * 10  # expected: 2 of 6 pairs 300 times
    assert max(count.values()) < 100 + 4 * 10
    assert left / 2400 == pytest.approx(0.5, abs=0.04)


def test_the_groups_are_mixed(folder):
    found = draw_comparisons(folder, per_group=6, seed=0)
    runs = sum(a.group != b.group for a, b in pairwise(found))
    assert runs > 10


@pytest.mark.parametrize("players", [2, 3, 4, 5, 8, 9])
def test_in_a_tournament_each_meets_each_once_and_nobody_plays_twice_in_a_round(players):
    total = players * (players - 1) // 2
    games = [pairing(players, i) for i in range(total)]
    assert {frozenset(g) for g in games} == {
        frozenset((a, b)) for a in range(players) for b in range(a)
    }
    for start in range(0, total, players // 2):
        round_ = [p for game in games[start : start + players // 2] for p in game]
        assert len(set(round_)) == len(round_)


def test_no_image_is_shown_again_before_all_others_were(folder):
    for group in folder.cohort.schema.groups():
        own = sum(r.group == group for r in folder.cohort.records)
        asked = draw_comparisons(folder, per_group=own // 2, seed=4)
        shown = [p for c in asked if c.group == group for p in (c.left, c.right)]
        assert len(set(shown)) == len(shown)


def test_a_real_cohort_is_refused(tmp_path):
    real = generated(tmp_path / "real", ("good", "good"), source={"phantom": "toy"})
    with pytest.raises(CohortError, match="is no generated set"):
        draw_comparisons(real, per_group=1, seed=0)


def test_a_group_with_too_few_images_is_refused(folder):
    def keep(most):
        kept = folder.cohort.select(lambda r: r.group.key != "light|acne" or r.image[9] < str(most))
        return replace(folder, cohort=kept)

    for most, asked, message in (
        (0, 1, "0 distinct images, which make 0 pairs; expected at least 1"),
        (1, 1, "1 distinct images, which make 0 pairs; expected at least 1"),
        (3, 4, "3 distinct images, which make 3 pairs; expected at least 4"),
    ):
        with pytest.raises(CohortError) as error:
            draw_comparisons(keep(most), per_group=asked, seed=0)
        assert str(error.value) == f"{folder.root}: group 'light|acne' has {message}"


def test_no_question_at_all_is_refused(folder):
    with pytest.raises(PreferenceError, match="0 comparisons a group; expected at least 1"):
        draw_comparisons(folder, per_group=0, seed=0)


def test_of_equal_files_one_takes_part(folder):
    first, *_, last = (r for r in folder.cohort.records if r.group.key == "dark|acne")
    folder.path(last).write_bytes(folder.path(first).read_bytes())
    found = draw_comparisons(folder, per_group=3, seed=0)
    shown = {path for c in found if c.group.key == "dark|acne" for path in (c.left, c.right)}
    assert shown == {folder.path(r) for r in folder.cohort.records[:3]}


def test_only_left_and_right_are_preferences():
    answers = [Answer(c.id, choice) for c, choice in zip(ASKED, CHOICES, strict=True)]
    left, right = preferences_of(ASKED, answers)
    assert (left.winner, left.loser) == (Path("0l"), Path("0r"))
    assert (right.winner, right.loser) == (Path("1r"), Path("1l"))
    assert (left.group, left.text) == (ASKED[0].group, "acne, please")


def test_a_preference_says_who_when_and_why_and_raters_may_differ():
    answers = [Answer("q3", "left", "ann", "today", "scale"), Answer("q3", "right", "bob")]
    ann, bob = preferences_of(ASKED, answers)
    assert (ann.rater, ann.time, ann.reason) == ("ann", "today", "scale")
    assert (ann.winner, bob.winner) == (bob.loser, ann.loser)


def test_an_answer_without_a_question_and_an_unknown_one_are_refused():
    with pytest.raises(PreferenceError, match="answer to 'q9': no comparison has that name"):
        preferences_of(ASKED, [Answer("q9", "left")])
    with pytest.raises(PreferenceError) as error:
        Answer("q1", "maybe")
    assert str(error.value) == (
        "comparison 'q1': unknown answer 'maybe'; expected one of left, right, both, neither, "
        "cannot judge"
    )


def test_the_source_of_the_toy_set_is_as_generation_writes_it(folder):
    assert dict(folder.source) == SOURCE
