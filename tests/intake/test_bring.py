import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from fairgen.errors import CohortError, StudyError
from fairgen.files.atomic import resumed_folder
from fairgen.files.digest import folder_digest
from fairgen.files.image import write_image
from fairgen.intake import bring as bring_module
from fairgen.intake import make as make_module
from fairgen.intake.bring import BATCH, JOURNAL, Job, Outcome, bring, note, noted, tidy
from fairgen.intake.pixels import Decoding
from fairgen.intake.table import import_table

COUNT = 100


@pytest.fixture
def many(tmp_path, make_table):
    """Write a hundred images and their table."""
    folder = tmp_path / "many"
    rows = []
    for i in range(COUNT):
        pixels = np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        write_image(folder / f"{i}.png", pixels)
        rows.append({"file": f"{i}.png", "patient": str(i), "tone": str(i % 6), "dx": "x"})
    return make_table(rows=rows)


@pytest.fixture
def importing(tmp_path, many, make_spec):
    def run(out, workers=1, **settings):
        spec = make_spec(images=tmp_path / "many", unreadable="drop", **settings)
        return import_table(many, out=tmp_path / out, spec=spec, workers=workers)

    return run


def partials(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.endswith(".partial"))


def spoil(path):
    """Make an image unreadable without changing how long its file is."""
    path.write_bytes(b"x" * path.stat().st_size)


def test_any_number_of_processes_gives_the_same_bytes(importing, tmp_path, caplog):
    for number in (5, 17, 93):
        spoil(tmp_path / "many" / f"{number}.png")
    one, three = importing("one").root, importing("three", workers=3).root
    assert folder_digest(one) == folder_digest(three)
    assert sum(1 for _ in (one / "images").iterdir()) == COUNT - 3
    lines = [r.getMessage() for r in caplog.records]
    assert lines[:3] == lines[3:]
    assert "table.csv: row 19: " in lines[1]
    assert "17.png: is not an image; expected PNG, JPEG or TIFF; left out" in lines[1]
    assert not list(one.rglob(".*"))


def command(table, tmp_path, out):
    return (
        sys.executable, "-m", "fairgen", "import", "table", str(table), "--images",
        str(tmp_path / "many"), "--file-column", "file", "--subject-column", "patient",
        "--attribute", "tone:dark=0,1,2;light=3,4,5", "--label", "diagnosis=dx", "--modality",
        "skin", "--size", "256", "--workers", "2", "--out", str(tmp_path / out),
    )  # fmt: skip


@contextmanager
def started(arguments):
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        try:
            yield child
        finally:
            child.kill()


def lines_of(journals):
    return sum(p.read_bytes().count(b"\n") for p in journals)


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid):
    path = Path(f"/proc/{pid}/stat")
    return path.exists() and path.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def within(seconds, condition):
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if condition():
            return True
        time.sleep(0.005)
    return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
def test_a_killed_import_goes_on_without_reading_again_what_is_done(many, tmp_path):
    subprocess.run(command(many, tmp_path, "whole"), check=True, capture_output=True)
    with started(command(many, tmp_path, "out")) as child:
        assert within(60, lambda: lines_of(tmp_path.glob(f".out.*/{JOURNAL}")) >= 2 * BATCH)
        workers = children(child.pid)
        child.kill()
    assert not (tmp_path / "out").exists()
    assert len(workers) >= 2
    assert within(10, lambda: not any(map(alive, workers)))
    (left,) = tmp_path.glob(".out.*.partial")
    done = lines_of([left / JOURNAL])
    assert 2 * BATCH <= done < COUNT
    for number in range(done):
        spoil(tmp_path / "many" / f"{number}.png")
    (left / "images" / ".torn.png.0.partial").write_bytes(b"")
    with (left / JOURNAL).open("a") as journal:
        journal.write('[true, "half a li')
    subprocess.run(command(many, tmp_path, "out"), check=True, capture_output=True)
    assert folder_digest(tmp_path / "out") == folder_digest(tmp_path / "whole")
    assert not list((tmp_path / "out").rglob(".*"))
    assert partials(tmp_path) == []


def test_a_line_that_a_kill_cut_short_does_not_spoil_the_next(tmp_path):
    journal = tmp_path / JOURNAL
    journal.write_text('[true, ""]\n[true, "half a li')
    assert noted(journal) == [Outcome(True)]
    note(journal, [Outcome(False, "gone")])
    assert noted(journal) == [Outcome(True), Outcome(False, "gone")]


def stop_at(monkeypatch, module, name, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(module, name, fail)


def test_an_interrupted_import_waits_beside_and_another_one_clears_it(
    importing, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        stop_at(patch, make_module, "write_tables", KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            importing("out")
    assert len(partials(tmp_path)) == 1
    assert not (tmp_path / "out").exists()
    assert len(importing("out", size=8).cohort) == COUNT
    assert partials(tmp_path) == []


def test_a_refused_import_leaves_nothing(importing, tmp_path, make_spec, many):
    spoil(tmp_path / "many" / "60.png")
    spec = make_spec(images=tmp_path / "many")
    for workers in (1, 2):
        with pytest.raises(CohortError, match=r"row 62: .*60.png: is not an image"):
            import_table(many, out=tmp_path / "out", spec=spec, workers=workers)
        assert partials(tmp_path) == []
        assert not (tmp_path / "out").exists()


def test_a_full_disk_keeps_what_is_done(importing, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, make_module, "write_tables", StudyError("no space left"))
        with pytest.raises(StudyError, match="no space left"):
            importing("out")
    for number in range(COUNT):
        spoil(tmp_path / "many" / f"{number}.png")
    assert importing("out").source["images"] == COUNT


def test_the_folder_of_another_name_is_left_alone(tmp_path):
    for name in (".out.v2.0123456789abcdef.partial", ".out.partial"):
        (tmp_path / name).mkdir()
    (tmp_path / ".out.0123456789abcdef.partial").mkdir()
    with resumed_folder(tmp_path / "out", "f" * 64) as partial:
        (partial / "a").write_text("")
    assert partials(tmp_path) == [".out.partial", ".out.v2.0123456789abcdef.partial"]


class Deadly(type(Path())):
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_the_death_of_a_process_is_one_line(tmp_path):
    jobs = [Job(Deadly("a.png"), None, f"images/{i}.png") for i in range(BATCH + 1)]
    with pytest.raises(StudyError, match="a process that reads images died"):
        list(bring(tmp_path, jobs, Decoding(None, 3), 2))


def test_a_bar_tells_how_many_are_done_how_fast(tmp_path, monkeypatch):
    told = []

    @contextmanager
    def bar(what, total, done):
        told.append((what, total, done))
        yield lambda count, note: told.append((count, note))

    monkeypatch.setattr(bring_module, "progress_bar", bar)
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / JOURNAL).write_text('[true, ""]\n')
    jobs = [Job(tmp_path / "a.png", None, f"images/{i}.png") for i in range(BATCH + 2)]
    assert list(bring(tmp_path, jobs, Decoding(None, 3), 1)) == [Outcome(True)] * (BATCH + 2)
    tidy(tmp_path)
    assert not (tmp_path / JOURNAL).exists()
    assert told[0] == ("import", BATCH + 2, 1)
    assert [count for count, _ in told[1:]] == [BATCH, 1]
    assert all(note.endswith("/s") for _, note in told[1:])
    assert not (tmp_path / "images" / "0.png").exists()


def test_importing_needs_no_torch():
    code = (
        "import sys, json, fairgen.intake.table, fairgen.intake.sources, fairgen.intake.bring;"
        "print(json.dumps(sorted(m for m in sys.modules if m in ('torch', 'diffusers'))))"
    )
    done = subprocess.run((sys.executable, "-c", code), check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []


def test_ctrl_c_is_left_to_the_process_that_began(monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(bring_module, "parent_process", lambda: None)
    try:
        bring_module.follow_parent()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
