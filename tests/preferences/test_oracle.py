from dataclasses import replace

import numpy as np
import pytest
from tests.preferences.conftest import SCHEMA, SOURCE, TOY, colour, generated, measure

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Schema
from fairgen.errors import PreferenceError
from fairgen.files.folder import CohortFolder, write_cohort
from fairgen.files.image import write_image
from fairgen.modalities.modality import Prompts, find_modality
from fairgen.phantoms import PHANTOMS
from fairgen.phantoms.phantom import balanced
from fairgen.preferences.judge import answers_of
from fairgen.preferences.oracle import fit_oracle, oracle_judge, phantom_of
from fairgen.preferences.pairs import Comparison, draw_comparisons, preferences_of

pytestmark = pytest.mark.usefixtures("toy_oracle")


def answered(folder, per_group=6, **options):
    comparisons = draw_comparisons(folder, per_group=per_group, seed=0)
    judge = oracle_judge(folder, per_group=30, **options)
    return comparisons, answers_of(judge, comparisons, seed=0)


def shown(path):
    """Return what an image shows, by its name: good, bad or black."""
    return path.stem.split("-")[-1]


def test_the_planted_better_image_always_wins(folder):
    comparisons, answers = answered(folder)
    mixed = [p for p in preferences_of(comparisons, answers) if shown(p.winner) != shown(p.loser)]
    assert len(mixed) == 16
    assert {(shown(p.winner), shown(p.loser)) for p in mixed} == {("good", "bad")}


def test_the_image_whose_anatomy_is_likelier_wins_without_errors(folder):
    comparisons, answers = answered(folder)
    oracle = fit_oracle(TOY, 8, 30)
    for asked, answer in zip(comparisons, answers, strict=True):
        left, right = (oracle.fit(path, asked.group) for path in (asked.left, asked.right))
        assert answer.choice == ("left" if left > right else "right")


def test_the_order_and_the_side_of_images_change_nothing(folder):
    comparisons, answers = answered(folder)
    judge = oracle_judge(folder, per_group=30)
    swapped = [replace(c, left=c.right, right=c.left) for c in comparisons[::-1]]
    turned = {"left": "right", "right": "left"}
    again = answers_of(judge, swapped, seed=0)
    assert [turned[a.choice] for a in again[::-1]] == [a.choice for a in answers]


def test_an_image_that_cannot_be_measured_loses_and_two_are_not_judged(tmp_path):
    made = generated(tmp_path / "made", ("bad", "black", "bad"))
    black = made.path(made.cohort.records[1])
    write_image(made.root / "other.png", np.zeros((9, 9, 3), np.uint8))
    comparisons, answers = answered(made, 3)
    for asked, answer in zip(comparisons, answers, strict=True):
        if "black" in asked.left.stem + asked.right.stem:
            assert answer.choice == ("right" if "black" in asked.left.stem else "left")
    group = SCHEMA.groups()[0]
    both = Comparison("q", group, "acne", black, made.root / "other.png")
    judge = oracle_judge(made, per_group=30)
    assert answers_of(judge, [both], seed=0)[0].choice == "cannot judge"


def test_images_of_equal_anatomy_are_both_good(folder):
    group = SCHEMA.groups()[0]
    paths = [folder.root / f"{i}.png" for i in range(2)]
    for path, side in zip(paths, (8, 16), strict=True):
        write_image(path, np.full((side, side, 3), 90, np.uint8))
    judge = oracle_judge(folder, per_group=30)
    asked = Comparison("q", group, "acne", *paths)
    assert answers_of(judge, [asked], seed=0)[0].choice == "both"


def test_quantities_that_are_kept_back_never_influence_a_choice(folder, monkeypatch):
    _, answers = answered(folder)
    rng = np.random.default_rng(0)

    def meddled(image):
        found = measure(image)
        return found and {**found, "blue": float(rng.normal(0, 1000))}

    other = replace(TOY, measure=meddled)
    monkeypatch.setattr("fairgen.preferences.oracle.PHANTOMS", {"toy": other})
    assert answered(folder)[1] == answers
    nothing = replace(TOY, measure=lambda image: {**measure(image), "blue": float("nan")})
    monkeypatch.setattr("fairgen.preferences.oracle.PHANTOMS", {"toy": nothing})
    assert answered(folder)[1] == answers


def test_the_kept_back_half_agrees_that_the_winner_is_better(folder):
    comparisons, answers = answered(folder)
    mixed = [p for p in preferences_of(comparisons, answers) if shown(p.winner) != shown(p.loser)]
    from fairgen.files.image import read_image

    for preference in mixed:
        wanted = colour(preference.group)[2]
        won, lost = (
            abs(measure(read_image(p))["blue"] - wanted)
            for p in (preference.winner, preference.loser)
        )
        assert won < lost


def test_an_oracle_learns_from_phantoms_that_judge_no_study(folder):
    own = {s.seed for s in balanced(TOY.schema, 80, "toy preference reference")}
    for purpose in ("anatomy reference", "anatomy floor"):
        assert not own & {s.seed for s in balanced(TOY.schema, 80, f"toy {purpose}")}


def test_what_the_oracle_is_stands_in_its_facts(folder):
    judge = oracle_judge(folder, error_rate=0.2)
    assert judge.source == "oracle"
    assert judge.error_rate == 0.2
    assert judge.facts == {
        "phantom": "toy",
        "looked_at": ["red", "green"],
        "kept_back": ["blue"],
        "references_per_group": 80,
        "reference_size": 8,
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"synthetic": True}, "its model was not trained on a phantom (source.trained_on.phantom "
         "is None); expected one, or people or a proxy in place of the oracle"),
        ({**SOURCE, "trained_on": {"table": "a.csv"}}, "its model was not trained on a phantom "
         "(source.trained_on.phantom is None); expected one, or people or a proxy in place of the "
         "oracle"),
        ({**SOURCE, "trained_on": {"phantom": "moon"}}, "its model was not trained on a phantom "
         "(source.trained_on.phantom is 'moon'); expected one, or people or a proxy in place of "
         "the oracle"),
        ({**SOURCE, "trained_on": {"phantom": "mute"}}, "phantom 'mute' has no oracle that could "
         "prefer"),
        ({**SOURCE, "trained_on": {"phantom": "other"}}, "other groups than phantom 'other' "
         "('tone' in place of 'sex')"),
    ],
)  # fmt: skip
def test_a_set_without_an_oracle_is_refused(folder, monkeypatch, source, message):
    other = replace(TOY, schema=Schema((Attribute("sex", ("f", "m")),), SCHEMA.label))
    mute = replace(TOY, looked_at=())
    monkeypatch.setattr("fairgen.preferences.oracle.PHANTOMS", {"other": other, "mute": mute})
    with pytest.raises(PreferenceError) as error:
        phantom_of(replace(folder, source=source))
    assert str(error.value) == f"{folder.root}: {message}"


def test_on_a_built_in_phantom_the_image_of_the_right_group_wins(tmp_path, monkeypatch):
    monkeypatch.setattr("fairgen.preferences.oracle.PHANTOMS", PHANTOMS)
    mri = PHANTOMS["mri"]
    groups = mri.schema.groups()
    wrong = {g: groups[i ^ 1] for i, g in enumerate(groups)}  # the other diagnosis
    images = {
        f"images/{i}-{show}.png": (group, specimen)
        for show in ("good", "bad")
        for i, specimen in enumerate(balanced(mri.schema, 3, f"toy set, {show}"))
        for group in groups
        if specimen.group == (group if show == "good" else wrong[group])
    }
    kind = find_modality("mri")
    made = write_cohort(
        CohortFolder(
            tmp_path / "made",
            Cohort(mri.schema, tuple(Record(n, n, g) for n, (g, _) in images.items())),
            Prompts(mri.schema, kind.template),
            kind,
            {"synthetic": True, "trained_on": {"phantom": "mri"}},
        ),
        lambda r: mri.render(images[r.image][1], 64),
    )
    comparisons = draw_comparisons(made, per_group=15, seed=0)
    answers = answers_of(oracle_judge(made, per_group=20), comparisons, seed=0)
    said = preferences_of(comparisons, answers)
    mixed = [p for p in said if shown(p.winner) != shown(p.loser)]
    assert len(mixed) == 36
    assert np.mean([shown(p.winner) == "good" for p in mixed]) > 0.7
