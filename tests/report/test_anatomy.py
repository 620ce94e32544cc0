"""Measured anatomy: shares, distances, distributions."""

from dataclasses import replace

import pytest

from fairgen.phantoms.phantom import Quantity
from fairgen.report import chart
from fairgen.report.anatomy import blocks, phantom_of, quantities, wasserstein_tables
from fairgen.report.blocks import galleries
from fairgen.report.distributions import Material, figures
from fairgen.report.further import placed
from fairgen.report.run import read_run
from fairgen.report.scores import Row, Scores


@pytest.fixture(scope="module")
def run(full_run):
    return read_run(full_run)


@pytest.fixture(scope="module")
def found(run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chart, "rendered", lambda figure: "<svg></svg>")
        return blocks(run, run.scores)


def titled(found, start):
    return [g for b in found for g in galleries(b) if g.title.startswith(start)]


def test_the_shares_have_floors_and_a_panel_a_subgroup(run):
    alone = replace(run, anatomy=None, trained=())
    found = blocks(alone, run.scores.where(metric="phenotype_fit"))
    (gallery,) = titled(found, "Anatomy fits the prompt")
    assert [c.title for c in gallery.charts] == ["overall", "light", "dark"]
    assert all(">real phantoms</text>" in c.svg for c in gallery.charts)
    assert all(">autoencoder</text>" in c.svg for c in gallery.charts)
    table = next(
        b for b in found if b.kind == "table" and "prompt ↑" in b.caption.replace("\xa0", " ")
    )
    assert [r[0].text for r in table.rows] == [
        "sd", "sqrs", "fairgen", "real phantoms", "autoencoder",
    ]  # fmt: skip


def test_what_the_oracle_kept_back_has_a_figure_and_tables_of_its_own(found):
    (gallery,) = titled(found, "Unseen anatomy fits the prompt")
    assert "Where a method learned from its preferences, this figure may judge it" in gallery.how
    captions = [b.caption.replace("\xa0", " ") for b in found if b.kind == "table"]
    for name in ("prompt", "label", "subgroup"):
        assert f"Unseen anatomy fits the {name} ↑" in captions
    assert not titled(found, "Unseen anatomy fits the label")


def test_the_opening_says_what_a_guess_would_reach(found):
    assert "which of the 6 groups" in found[0].text
    assert "17 % of images" in found[0].text


def test_each_quantity_has_a_panel_a_label_and_a_row_a_subgroup(found):
    (gallery,) = titled(found, "Tone angle")
    assert len(gallery.charts) == 3
    data = gallery.charts[0].data
    assert {r["row"] for r in data} == {"light", "dark"}
    assert {r["series"] for r in data} == {"reference", "sd", "sqrs", "fairgen"}


def test_images_of_all_seeds_are_taken_together_and_unmeasured_ones_left_out(found):
    data = titled(found, "Tone angle")[0].charts[0].data
    assert {r["series"]: r["n"] for r in data} == {
        "reference": 36, "sd": 32, "sqrs": 32, "fairgen": 32,
    }  # fmt: skip


def test_quantities_that_may_not_judge_are_folded_with_the_reason(found):
    (fold,) = (b for b in found if b.kind == "fold")
    assert "no longer measures these well" in fold.reason
    assert [g.title.split(",")[0] for g in fold.galleries] == ["Lesion area"]
    assert fold.title.endswith(": lesion area")
    assert not any(g in found for g in fold.galleries)


def test_the_heat_table_tints_by_distance_and_says_why_a_cell_is_empty(run):
    tables = list(wasserstein_tables(run.scores, run, quantities(run)))
    first = tables[0]
    assert first.caption.endswith("sd")
    assert first.head[1:] == (
        "tone angle (ITA)",
        "scale",
        "crust",
        "redness",
        "darkening",
        "violaceous",
    )
    empty, full = first.rows[0][1], first.rows[0][2]
    assert (empty.text, empty.shade) == ("–", None)
    assert full.shade == pytest.approx(float(full.text) / 1.5, abs=0.01)
    assert "–: fewer than 5 measurable images of a group." in first.note
    assert [t.folded for t in tables[:5]] == [False, False, False, True, True]


def test_a_distance_beyond_the_strongest_tint_keeps_it(run):
    far = Row("wasserstein_ita", "sd", value=9.0, group=run.groups[0], split="test")
    (table,) = wasserstein_tables(Scores((far,)), run, (Quantity("ita", "tone"),))
    assert (table.rows[0][1].text, table.rows[0][1].shade) == ("9.00", 1.0)


def test_a_phantom_that_was_not_measured_has_a_note_and_a_real_cohort_nothing(run):
    bare = replace(run, anatomy=None, trained=())
    (note,) = blocks(bare, Scores())
    assert note.missing
    real = replace(bare, study={"data": {"root": "/data"}})
    assert phantom_of(real) is None
    assert blocks(real, Scores()) == ()


@pytest.mark.parametrize("study", [{}, {"data": 1}, {"data": {"phantom": {"name": ["x"]}}}])
def test_files_of_an_unknown_phantom_keep_their_columns_names(run, study):
    known = quantities(replace(run, study=study))
    assert Quantity("lesion_area", "lesion area") in known


def test_rows_without_files_and_files_without_rows_are_shown(run, unrendered):
    assert not any(
        b.kind == "fold" for b in blocks(replace(run, anatomy=None, trained=()), run.scores)
    )
    only = blocks(run, Scores())
    assert titled(only, "Tone angle")
    assert not titled(only, "Anatomy fits")


def test_a_method_without_measured_images_has_no_box(run, unrendered):
    material = Material(run.anatomy, {"sd": ()}, run.groups)
    (gallery,) = figures(material, (Quantity("ita", "tone"),))
    assert {r["series"] for r in gallery.charts[0].data} == {"reference"}


def test_every_row_of_the_made_up_run_is_shown_somewhere(run):
    assert all(placed(r, run) for r in run.scores.rows)
