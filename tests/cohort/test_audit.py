import json

import pytest

from fairgen.cohort.audit import AuditSettings, Listing, audit
from fairgen.cohort.images import ImageFacts


def fact(pixels, **changed):
    values = {"width": 64, "height": 64, "mode": "RGB", "format": "PNG", "digest": "d"}
    return ImageFacts(**{**values, "pixel_digest": pixels, "blank": False, **changed})


@pytest.fixture
def leaky(make_cohort):
    return make_cohort(
        ("a", "dark|acne", "train"),
        ("a", "dark|acne", "test"),
        ("b", "dark|acne", "train"),
        ("b", "light|acne", "train"),
        ("c", "light|acne", "test"),
    )


@pytest.fixture
def sound(make_cohort):
    return make_cohort(("a", "dark|acne", "train"), ("b", "light|acne", "test"))


def test_a_cohort_that_is_not_split_has_one_part(make_cohort):
    found = audit(make_cohort(("a", "dark|acne"), ("b", "light|acne")))
    assert [p.name for p in found.parts] == ["all"]
    assert found.sound()


def test_every_split_with_images_is_a_part(sound):
    assert [p.name for p in audit(sound).parts] == ["all", "train", "test"]
    assert [p.images for p in audit(sound).parts] == [2, 1, 1]


def test_a_subject_in_two_splits_is_named_and_makes_the_cohort_unsound(leaky):
    found = audit(leaky)
    assert found.straddling == {"a": ("train", "test")}
    assert found.wandering == {"b": ("dark|acne", "light|acne")}
    assert not found.sound()
    assert found.findings()[0] == "subjects with images in several splits: 1 (a)"


def test_a_subject_in_two_groups_is_told_but_no_fault(make_cohort):
    found = audit(make_cohort(("b", "dark|acne"), ("b", "light|acne")))
    assert found.sound()
    assert "subjects with images in several groups: 1 (b)" in found.findings()


def test_a_copy_in_another_split_is_a_leak(sound):
    found = audit(sound, {"images/0.png": fact("p"), "images/1.png": fact("p")})
    assert len(found.leaks()) == 1
    assert not found.sound()
    assert "exact copies in different splits: 1 (images/0.png = images/1.png)" in found.findings()
    assert any(f.startswith("exact copies under different subjects: 1") for f in found.findings())


def test_a_copy_in_the_same_split_is_told_but_no_leak(make_cohort):
    cohort = make_cohort(("a", "dark|acne", "train"), ("a", "dark|acne", "train"))
    found = audit(cohort, {"images/0.png": fact("p"), "images/1.png": fact("p")})
    assert len(found.duplicates) == 1
    assert found.leaks() == ()
    assert found.sound()


def test_unreadable_and_odd_images_are_told_by_name_and_reason(sound):
    found = audit(sound, {"images/0.png": "is not an image", "images/1.png": fact("p", blank=True)})
    assert found.unreadable == {"images/0.png": "is not an image"}
    assert found.odd == {"images/1.png": "blank"}
    assert found.checked == 2
    assert "unreadable images: 1 (images/0.png (is not an image))" in found.findings()


def test_what_folder_and_table_disagree_on_is_told(sound):
    listing = Listing(("images/extra.png",), ("images/0.png",), "lesion ids only")
    found = audit(sound, listing=listing)
    texts = found.findings()
    assert "image files in no table: 1 (images/extra.png)" in texts
    assert "images that several rows name: 1 (images/0.png)" in texts
    assert "subjects cannot be told apart: lesion ids only" in texts
    assert not found.sound()


def test_long_lists_are_counted_and_cut(make_cohort):
    cohort = make_cohort(*((f"s{i}", g) for i in range(7) for g in ("dark|acne", "light|acne")))
    texts = audit(cohort).findings()
    assert "subjects with images in several groups: 7 (s0, s1, s2, s3, s4 and 2 more)" in texts


def test_the_threshold_of_tiny_groups_is_a_setting(make_cohort):
    cohort = make_cohort(*[("a", "dark|acne")] * 4, *[("b", "light|acne")] * 9)
    assert audit(cohort).parts[0].tiny == ("dark|acne", "light|acne")
    assert audit(cohort, settings=AuditSettings(tiny=5)).parts[0].tiny == ("dark|acne",)


def test_an_audit_goes_through_json(leaky):
    found = audit(leaky, {"images/0.png": fact("p"), "images/1.png": "broken"})
    data = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert data["sound"] is False
    assert data["straddling"] == {"a": ["train", "test"]}
    assert data["unreadable"] == {"images/1.png": "broken"}
    assert data["parts"][0]["groups"][1] == {
        "name": "dark|psoriasis",
        "images": 0,
        "subjects": 0,
        "share": 0.0,
    }
    assert data["parts"][0]["repeats"]["natural"]["dark|acne"] == 1.0
