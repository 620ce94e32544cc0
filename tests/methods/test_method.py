import pytest

from fairgen.errors import StudyError
from fairgen.methods import METHODS, find_method


def test_methods_draw_and_minimise_what_the_table_says():
    rows = {m.name: (m.resampler, [t.name for t in m.objective.terms]) for m in METHODS.values()}
    assert rows == {
        "sd": ("natural", ["denoising"]),
        "cbrs": ("cbrs", ["denoising"]),
        "sqrs": ("sqrs", ["denoising"]),
        "cbdm": ("natural", ["denoising", "diversity"]),
        "fairgen": ("sqrs", ["denoising", "diversity"]),
    }
    assert METHODS["cbdm"].diversity.gamma == 0.25
    assert METHODS["fairgen"].diversity.gamma == 0


def test_an_unknown_method_is_refused_with_the_nearest_name():
    with pytest.raises(StudyError, match="did you mean fairgen"):
        find_method("fairgan")
