"""A compiled U-Net trains as the plain one does."""

import json
import logging

import pytest
from safetensors.torch import load_file
from torch import equal

from fairgen.engine.train import train
from fairgen.methods import METHODS

USUAL = {"probe_every": 0, "log_every": 1, "learning_rate": 1e-5}  # rounding does not add up


def lines(out):
    """Return the lines of a log but for the speed."""
    found = [json.loads(text) for text in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in found]


def tensors(out, step):
    files = [
        *out.glob("pipeline/unet/*.safetensors"),
        *out.glob(f"checkpoints/{step}/*.safetensors"),
    ]
    return {(p.name, key): v for p in files for key, v in load_file(p).items()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # PyTorch's compiler warns of what it does itself
def test_a_compiled_training_learns_stops_and_goes_on_as_the_plain_one(
    cohort, base, quick, tmp_path, cut_short, caplog
):
    def start(name, **change):
        settings = quick.model_copy(update={**USUAL, **change})
        return train(
            cohort, method=METHODS["fairgen"], base=base, out=tmp_path / name, settings=settings
        )

    plain, whole = start("plain"), start("whole", compile=True)
    for one, two in zip(lines(plain), lines(whole), strict=True):
        assert one["draws"] == two["draws"]
        assert one["parts"] == pytest.approx(two["parts"], rel=1e-3)
        assert one["hardness"] == pytest.approx(two["hardness"], rel=1e-3)
        assert one["grad_norm"] == pytest.approx(two["grad_norm"], rel=1e-3)
    cut_short(lambda: start("cut", compile=True), after=3)
    with caplog.at_level(logging.INFO, "fairgen"):
        again = tensors(start("cut", compile=True), "step-000006")
    assert "resuming at step 2" in caplog.text
    found = tensors(whole, "step-000006")
    assert again.keys() == found.keys() == tensors(plain, "step-000006").keys()
    assert [k for k in found if not equal(found[k], again[k])] == []
    assert lines(whole) == lines(tmp_path / "cut")
