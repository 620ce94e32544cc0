"""The whole page."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from fairgen.errors import StudyError
from fairgen.report import write_report

HOSTILE = "<script>alert(1)</script>"
SECTIONS = ("verdict", "data", "images", "training", "fidelity", "fairness", "consistency",
            "settings", "words")  # fmt: skip


class Reader(HTMLParser):
    """Gathers tags, attributes and texts; fails on tags that do not match."""

    VOID = ("meta", "img", "br", "hr", "link", "input")

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.texts, self.open = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href", "action", "data"):
                self.links.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def page(full_run):
    return write_report(full_run)


@pytest.fixture(scope="module")
def read(page):
    return Reader(page.read_text())


def test_the_page_lies_in_the_run_and_has_every_section(page, read, full_run):
    assert page == full_run / "report" / "index.html"
    assert set(SECTIONS) <= set(read.ids)
    assert page.stat().st_size < 5e6


def test_no_id_is_used_twice(read):
    assert len(read.ids) == len(set(read.ids))


def test_nothing_is_loaded_from_outside(read, page):
    loaded = [x for x in read.links if not x.startswith(("#", "data:image/jpeg;base64,"))]
    assert loaded
    assert all(re.fullmatch(r"figures/[a-z0-9-]+\.csv", x) for x in loaded)
    assert not any(tag in ("script", "link", "iframe", "object") for tag, _ in read.tags)
    text = page.read_text()
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text


def test_the_policy_forbids_loads_and_scripts(read):
    policy = next(a["content"] for t, a in read.tags if a.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "img-src data:" in policy


def test_every_link_and_reference_has_its_target(read, page):
    for link in (x for x in read.links if x.startswith("#")):
        assert link[1:] in read.ids
    for link in (x for x in read.links if x.startswith("figures/")):
        assert (page.parent / link).is_file()
        assert (page.parent / link).with_suffix(".svg").is_file()


def test_every_picture_has_a_text_and_every_figure_says_how_to_read_it(read, page):
    assert all(a.get("alt") for t, a in read.tags if t == "img")
    assert all(a.get("aria-label") for t, a in read.tags if t == "svg")
    assert page.read_text().count("How to read this.") == sum(t == "figure" for t, _ in read.tags)


def test_a_second_report_repeats_to_the_last_byte_and_drops_stale_figures(make_run):
    root = make_run(**{**SMALL, **SINGLE, "seeds": (0,)})
    page = write_report(root)
    before = page.read_bytes()
    stale = page.parent / "figures" / "stale.svg"
    stale.write_text("<svg/>")
    assert write_report(root).read_bytes() == before
    assert not stale.exists()


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory, full_run):
    """Return the page of a run whose names try to break out of the HTML."""
    root = tmp_path_factory.mktemp("hostile") / "run"
    shutil.copytree(full_run, root, ignore=shutil.ignore_patterns("seed1", "report"))
    for path in (*root.rglob("*.csv"), *root.rglob("*.json*")):
        text = path.read_text()
        path.write_text(text.replace("eczema", HOSTILE).replace("sqrs", "</style><b1>"))
    (root / "seed0" / "sqrs").rename(root / "seed0" / "<img src=x onerror=alert(1)>")
    return write_report(root)


def test_names_from_the_data_stay_text(hostile_page):
    read = Reader(hostile_page.read_text())
    names = {tag for tag, _ in read.tags}
    assert not names & {"script", "b1"}
    assert all(a.get("src", "data:").startswith("data:") for t, a in read.tags if t == "img")
    assert not any(name.startswith("on") for _, a in read.tags for name in a)
    texts = " ".join(read.texts)
    assert HOSTILE in texts
    assert "<img src=x onerror=alert(1)>" in texts


def test_an_empty_folder_gives_a_page_of_notes(tmp_path):
    text = write_report(tmp_path).read_text()
    Reader(text)
    for note in ("no method has been trained yet", "No downstream classifier was scored"):
        assert note in text


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(StudyError, match="no such folder"):
        write_report(tmp_path / "nowhere")


@pytest.fixture
def unrendered(monkeypatch):
    """Paint every figure but skip its layout and rendering, which take most of the time."""
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **_: file.write("<svg></svg>"))


SMALL = {
    "attributes": (("sex", ("f", "m")),),
    "label": ("finding", ("no", "yes")),
    "methods": ("sd", "fairgen"),
    "steps": 5,
    "per_group": 2,
    "size": 16,
}
PARTS = ("cohort", "audit.json", "study.json", "manifest.json", "scores.jsonl", "seed0", "seed1",
         "seed0/sd/model", "seed0/sd/synthetic", "seed0/sd/model/log.jsonl")  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_any_one_part_may_be_missing(make_run, part, unrendered):
    root = make_run(seeds=(0, 1), **SMALL)
    path = root / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    Reader(write_report(root).read_text())


@pytest.mark.parametrize("part", ["scores.jsonl", "study.json", "seed0/sd/model/log.jsonl"])
def test_a_part_cut_short_is_told_or_left_aside(make_run, part, unrendered):
    root = make_run(seeds=(0,), **SMALL)
    text = (root / part).read_text()
    (root / part).write_text(text[: len(text) // 2])
    Reader(write_report(root).read_text())


LONG = "very dark, Fitzpatrick V and VI"
LARGE = {
    "attributes": (("tone", ("light", LONG)), ("sex", ("f", "m"))),
    "methods": ("sd", "cbrs", "sqrs", "cbdm", "fairdiffusion", "fairgen", "other", "more"),
    "classifiers": ("tiny-vit", "knn"),
}
SINGLE = {"attributes": (("site", ("A",)),), "label": ("d", ("y",)), "methods": ("fairgen",)}


def test_eight_methods_and_crossed_attributes_fit(make_run, unrendered):
    text = write_report(make_run(**{**SMALL, **LARGE, "seeds": (0,)})).read_text()
    Reader(text)
    assert f"{LONG} / f" in text
    assert "One seed: signs are hints, not results." in text


def test_one_method_and_one_group_are_enough(make_run):
    text = write_report(make_run(**{**SMALL, **SINGLE, "seeds": (0,)})).read_text()
    Reader(text)
    assert "no method “sd”" in text


def test_rows_that_no_figure_shows_are_listed(make_run, unrendered):
    root = make_run(seeds=(0,), **SMALL)
    extra = {"metric": "nearest_copy_rate", "method": "sd", "value": 0.125, "split": "test"}
    with (root / "scores.jsonl").open("a") as file:
        file.write(json.dumps(extra) + "\n")
    text = write_report(root).read_text()
    assert "Nearest copy rate" in text
    assert "0.125" in text
