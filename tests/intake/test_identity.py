import hashlib
import hmac
import re
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairgen.errors import StudyError
from fairgen.intake.identity import pseudonym, read_salt, refuse_salt_inside

SALT = b"0123456789abcdef0123456789abcdef"
SAID = st.text(min_size=1).filter(str.strip)


def test_a_pseudonym_is_the_start_of_a_keyed_digest():
    expected = hmac.new(SALT, b"subject\0OAS1_0001", hashlib.sha256).hexdigest()
    assert pseudonym("OAS1_0001", SALT) == expected[:16]
    assert pseudonym(" OAS1_0001 ", SALT, length=64) == expected


@given(subject=SAID)
def test_a_pseudonym_is_short_repeats_and_depends_on_the_salt(subject):
    found = pseudonym(subject, SALT)
    assert re.fullmatch("[0-9a-f]{16}", found)
    assert found == pseudonym(subject, SALT)
    assert found != pseudonym(subject, SALT[::-1])


def test_many_subjects_have_different_pseudonyms():
    assert len({pseudonym(str(n), SALT) for n in range(100_000)}) == 100_000


def test_the_same_letters_in_another_coding_are_the_same_subject():
    assert pseudonym("M\u00fcller", SALT) == pseudonym("Mu\u0308ller", SALT)


def test_weak_salts_short_names_and_nobody_are_refused():
    with pytest.raises(ValueError, match="salt of 3 bytes, 16 digits"):
        pseudonym("a", b"abc")
    with pytest.raises(ValueError, match="8 digits; expected 16 or more"):
        pseudonym("a", SALT, length=8)
    with pytest.raises(ValueError, match="an empty subject has no pseudonym"):
        pseudonym("  ", SALT)


def test_a_salt_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "keys" / "salt"
    salt = read_salt(path, create=True)
    assert re.fullmatch(b"[0-9a-f]{64}", salt)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_salt(path, create=True) == read_salt(path) == salt
    assert [p.name for p in path.parent.iterdir()] == ["salt"]
    assert read_salt(tmp_path / "other", create=True) != salt


def test_a_salt_that_is_missing_open_or_short_is_refused(tmp_path):
    path = tmp_path / "salt"
    with pytest.raises(StudyError, match="salt cannot be read"):
        read_salt(path)
    path.write_text("a" * 31)
    path.chmod(0o600)
    with pytest.raises(StudyError, match="holds 31 characters; expected 32 or more"):
        read_salt(path)
    path.write_text("a" * 32)
    path.chmod(0o640)
    with pytest.raises(StudyError, match=r"others can read the salt; expected `chmod 600"):
        read_salt(path)
    with pytest.raises(StudyError, match="salt cannot be read"):
        read_salt(tmp_path)


def test_a_salt_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot be written"):
        read_salt(tmp_path / "file" / "salt", create=True)


def test_a_salt_inside_the_cohort_is_refused(tmp_path):
    refuse_salt_inside(tmp_path / "salt", tmp_path / "cohort")
    with pytest.raises(StudyError, match="expected a place outside the cohort"):
        refuse_salt_inside(tmp_path / "cohort" / "in" / ".." / "salt", tmp_path / "cohort")
