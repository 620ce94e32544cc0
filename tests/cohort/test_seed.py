import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairgen.cohort.seed import derive
from fairgen.errors import StudyError


@given(st.integers(0, 2**40), st.text(), st.lists(st.text() | st.integers(), max_size=3))
def test_a_seed_repeats_and_fits_in_63_bits(seed, purpose, parts):
    found = derive(seed, purpose, *parts)
    assert found == derive(seed, purpose, *parts)
    assert 0 <= found < 2**63


def test_seeds_differ_by_seed_purpose_and_parts():
    seeds = {
        derive(0, "generate", "dark|acne", 1),
        derive(1, "generate", "dark|acne", 1),
        derive(0, "split", "dark|acne", 1),
        derive(0, "generate", "dark|acne", 11),
        derive(0, "generate", "dark|acne1", 1),
    }
    assert len(seeds) == 5


def test_a_known_seed_stays_what_it_was():
    assert derive(0, "generate", "dark|acne", 0) == 1283919135033097347


def test_a_negative_seed_is_refused():
    with pytest.raises(StudyError, match="seed: -1; expected 0 or more"):
        derive(-1, "generate")
