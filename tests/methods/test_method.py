import pytest
from pydantic import ValidationError

from fairgen.errors import StudyError
from fairgen.methods import METHODS, Method, find_method


def test_methods_draw_and_minimise_what_the_table_says():
    rows = {
        m.name: (
            m.resampler,
            m.awareness is not None,
            [t.name for t in (*m.objective.terms, *m.objective.pair_terms)],
        )
        for m in METHODS.values()
    }
    assert rows == {
        "sd": ("natural", False, ["denoising"]),
        "cbrs": ("cbrs", False, ["denoising"]),
        "sqrs": ("sqrs", False, ["denoising"]),
        "cbdm": ("natural", False, ["denoising", "diversity"]),
        "fairdiffusion": ("natural", False, ["denoising"]),
        "fairgen": ("sqrs", True, ["denoising", "diversity", "preference", "winner"]),
    }
    assert METHODS["cbdm"].diversity.gamma == 0.25
    assert METHODS["fairgen"].diversity.gamma == 0
    assert METHODS["fairdiffusion"].perturbation.mode == "faithful"


def test_without_preferences_their_terms_are_left_out_and_nothing_else():
    plain = METHODS["fairgen"].without_preferences
    assert [t.name for t in plain.objective.terms] == ["denoising", "diversity"]
    assert plain.objective.pair_terms == ()
    assert (
        plain.model_copy(update={"alignment": METHODS["fairgen"].alignment}) == METHODS["fairgen"]
    )


@pytest.mark.parametrize("value", ["none", False])
def test_a_part_is_left_out_by_none(value):
    content = {**METHODS["fairgen"].model_dump(), "diversity": value}
    assert Method.model_validate(content).diversity is None


def test_an_unknown_resampler_is_refused_by_name():
    with pytest.raises(ValidationError, match="unknown resampler 'sqr'; expected one of natural"):
        Method(name="x", resampler="sqr")


def test_an_unknown_method_is_refused_with_the_nearest_name():
    with pytest.raises(StudyError, match="did you mean fairgen"):
        find_method("fairgan")
