"""Settings, provenance and notices."""

from dataclasses import replace

from fairgen.report.leaves import flat, lookup
from fairgen.report.run import Trained, read_run
from fairgen.report.settings import blocks, guidance, notices, tables


def test_nested_settings_become_dotted_keys():
    value = {"a": {"b": 1, "c": [1, 2]}, "d": None, "e": True, "f": [{"g": 0.5}], "h": {}}
    assert list(flat(value)) == [
        ("a.b", "1"), ("a.c", "1, 2"), ("d", "–"), ("e", "yes"), ("f.1.g", "0.5"), ("h", "–"),
    ]  # fmt: skip


def test_each_table_of_a_study_is_one_table():
    found = list(tables({"name": "x", "train": {"steps": 5}}, "Study"))
    assert [t.caption for t in found] == ["Study", "Study: train"]
    assert [c.text for c in found[1].rows[0]] == ["steps", "5"]


def test_a_value_is_found_at_any_depth():
    assert lookup({"a": {"subject_waiver": "none kept"}}, "waive") == "none kept"
    assert lookup({"a": [1]}, "waive") is None


def test_a_phantom_without_preferences_says_so(full_run):
    texts = " ".join(notices(read_run(full_run)))
    assert "preferences: none (fairgen)" in texts
    assert "phantom" in texts
    assert "Apache-2.0" in texts
    assert "tiny-vit: small networks trained from scratch" in texts
    assert "small Stable Diffusion" in texts
    assert "Research use only" in texts
    assert "waived" not in texts


def test_a_waiver_of_subjects_is_told_with_its_reason(make_run):
    root = make_run(seeds=(0,), methods=("sd",), source={"subject_waiver": "no identifiers kept"})
    texts = " ".join(notices(read_run(root)))
    assert "waived for this cohort (no identifiers kept)" in texts


def test_guidance_is_told_for_each_method(full_run):
    trained = tuple(
        Trained(0, m, generation={"settings": {"guidance": g}})
        for m, g in (("sd", 2.0), ("fairgen", 5.0))
    )
    run = replace(read_run(full_run), trained=trained)
    assert guidance(run) == "Guidance scale: sd 2 and fairgen 5."
    same = replace(run, trained=trained[:1])
    assert guidance(same) == "Guidance scale: 2 for sd."


def test_stages_guidance_and_digests_are_listed(full_run):
    found = {b.caption: b for b in blocks(read_run(full_run)) if b.kind == "table"}
    assert [c.text for c in found["Stages"].rows[1]][:3] == ["seed0/sd/model", "310.2", "yes"]
    assert "1.5: 40.5" in found["Choice of guidance"].rows[0][4].text
    digests = {r[0].text: r[1].text for r in found["Files read for this page"].rows}
    assert len(digests["scores.jsonl"]) == 64


def test_a_run_without_study_and_manifest_has_notes(full_run):
    run = replace(read_run(full_run), study={}, manifest={})
    assert sum(b.kind == "note" and b.missing for b in blocks(run)) == 2
