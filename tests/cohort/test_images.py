from dataclasses import replace

from fairgen.cohort.images import ImageFacts, duplicates, odd_images

USUAL = ImageFacts(64, 64, "RGB", "PNG", "d", "p", blank=False)


def facts(**changed):
    """Return facts about nine ordinary images and one that is changed."""
    ordinary = {f"images/{i}.png": replace(USUAL, pixel_digest=str(i)) for i in range(9)}
    return {**ordinary, "images/9.png": replace(USUAL, pixel_digest="9", **changed)}


def marks(found):
    return odd_images(found, small=32, majority=0.8)


def test_ordinary_images_are_not_odd():
    assert marks(facts()) == {}
    assert marks({}) == {}


def test_an_odd_image_is_named_with_all_that_is_odd_in_it():
    assert marks(facts(blank=True)) == {"images/9.png": "blank"}
    assert marks(facts(mode="L")) == {"images/9.png": "mode L, most have RGB"}
    assert marks(facts(width=80)) == {"images/9.png": "80 x 64, most are 64 x 64"}
    assert marks(facts(blank=True, mode="L", height=8)) == {
        "images/9.png": "blank; tiny: 64 x 8; mode L, most have RGB; 64 x 8, most are 64 x 64"
    }


def test_images_of_many_sizes_are_not_odd():
    varied = {f"{i}.png": replace(USUAL, width=64 + i) for i in range(10)}
    assert marks(varied) == {}


def test_images_without_facts_are_passed_over():
    assert marks({**facts(), "images/x.png": "cannot be decoded"}) == {}


def test_duplicates_tell_subjects_groups_and_splits(make_cohort):
    cohort = make_cohort(
        ("a", "dark|acne", "train"), ("b", "light|acne", "test"), ("c", "light|acne", "test")
    )
    known = {
        "images/0.png": USUAL,
        "images/1.png": replace(USUAL, digest="another file", mode="L"),
        "images/2.png": replace(USUAL, pixel_digest="other pixels"),
    }
    (found,) = duplicates(cohort, known)
    assert found.images == ("images/0.png", "images/1.png")
    assert found.subjects == ("a", "b")
    assert found.groups == ("dark|acne", "light|acne")
    assert found.splits == ("train", "test")


def test_unreadable_images_are_no_duplicates(make_cohort):
    cohort = make_cohort(("a", "dark|acne"), ("b", "dark|acne"))
    assert duplicates(cohort, {"images/0.png": "broken", "images/1.png": "broken"}) == ()
    assert duplicates(cohort, {}) == ()
