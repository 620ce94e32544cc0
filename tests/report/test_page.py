"""The whole page."""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from fairgen.errors import StudyError
from fairgen.report import write_report
from fairgen.report.run import read_run

HOSTILE = "<script>alert(1)</script>"
SECTIONS = ("verdict", "data", "images", "training", "fidelity", "fairness", "consistency",
            "anatomy", "settings", "words")  # fmt: skip


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


def test_every_picture_has_a_text(read, page):
    assert all(a.get("alt") for t, a in read.tags if t == "img")
    drawings = [a for t, a in read.tags if t == "svg"]
    assert len(drawings) > 50
    for a in drawings:
        assert a["role"] == "img"
        for key, tag in (("aria-labelledby", "title"), ("aria-describedby", "desc")):
            assert re.search(rf'<{tag} id="{a[key]}">[^<]+</{tag}>', page.read_text())


def test_every_figure_says_how_to_read_it_and_what_a_fair_result_looks_like(read, page):
    figures = sum(t == "figure" for t, _ in read.tags)
    assert figures > 20
    for lead in ("How to read this.", "A fair result:"):
        assert len(re.findall(rf"<b>{lead}</b> \S", page.read_text())) == figures


def test_headings_skip_no_level_and_sections_carry_their_names(read):
    levels = [int(t[1]) for t, _ in read.tags if re.fullmatch(r"h[1-6]", t)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    sections = [a for t, a in read.tags if t == "section"]
    assert all(a["aria-labelledby"] in read.ids for a in sections)


def test_landmarks_and_a_way_past_the_head_are_there(read):
    for landmark in ("header", "main", "nav", "footer"):
        assert sum(t == landmark for t, _ in read.tags) == 1
    skip = next(a for t, a in read.tags if a.get("class") == "skip")
    assert skip["href"].removeprefix("#") in read.ids


def test_every_heading_cell_says_what_it_heads(read):
    assert all(a.get("scope") in ("row", "col") for t, a in read.tags if t == "th")


def test_every_drawing_lies_beside_the_page_and_names_itself(page, read):
    found = sorted((page.parent / "figures").glob("*.svg"))
    assert len(found) == sum(t == "svg" for t, _ in read.tags)
    for path in found:
        assert path.with_suffix(".csv").is_file()
        root = ET.parse(path).getroot()  # noqa: S314
        assert [child.tag.rpartition("}")[2] for child in root][:2] == ["title", "desc"]
        assert root[1].text


def test_folded_figures_are_on_the_page(page):
    text = page.read_text()
    fold = text[text.index('<details class="fold">') :]
    assert "Lesion area, by label and subgroup" in fold[: fold.index("</details>")]


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
    shutil.copytree(full_run, root, ignore=shutil.ignore_patterns("seed1", "report", "*.parquet"))
    for path in (*root.rglob("*.csv"), *root.rglob("*.json*")):
        text = path.read_text()
        path.write_text(text.replace("eczema", HOSTILE).replace("sqrs", "</style><b1>"))
    lines = (root / "scores.jsonl").read_text().splitlines(keepends=True)
    left = ("anatomy_", "phenotype_", "unseen_", "kid_")
    few = [x for x in lines if not any(name in x for name in left)]
    (root / "scores.jsonl").write_text("".join(few))
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


ARMS = tuple(f"arm_of_the_study_with_a_long_name_{i:02d}" for i in range(12))


def test_a_dozen_arms_with_long_names_fit(make_run, unrendered):
    run = make_run(**{**SMALL, "methods": ("sd", "fairgen", *ARMS), "seeds": (0,)})
    study = json.loads((run / "study.json").read_text())
    arms = {a: {"like": "fairgen", "method": {"diversity": {"tau": 0.5}}} for a in ARMS}
    (run / "study.json").write_text(json.dumps({**study, "arms": arms}))
    assert read_run(run).methods == ("sd", "fairgen", *ARMS)
    text = write_report(run).read_text()
    Reader(text)
    assert "diversity.tau = 0.5" in text
    assert "Study: arms" not in text


def test_arms_come_in_the_order_of_the_study_after_the_methods(make_run):
    run = make_run(**{**SMALL, "methods": ("zeta", "alpha", "fairgen", "sd"), "seeds": (0,)})
    assert read_run(run).methods == ("sd", "fairgen", "zeta", "alpha")


def test_a_model_that_others_begin_from_is_shown_in_training_and_compared_nowhere(
    make_run, unrendered
):
    run = make_run(**{**SMALL, "methods": ("sd", "start", "more"), "seeds": (0,)})
    shutil.rmtree(run / "seed0" / "start" / "synthetic")
    for shared in ("candidates", "preferences", "reward"):
        (run / "seed0" / shared).mkdir()
    rows = [r for r in (run / "scores.jsonl").read_text().splitlines() if '"start"' not in r]
    (run / "scores.jsonl").write_text("\n".join(rows))
    study = json.loads((run / "study.json").read_text())
    (run / "study.json").write_text(json.dumps({**study, "methods": ["sd", "more"]}))
    found = read_run(run)
    assert found.methods == ("sd", "more")
    assert [t.method for t in found.trained] == ["more", "sd", "start"]
    assert found.missing == ()
    Reader(write_report(run).read_text())
    assert "start" in (run / "report" / "figures" / "loss-denoising.csv").read_text()


def test_a_study_that_asks_for_no_classifier_lacks_none(make_run, unrendered):
    run = make_run(**{**SMALL, "classifiers": (), "seeds": (0,)})
    study = json.loads((run / "study.json").read_text())
    (run / "study.json").write_text(json.dumps({**study, "downstream": {"classifiers": []}}))
    text = write_report(run).read_text()
    Reader(text)
    assert "The study trains no classifier: images alone are judged." in text
    assert "No downstream classifier was scored" not in text


def test_preferences_have_their_figures_and_tables(make_run):
    run = make_run(**{**SMALL, "methods": ("sd", "fairgen"), "seeds": (0,)})
    log = run / "seed0" / "fairgen" / "model" / "log.jsonl"
    told = {"preference": {"implicit_accuracy": 0.6},
            "preference_probe": {"winner_gap": -0.1, "loser_gap": 0.1}}  # fmt: skip
    lines = [json.loads(x) | told for x in log.read_text().splitlines()]
    log.write_text("".join(json.dumps(x) + "\n" for x in lines))
    manifest = {"preferences": "proxy", "pairs": 40, "settings": {"steps": 9}}
    (log.parent / "manifest.json").write_text(json.dumps(manifest))
    (run / "seed0" / "preferences").mkdir()
    review = {"source": "proxy", "comparisons": {"f|yes": 40}}
    (run / "seed0" / "preferences" / "manifest.json").write_text(json.dumps(review))
    text = write_report(run).read_text()
    Reader(text)
    assert "preferences: proxy (fairgen): a network trained on the training split chose" in text
    for name in ("preference-gap-0", "preference-accuracy-0"):
        assert (run / "report" / "figures" / f"{name}.csv").is_file()
        assert f"figures/{name}.csv" in text


def test_one_method_and_one_group_are_enough(make_run):
    text = write_report(make_run(**{**SMALL, **SINGLE, "seeds": (0,)})).read_text()
    Reader(text)
    assert "no method “sd”" in text


def test_fifteen_groups_of_a_phantom_fit_a_page(make_run, unrendered):
    shape = {
        "attributes": (("tone", ("light", "medium", "dark")),),
        "label": ("disease", ("a", "b", "c", "d", "e")),
    }
    page = write_report(make_run(**{**SMALL, **shape, "seeds": (0,), "phantom": True}))
    Reader(page.read_text())
    assert page.stat().st_size < 2e6  # without the drawings


def test_accuracies_of_single_groups_have_a_table(make_run, unrendered):
    root = make_run(seeds=(0,), **SMALL)
    extra = {"metric": "accuracy", "method": "sd", "classifier": "tiny-vit", "reweight": False,
             "split": "test", "group": "f|yes", "value": 0.4375, "n": 16, "seed": 0}  # fmt: skip
    with (root / "scores.jsonl").open("a") as file:
        file.write(json.dumps(extra) + "\n")
    text = write_report(root).read_text()
    assert "Accuracy of tiny-vit by group" in text
    assert "0.438" in text
    assert 'id="further"' not in text
    shutil.rmtree(root / "cohort")
    assert read_run(root).subgroups == ("f", "m")
    assert read_run(root).groups == ("f|yes",)


def test_rows_that_no_figure_shows_are_listed(make_run, unrendered):
    root = make_run(seeds=(0,), **SMALL)
    extra = {"metric": "nearest_copy_rate", "method": "sd", "value": 0.125, "split": "test"}
    with (root / "scores.jsonl").open("a") as file:
        file.write(json.dumps(extra) + "\n")
    text = write_report(root).read_text()
    assert "Nearest copy rate" in text
    assert "0.125" in text


def test_a_full_run_leaves_no_row_without_a_figure(read):
    assert "further" not in read.ids


def test_a_run_of_folds_shows_the_first_one_and_says_so(make_run, unrendered):
    run = make_run(methods=("sd", "fairgen"), seeds=(0,))
    (run / "fold0").mkdir()
    for part in ("cohort", "seed0", "audit.json"):
        (run / part).rename(run / "fold0" / part)
    study = json.loads((run / "study.json").read_text())
    (run / "study.json").write_text(json.dumps({**study, "split": {"folds": 5}}))
    found = read_run(run)
    assert found.missing == ()
    assert [t.method for t in found.trained] == ["fairgen", "sd"]
    text = write_report(run).read_text()
    assert "Cross-validation in 5 folds by subject" in text
