"""Training on preferences."""

import pytest

from fairgen.report.alignment import accuracy_chart, blocks, gap_chart, logged
from fairgen.report.run import Trained

LOG = tuple(
    {
        "step": 10 * i,
        "loss": 1.0,
        "preference": {"implicit_accuracy": 0.5 + 0.01 * i, "logit": 0.1},
        **({"preference_probe": {"winner_gap": -0.001 * i, "loser_gap": 0.002 * i}}
           if i % 5 == 0 else {}),
    }
    for i in range(1, 21)
)  # fmt: skip


def test_figures_are_read_where_they_were_logged():
    assert logged(LOG, "preference_probe", "winner_gap") == [
        (50, -0.005), (100, -0.01), (150, -0.015), (200, -0.02),
    ]  # fmt: skip
    assert logged(({"step": 1, "preference": None}, {"step": 2}), "preference", "logit") == []


def test_winners_and_losers_are_two_lines_from_zero_at_the_start():
    chart = gap_chart(Trained(0, "dpo", LOG), 3)
    found = {(r["images"], r["step"]): r["change"] for r in chart.data}
    assert found["preferred", 0] == found["rejected", 0] == 0
    assert found["preferred", 200] == pytest.approx(-0.02)
    assert found["rejected", 200] == pytest.approx(0.04)
    for name in ("preferred", "rejected"):
        assert f">{name}</text>" in chart.svg
    assert chart.name == "preference-gap-3"
    assert chart.alt.endswith("preferred −0.02000; rejected 0.04000")


def test_the_share_of_pairs_is_drawn_by_step():
    chart = accuracy_chart(Trained(0, "dpo", LOG), 0)
    assert chart.data[0] == {"step": 10, "implicit_accuracy": 0.51}
    assert "dpo" in chart.alt


def test_each_figure_has_a_panel_a_method_that_learned_from_pairs():
    trained = [
        Trained(s, m, LOG if m != "sd" else LOG[:0]) for s in (0, 1) for m in ("sd", "a", "b")
    ]
    gaps, shares = blocks(trained)
    assert [len(g.charts) for g in (gaps, shares)] == [2, 2]
    assert "(seed 0)" in gaps.title
    for gallery in (gaps, shares):
        assert gallery.how
        assert gallery.fair


def test_a_log_without_probes_has_shares_alone():
    log = tuple({"step": x["step"], "preference": x["preference"]} for x in LOG)
    (gallery,) = blocks([Trained(0, "dpo", log)])
    assert gallery.charts[0].name == "preference-accuracy-0"


def test_a_run_without_preferences_has_no_such_figure():
    log = ({"step": 1, "loss": 1.0, "preference_probe": {}},)
    assert blocks([Trained(0, "sd", log)]) == ()
    assert blocks([]) == ()
