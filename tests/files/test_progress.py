"""Long work tells how far it has come, with a terminal and without."""

import io
import logging
import sys

import pytest

from fairgen.files import progress as module
from fairgen.files.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def work(clock, seconds, notes=("",) * 4, done=0):
    with progress_bar("train sd", done + 10, done) as advance:
        for note in notes:
            clock[0] += seconds
            advance(1, note)


def test_without_a_terminal_a_line_comes_every_half_minute(clock, caplog):
    caplog.set_level(logging.INFO)
    work(clock, 20.0, ("", "loss 3", "", "loss 1"), done=5)
    assert caplog.messages == [
        "train sd: 7 of 15  0.05/s  0:00:40 gone, 0:02:40 left  loss 3",
        "train sd: 9 of 15  0.05/s  0:01:20 gone, 0:02:00 left  loss 1",
    ]


def test_steps_of_minutes_have_a_rate(clock, caplog):
    caplog.set_level(logging.INFO)
    work(clock, 300.0)
    assert "0.00333/s  0:20:00 gone, 0:30:00 left" in caplog.messages[-1]


def test_brief_work_logs_nothing(clock, caplog):
    caplog.set_level(logging.INFO)
    work(clock, 1.0)
    assert caplog.messages == []


def test_a_terminal_shows_rate_times_and_note_and_the_log_stays_empty(clock, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    work(clock, 40.0, ("loss 3",) * 4)
    shown = [t for t in sys.stderr.getvalue().splitlines() if "train sd" in t][-1]
    for text in ("train sd", "4/10", "0.025/s", "0:02:40", "0:04:00", "loss 3"):
        assert text in shown
    assert caplog.messages == []


def test_a_narrow_terminal_breaks_the_note_and_nothing_else(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    work(clock, 40.0, ("loss 0.3391 = denoising 0.321 + diversity 0.0181  rate 9.9e-06  end",) * 4)
    for text in ("train sd", "4/10", "0.025/s", "0:02:40", "0:04:00", "0.3391", "9.9e-06", "end"):
        assert text in sys.stderr.getvalue()


@pytest.mark.parametrize("terminal", [io.StringIO, Terminal])
def test_of_several_processes_only_the_first_tells(terminal, clock, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(sys, "stderr", terminal())
    work(clock, 40.0)
    assert sys.stderr.getvalue() == ""
    assert caplog.messages == []


@pytest.mark.parametrize(("seconds", "left"), [(0.1, False), (5.0, True)])
def test_quick_work_leaves_no_bar_behind(seconds, left, clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    work(clock, seconds)
    assert sys.stderr.getvalue().endswith("\x1b[1A\x1b[2K") != left
