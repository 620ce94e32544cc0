"""Two processes draw and extract what one does, to the byte; broken runs are taken up."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from fairgen.cohort.plan import balanced_plan
from fairgen.engine import drawing
from fairgen.engine.extractor import (
    Extractor,
    ExtractorCard,
    ExtractorSettings,
    build_network,
    load_extractor,
    save_extractor,
)
from fairgen.engine.features import train_extractor
from fairgen.engine.generate import generate, open_generator
from fairgen.engine.sampling import SampleSettings

SETTINGS = SampleSettings(steps=2, guidance=2.0, batch_size=3)
DRIVER = """
import sys
from pathlib import Path

import numpy as np

from fairgen.cli import main
from fairgen.engine import drawing, pixels
from fairgen.engine.extractor import Extractor, ExtractorSettings, load_extractor
from fairgen.engine.features import train_extractor
from fairgen.engine.processes import this_process
from fairgen.files.folder import read_cohort
from fairgen.files.image import read_image

read = []
state, sample, prepare, drawn, seen = this_process(), drawing.sample, Extractor._input, [], []
assert state.num_processes == 2
root, cohort, *arguments = sys.argv[1:]
QUICK = ExtractorSettings(size=16, dimension=4, widths=(8, 8), steps=3, evaluations=2)

def counted(backbone, prompts, *args, **how):
    drawn.append(len(prompts))
    return sample(backbone, prompts, *args, **how)

def watched(extractor, images):
    seen.append(len(images))
    return prepare(extractor, images)

drawing.sample, Extractor._input = counted, watched
try:
    main(arguments)
except SystemExit as stop:
    if stop.code:
        raise
root, rank = Path(root), state.process_index
pixels.read_image = lambda path, **how: read.append(path) or read_image(path, **how)
train_extractor(read_cohort(cohort), QUICK, out=root / "trained")
seen.clear()
extractor, images = load_extractor(root / "extractor"), np.load(root / "images.npy")
said = extractor.predict(images)
features = extractor.features(images)
counts = {"drawn": drawn, "seen": seen, "read": len(read)}
np.savez(root / f"{rank}.npz", features=features, **counts, **said)
"""


def arguments(model, out, per_group):
    return [
        "generate", "--model", str(model), "--out", str(out), "--per-group", str(per_group),
        "--steps", "2", "--guidance", "2.0", "--batch-size", "3",
    ]  # fmt: skip


def two(*command):
    launched = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", *command,
    ]  # fmt: skip
    return subprocess.run(
        launched, env={**os.environ, "ACCELERATE_USE_CPU": "1"}, capture_output=True, text=True,
        check=False, timeout=100,
    )  # fmt: skip


def alone(model, out, per_group=5):
    generator = open_generator(model)
    plan = balanced_plan(generator.prompts, per_group, 0)
    return generate(generator, plan, out=out, settings=SETTINGS)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def together(model, cohort, tmp_path_factory):
    """Return where two processes drew a set, and what each of them says of images."""
    root = tmp_path_factory.mktemp("together")
    settings = ExtractorSettings(size=16, dimension=4, widths=(8, 8))
    heads = {"sex": ("f", "m"), "finding": ("none", "spot", "patch")}
    card = ExtractorCard(key="k", channels=3, heads=heads, seed=0, settings=settings)
    torch.manual_seed(0)
    network = build_network(card).eval()
    for layer in (network.project, *network.heads):
        torch.nn.init.zeros_(layer.bias)  # else all images are told alike
    save_extractor(Extractor(card, network), root / "extractor")
    colours = np.random.default_rng(0).integers(0, 256, (700, 1, 1, 3), dtype=np.uint8)
    np.save(root / "images.npy", np.broadcast_to(colours, (700, 20, 20, 3)))
    (root / "driver.py").write_text(DRIVER)
    given = [str(root / "driver.py"), str(root), str(cohort.root)]
    done = two(*given, *arguments(model, root / "set", 5))
    assert done.returncode == 0, done.stderr[-9000:]
    return root, [dict(np.load(root / f"{rank}.npz")) for rank in range(2)]


def test_two_processes_write_the_same_bytes_as_one(together, model, tmp_path):
    root, ranks = together
    assert [list(r["drawn"]) for r in ranks] == [[3, 3, 3, 2], [3, 3, 3]]
    whole = alone(model, tmp_path / "one")
    assert contents(whole.root) == contents(root / "set")
    assert len(contents(whole.root)) == 20 + 3


def test_two_processes_extract_what_one_does_in_the_same_order(together):
    root, ranks = together
    assert [list(r["seen"]) for r in ranks] == [[256, 188] * 2, [256] * 2]
    extractor, images = load_extractor(root / "extractor"), np.load(root / "images.npy")
    features, said = extractor.features(images), extractor.predict(images)
    assert len(set(said["finding"])) > 1
    for rank in ranks:
        np.testing.assert_array_equal(rank["features"], features)
        assert {head: tuple(rank[head]) for head in said} == said


def test_two_processes_share_the_reading_and_train_the_extractor_that_one_does(
    together, cohort, tmp_path
):
    settings = ExtractorSettings(size=16, dimension=4, widths=(8, 8), steps=3, evaluations=2)
    train_extractor(cohort, settings, out=tmp_path / "trained")
    root, ranks = together
    assert contents(tmp_path / "trained") == contents(root / "trained")
    whole = sum(len(cohort.cohort.part(split)) for split in ("train", "valid"))
    assert sum(int(r["read"]) for r in ranks) == whole
    assert all(int(r["read"]) < whole * 0.6 for r in ranks)


def test_a_failing_rank_ends_all_with_its_message_and_nothing_is_lost(model, tmp_path, monkeypatch):
    whole = alone(model, tmp_path / "one")
    with monkeypatch.context() as patch:
        patch.setattr(drawing, "load_backbone", lambda base: pytest.fail("stop"))
        with pytest.raises(pytest.fail.Exception):
            alone(model, tmp_path / "two")
    record = whole.cohort.records[4]  # in the second batch, which is the second process's
    (tmp_path / "two" / record.image).mkdir(parents=True)
    began = time.monotonic()
    done = two("-m", "fairgen", *arguments(model, tmp_path / "two", 5))
    assert done.returncode != 0
    assert f"{record.image}: cannot be written" in done.stderr
    assert time.monotonic() - began < 120
    assert '"finished": false' in (tmp_path / "two" / "manifest.json").read_text()
    (tmp_path / "two" / record.image).rmdir()
    alone(model, tmp_path / "two")
    assert contents(whole.root) == contents(tmp_path / "two")


def test_after_a_kill_only_batches_that_lack_an_image_are_drawn(model, tmp_path, monkeypatch):
    whole, out, count = alone(model, tmp_path / "one", 30), tmp_path / "two", 30 * 4
    run = subprocess.Popen([sys.executable, "-m", "fairgen", *arguments(model, out, 30)])
    while len(list(out.glob("images/*.png"))) < 20:
        assert run.poll() is None
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    run.wait()
    (out / "images" / ".torn.png.0123.partial").write_bytes(b"half")
    there = {p.name for p in out.glob("images/*.png")}
    assert 20 <= len(there) < count
    names = [r.image.removeprefix("images/") for r in whole.cohort.records]
    torn = [b for b in range(0, count, 3) if not set(names[b : b + 3]) <= there]
    drawn, sample = [], drawing.sample

    def counted(*args, **how):
        drawn.append(1)
        return sample(*args, **how)

    monkeypatch.setattr(drawing, "sample", counted)
    alone(model, out, 30)
    assert len(drawn) == len(torn)
    assert contents(whole.root) == contents(out)
