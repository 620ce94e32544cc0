import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom.dataset import Dataset
from pydicom.pixels import apply_windowing

from fairgen.intake.windowing import filled, looked_up, percentiles, stretch, windowed


def test_values_are_stretched_by_hand():
    values = np.array([-1.0, 0.0, 2.5, 5.0, 10.0, 99.0])
    assert stretch(values, 0, 10).tolist() == [0, 0, 64, 128, 255, 255]


def test_values_that_are_all_alike_become_black():
    assert stretch(np.full(3, 7.0), 7, 7).tolist() == [0, 0, 0]


def test_without_a_range_whatever_exceeds_it_is_white():
    assert stretch(np.array([6, 7, 8]), 7, 7).tolist() == [0, 0, 255]


@given(values=arrays(np.int32, 9), low=st.integers(-99, 99), high=st.integers(-99, 99))
def test_the_order_of_values_is_kept(values, low, high):
    shown = stretch(np.sort(values), low, high)
    assert (np.diff(shown.astype(int)) >= 0).all()


def test_the_standards_example_of_a_linear_window():
    # PS3.3 C.11.2.1.2.1: centre 2048, width 4096 takes 0 to black and 4095 to white
    assert windowed(np.array([0, 4095]), 2048, 4096).tolist() == [0, 255]
    # centre 0, width 1 is a threshold below zero
    assert windowed(np.array([-2, -1, 0, 1]), 0, 1).tolist() == [0, 0, 255, 255]
    assert windowed(np.array([0, 50, 100]), 50, 100, "LINEAR_EXACT").tolist() == [0, 128, 255]


@pytest.mark.parametrize("shape", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_agree_with_pydicoms(shape):
    values = np.arange(-1500, 1500)
    header = Dataset()
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = 40, 400, shape
    header.PhotometricInterpretation, header.BitsStored = "MONOCHROME2", 8
    header.PixelRepresentation = 0
    expected = apply_windowing(values, header)
    assert np.abs(windowed(values, 40, 400, shape) - expected).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(("shape", "width"), [("LINEAR", 0.5), ("SIGMOID", 0.0)])
def test_a_window_too_narrow_is_refused(shape, width):
    with pytest.raises(ValueError, match="window width"):
        windowed(np.arange(3), 1, width, shape)


def test_values_beyond_a_table_have_its_ends():
    table = np.array([10, 20, 30])
    assert looked_up(np.array([-9, 5, 6, 7, 99]), table, 5).tolist() == [10, 10, 20, 30, 30]


def test_percentiles_count_finite_and_chosen_values():
    values = np.array([0.0, 1.0, 2.0, np.nan, np.inf, 500.0])
    assert percentiles(values, 0, 100, where=values != 500) == (0.0, 2.0)
    assert percentiles(np.full(3, np.nan)) == (0.0, 0.0)


def test_what_is_not_finite_counts_as_the_smallest():
    assert filled(np.array([3.0, np.nan, -1.0, np.inf])).tolist() == [3, -1, -1, -1]
    assert filled(np.full(2, np.nan)).tolist() == [0, 0]
