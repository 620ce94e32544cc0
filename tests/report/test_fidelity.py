"""Distances and consistency."""

from fairgen.report.fidelity import blocks, consistency_blocks, method_panels
from fairgen.report.scores import Row, Scores


def row(metric, method, value, group="overall", **more):
    bounds = {"low": value - 1, "high": value + 1} if value is not None else {}
    return Row(metric, method, value=value, group=group, n=64, seed=0, **bounds, **more)


def fid(method, overall, dark):
    return (row("fid_indomain", method, overall), row("fid_indomain", method, dark, "dark"))


ROWS = (*fid("sd", 40, 60), *fid("fairgen", 30, 45), *fid("real", 5, 8), *fid("autoencoder", 9, 9))


def test_panels_share_their_axis_and_hold_the_methods():
    charts = method_panels(Scores(ROWS), "fid_indomain", ["sd", "fairgen"], ["overall", "dark"])
    assert [c.title for c in charts] == ["overall", "dark"]
    assert [(r["row"], r["value"]) for r in charts[1].data] == [("sd", 60), ("fairgen", 45)]


def test_the_floors_are_lines_of_the_figure_and_rows_of_the_table():
    found = blocks(Scores(ROWS), ["sd", "fairgen"], ["dark"])
    gallery = next(b for b in found if b.kind == "gallery")
    assert all(">real against real</text>" in c.svg for c in gallery.charts)
    table = next(b for b in found if b.kind == "table")
    assert [r[0].text for r in table.rows] == ["sd", "fairgen", "real against real", "autoencoder"]
    assert table.rows[2][2].text == "8.0"
    assert "n = 64 throughout" in table.note


def test_unequal_sample_sizes_stand_in_every_cell():
    odd = Row("fid_indomain", "cbrs", value=3.0, low=2.0, high=4.0, n=7)
    table = next(b for b in blocks(Scores((*ROWS, odd)), ["sd", "cbrs"], []) if b.kind == "table")
    assert [r[1].details for r in table.rows][:2] == [
        ("[39.0, 41.0]", "n 64"),
        ("[2.0, 4.0]", "n 7"),
    ]


def test_each_extractor_has_its_own_figure_and_a_warning():
    rows = (*ROWS, row("fid_inception", "sd", 100.0))
    found = blocks(Scores(rows), ["sd", "fairgen"], ["dark"])
    titles = [b.title for b in found if b.kind == "gallery"]
    assert set(titles) == {"FID (inception) by subgroup", "FID (indomain) by subgroup"}
    assert "never comparable" in found[0].text


def test_a_reason_is_told_once_beneath_the_table():
    rows = (*fid("sd", 40, None), *fid("fairgen", 30, None))
    lacking = tuple(r if r.value else Row(**{**vars(r), "reason": "n below 64"}) for r in rows)
    found = blocks(Scores(lacking), ["sd", "fairgen"], ["dark"])
    table = next(b for b in found if b.kind == "table")
    assert [r[2].details for r in table.rows] == [("see 1",), ("see 1",)]
    assert "(1) n below 64." in table.note


def test_consistency_stands_beside_that_of_real_images():
    rows = tuple(
        row("label_consistency", m, v) for m, v in (("sd", 0.5), ("fairgen", 0.7), ("real", 0.9))
    )
    gallery, table = consistency_blocks(Scores(rows), ["sd", "fairgen"], ["dark"])
    assert [r[0].text for r in table.rows] == ["sd", "fairgen", "real images"]
    (chart,) = gallery.charts
    assert [r["row"] for r in chart.data] == ["sd", "fairgen", "real images"]


def test_what_was_not_measured_is_a_note():
    assert blocks(Scores(), ["sd"], [])[0].missing
    assert consistency_blocks(Scores(), ["sd"], [])[0].missing
