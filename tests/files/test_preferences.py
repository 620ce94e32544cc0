import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fairgen.cohort.schema import Attribute, Group, Schema
from fairgen.errors import PreferenceError
from fairgen.files.image import write_image
from fairgen.files.preferences import Preference, read_preferences, write_preferences
from fairgen.modalities.modality import Prompts

SCHEMA = Schema((Attribute("tone", ("dark", "light")),), Attribute("disease", ("acne", "eczema")))
PROMPTS = Prompts(SCHEMA, "{label} on {attributes} skin")
ACNE = Group(("dark",), "acne")
GOOD = {"text": "acne on dark skin", "image_w": "images/a.png", "image_l": "images/b.png"}
LAYOUT = '{"text": ..., "image_w": ..., "image_l": ...}'
words = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@pytest.fixture
def root(tmp_path):
    """Return a folder of four images; beside it lies one that is outside."""
    folder = tmp_path / "prefs"
    for i, name in enumerate("abcd"):
        write_image(folder / "images" / f"{name}.png", np.full((4, 4, 3), 40 * i, np.uint8))
    write_image(tmp_path / "secret.png", np.full((4, 4, 3), 250, np.uint8))
    return folder


def written(root, *lines, end="\n"):
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path = root / "p.jsonl"
    path.write_bytes((end.join(texts) + end).encode())
    return path


def refused(path):
    with pytest.raises(PreferenceError) as error:
        read_preferences(path, PROMPTS)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{path}: ")


def test_the_released_layout_is_read_and_the_group_comes_from_the_prompt(root):
    path = written(root, GOOD)
    expected = Preference(
        ACNE, "acne on dark skin", root / "images" / "a.png", root / "images" / "b.png"
    )
    assert read_preferences(path, PROMPTS) == (expected,)
    assert read_preferences(str(path), PROMPTS) == (expected,)


def test_optional_fields_are_read_and_unknown_ones_are_passed_over(root):
    extra = {"group": "dark|acne", "rater": "ann", "time": "2026-01-02T03:04:05Z", "reason": "é"}
    (found,) = read_preferences(written(root, {**GOOD, **extra, "score": [1]}), PROMPTS)
    assert (found.group, found.rater, found.time, found.reason) == (
        ACNE, "ann", "2026-01-02T03:04:05Z", "é",
    )  # fmt: skip


def test_a_group_may_have_a_prompt_in_other_words(root):
    line = {**GOOD, "text": "a close-up of acne", "group": "light|acne"}
    (found,) = read_preferences(written(root, line), PROMPTS)
    assert (found.group, found.text) == (Group(("light",), "acne"), "a close-up of acne")


def test_null_in_an_optional_field_is_as_good_as_its_absence(root):
    (found,) = read_preferences(written(root, {**GOOD, "rater": None, "group": None}), PROMPTS)
    assert (found.rater, found.group) == ("", ACNE)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_blank_lines_and_a_byte_order_mark_do_not_matter(root, end, mark):
    path = written(root, GOOD, {**GOOD, "image_l": "images/c.png"}, end=end)
    path.write_bytes(mark + path.read_bytes())
    assert [p.loser.name for p in read_preferences(path, PROMPTS)] == ["b.png", "c.png"]


def test_a_line_separator_inside_a_text_ends_no_line(root):
    line = json.dumps({**GOOD, "reason": "one\u2028two\x85three"}, ensure_ascii=False)
    assert read_preferences(written(root, line), PROMPTS)[0].reason == "one\u2028two\x85three"


def test_other_kinds_of_images_are_read(root):
    pixels = np.full((4, 4, 3), 9, np.uint8)
    for name in ("e.jpg", "f.png"):  # a JPEG may be called PNG
        Image.fromarray(pixels + len(name)).save(root / name, "JPEG", quality=90 - ord(name[0]) % 9)
    line = {**GOOD, "image_w": "e.jpg", "image_l": "f.png"}
    assert read_preferences(written(root, line), PROMPTS)[0].winner == root / "e.jpg"


def test_a_link_to_another_image_of_the_folder_is_followed(root):
    (root / "again.png").symlink_to(root / "images" / "c.png")
    line = {**GOOD, "image_l": "again.png"}
    assert read_preferences(written(root, line), PROMPTS)[0].loser == root / "again.png"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", f"line 2 is not JSON (Expecting property name enclosed in double quotes: line 1 "
              f"column 2 (char 1)); expected {LAYOUT}"),
        ('["a"]', f"line 2 is no JSON object; expected {LAYOUT}"),
        ("null", f"line 2 is no JSON object; expected {LAYOUT}"),
        ({"text": GOOD["text"]}, f"line 2: image_w is missing; expected {LAYOUT}"),
        ({k: v for k, v in GOOD.items() if k != "text"},
         f"line 2: text is missing; expected {LAYOUT}"),
        ({k: v for k, v in GOOD.items() if k != "image_l"},
         f"line 2: image_l is missing; expected {LAYOUT}"),
        ({**GOOD, "text": " "}, "line 2: text is empty; expected text"),
        ({**GOOD, "text": None}, "line 2: text is empty; expected text"),
        ({**GOOD, "image_w": ""}, "line 2: image_w is empty; expected text"),
        ({**GOOD, "text": 3}, "line 2: text is a number; expected text"),
        ({**GOOD, "image_l": ["b.png"]}, "line 2: image_l is a list; expected text"),
        ({**GOOD, "rater": True}, "line 2: rater is true or false; expected text"),
        ({**GOOD, "time": 1.5}, "line 2: time is a number; expected text"),
        ({**GOOD, "reason": {"why": ""}}, "line 2: reason is an object; expected text"),
        ({**GOOD, "group": 0}, "line 2: group is a number; expected text"),
        ({**GOOD, "reason": "\ud800"}, "line 2: reason holds half a character; expected text"),
        ({**GOOD, "image_w": "images/z.png"},
         "line 2: image_w 'images/z.png': no such image file"),
        ({**GOOD, "image_w": "images"}, "line 2: image_w 'images': no such image file"),
        ({**GOOD, "image_w": "a\0b.png"}, "line 2: image_w 'a\0b.png': no such image file"),
        ({**GOOD, "image_w": "n" * 300}, f"line 2: image_w '{'n' * 300}': no such image file"),
        ({**GOOD, "image_l": "../secret.png"},
         "line 2: image_l '../secret.png' leaves the folder; expected a path in it"),
        ({**GOOD, "image_l": "images/../../secret.png"},
         "line 2: image_l 'images/../../secret.png' leaves the folder; expected a path in it"),
        ({**GOOD, "image_l": "..\\secret.png"},
         "line 2: image_l '..\\secret.png' leaves the folder; expected a path in it"),
        ({**GOOD, "image_l": "/etc/passwd"},
         "line 2: image_l '/etc/passwd' leaves the folder; expected a path in it"),
        ({**GOOD, "image_l": "C:\\b.png"},
         "line 2: image_l 'C:\\b.png' leaves the folder; expected a path in it"),
        ({**GOOD, "image_l": GOOD["image_w"]},
         "line 2: image_w and image_l are one file; expected two images"),
        ({**GOOD, "image_l": "./images//a.png"},
         "line 2: image_w and image_l are one file; expected two images"),
        ({**GOOD, "group": "dark|measles"},
         "line 2: group 'dark|measles' is unknown (disease: unknown level 'measles'; expected one "
         "of acne, eczema)"),
        ({**GOOD, "group": "acne"},
         "line 2: group 'acne' is unknown (group 'acne': expected one level for each of tone)"),
        ({**GOOD, "group": "light|acne"},
         "line 2: group is 'light|acne', but text names 'dark|acne'; expected one group"),
        ({**GOOD, "text": "a picture"},
         "line 2: text 'a picture' names no group of this cohort; expected a field group"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_refused_with_its_number_and_field(root, line, message):
    assert refused(written(root, GOOD, line)) == " ".join(message.split())


def test_a_line_of_endless_brackets_is_refused(root):
    message = refused(written(root, GOOD, "[" * 100000))
    assert message.startswith("line 2 is not JSON (maximum recursion depth exceeded")


def test_a_link_out_of_the_folder_is_refused(root):
    (root / "link.png").symlink_to(root.parent / "secret.png")
    (root / "inner").symlink_to(root.parent)
    for name in ("link.png", "inner/secret.png"):
        assert refused(written(root, {**GOOD, "image_w": name})) == (
            f"line 1: image_w '{name}' is a link out of the folder; expected a file in it"
        )


def test_a_link_that_leads_in_a_circle_is_no_image(root):
    (root / "round.png").symlink_to(root / "round.png")
    assert refused(written(root, {**GOOD, "image_w": "round.png"})) == (
        "line 1: image_w 'round.png': no such image file"
    )


def test_an_image_under_two_names_is_refused(root):
    (root / "link.png").symlink_to(root / "images" / "a.png")
    (root / "copy.png").write_bytes((root / "images" / "a.png").read_bytes())
    assert refused(written(root, {**GOOD, "image_l": "link.png"})) == (
        "line 1: image_w and image_l are one file; expected two images"
    )
    assert refused(written(root, {**GOOD, "image_l": "copy.png"})) == (
        "line 1: image_w and image_l hold the same bytes; expected two images"
    )


def test_files_that_are_no_whole_images_are_refused(root):
    whole = (root / "images" / "a.png").read_bytes()
    (root / "text.png").write_text("no image")
    (root / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "empty.png").write_bytes(b"")
    (root / "shell.png").write_bytes(whole[:8] + whole[-12:])  # signature and end, nothing between
    not_one = "is not an image; expected PNG, JPEG or TIFF"
    for name in ("text.png", "empty.png"):
        message = refused(written(root, {**GOOD, "image_l": name}))
        assert message == f"line 1: image_l: {root / name}: {not_one}"
    for name in ("cut.png", "shell.png"):
        message = refused(written(root, {**GOOD, "image_l": name}))
        assert message.startswith(f"line 1: image_l: {root / name}: ")


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_a_preference_is_refused(root, content):
    (root / "p.jsonl").write_bytes(content)
    assert refused(root / "p.jsonl") == f"holds no preference; expected lines of {LAYOUT}"


def test_a_file_that_is_no_text_or_is_not_there_is_refused(root):
    path = written(root, GOOD)
    path.write_bytes(path.read_bytes() + b'{"text": "\xff"}\n')
    assert refused(path) == "line 2 is not UTF-8 text (invalid start byte)"
    path.write_bytes(json.dumps(GOOD).encode("utf-16"))
    assert refused(path) == "line 1 is not UTF-8 text (invalid start byte)"
    assert refused(root / "none.jsonl") == "no such preference file"
    assert refused(root) == "cannot be read (Is a directory)"


def test_what_is_written_is_read_back_and_written_alike(root):
    first = read_preferences(
        written(
            root,
            GOOD,
            {**GOOD, "image_l": "images/d.png", "rater": "ann", "time": "t", "reason": "“scale”"},
            {**GOOD, "text": "a close-up", "group": "light|eczema", "rater": "bob"},
        ),
        PROMPTS,
    )
    write_preferences(root / "again.jsonl", first)
    assert read_preferences(root / "again.jsonl", PROMPTS) == first
    lines = (root / "again.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0]) == {**GOOD, "group": "dark|acne"}
    assert "“scale”" in lines[1]
    assert not list(root.glob("*.partial"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(texts=st.lists(st.tuples(words, words, words, words), min_size=1, max_size=4))
def test_any_text_survives_a_round_trip(root, texts):
    winner, loser = root / "images" / "a.png", root / "images" / "b.png"
    wanted = tuple(
        Preference(ACNE, f"{t}.", winner, loser, rater, time, reason)
        for t, rater, time, reason in texts
    )
    write_preferences(root / "p.jsonl", wanted)
    assert read_preferences(root / "p.jsonl", PROMPTS) == wanted


def test_a_file_written_where_the_folder_moves_is_still_right(root, monkeypatch):
    found = read_preferences(written(root, GOOD), PROMPTS)
    write_preferences(root / "p.jsonl", found)
    moved = root.rename(root.parent / "moved")
    assert read_preferences(moved / "p.jsonl", PROMPTS)[0].winner == moved / "images" / "a.png"
    monkeypatch.chdir(moved)
    relative = read_preferences("p.jsonl", PROMPTS)
    assert relative[0].winner == Path("images/a.png")
    write_preferences(Path("q.jsonl"), relative)
    assert read_preferences("q.jsonl", PROMPTS) == relative


def test_images_outside_are_not_written(root):
    (found,) = read_preferences(written(root, GOOD), PROMPTS)
    (root / "link.png").symlink_to(root.parent / "secret.png")
    out = root / "q.jsonl"
    for outside in (
        root.parent / "secret.png",
        root / "images" / ".." / ".." / "secret.png",
        root / "link.png",
    ):
        with pytest.raises(PreferenceError) as error:
            write_preferences(out, [replace(found, loser=outside)])
        assert str(error.value) == (
            f"{out}: image {outside} lies outside {root}; expected a file in it"
        )
    assert not out.exists()


def test_what_no_file_can_hold_is_not_written(root):
    (found,) = read_preferences(written(root, GOOD), PROMPTS)
    before = (root / "p.jsonl").read_bytes()
    with pytest.raises(PreferenceError, match="no preference to write; expected at least one"):
        write_preferences(root / "p.jsonl", [])
    with pytest.raises(PreferenceError, match="reason holds half a character"):
        write_preferences(root / "p.jsonl", [replace(found, reason="\ud800")])
    assert (root / "p.jsonl").read_bytes() == before
