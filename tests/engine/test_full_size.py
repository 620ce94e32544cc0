"""Stable Diffusion v1-4 at full size, in diffusers' own classes: counted, and trained a step."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from math import isfinite, prod

import numpy as np
import psutil
import pytest
import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from safetensors import safe_open
from transformers import CLIPTextConfig, CLIPTextModel

from fairgen.cohort.cohort import Cohort, Record
from fairgen.cohort.schema import Attribute, Schema
from fairgen.cohort.split import SplitSettings
from fairgen.engine.backbone import Backbone, save_pipeline
from fairgen.engine.tokenizer import make_tokenizer
from fairgen.files.folder import CohortFolder, write_cohort
from fairgen.files.image import write_image
from fairgen.files.layout import split_folder
from fairgen.files.preferences import Preference, write_preferences
from fairgen.modalities.modality import Prompts, find_modality

logger = logging.getLogger(__name__)
COUNTS = {"text_encoder": 123_060_480, "vae": 83_653_863, "unet": 859_520_964}
ADAPTERS = 797_184  # of rank four on queries, keys, values and outputs
SIDE = 512
SPARE = 1.0  # GiB that the machine keeps beside what a training needs
SETTINGS = {
    "batch_size": 1, "accumulation": 1, "ema": False, "gradient_checkpointing": True,
    "flip": False, "probe_every": 0, "checkpoint_every": 0, "grid_columns": 0, "tracker": "none",
    "log_every": 1, "learning_rate": 1e-4, "method.alignment.pairs": 1,
    "method.alignment.error_weight": 1,
}  # fmt: skip


def full_size():
    """Return Stable Diffusion v1-4 with random weights; its tokenizer knows fewer words."""
    tokenizer = make_tokenizer(length=77)
    text = CLIPTextConfig(
        vocab_size=49_408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
        num_attention_heads=12, hidden_act="quick_gelu", bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    vae = AutoencoderKL(
        sample_size=SIDE, block_out_channels=(128, 256, 512, 512), layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    schedule = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True,
        set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    return Backbone(tokenizer, CLIPTextModel(text), vae, unet, schedule)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    root = tmp_path_factory.mktemp("full") / "base"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_pipeline(full_size(), root)
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Two groups of two images, one of which is for training."""
    root = tmp_path_factory.mktemp("cohort") / "skin"
    schema = Schema((Attribute("tone", ("light", "dark")),), Attribute("disease", ("eczema",)))
    shown = [g for g in schema.groups() for _ in range(2)]
    records = tuple(Record(f"images/{i}.png", f"s{i}", g) for i, g in enumerate(shown))
    modality, rng = find_modality("skin"), np.random.default_rng(0)
    prompts = Prompts(schema, modality.template)
    folder = CohortFolder(root, Cohort(schema, records), prompts, modality)
    write_cohort(folder, lambda _: rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8))
    return split_folder(root, SplitSettings(fractions=(0.5, 0.0, 0.5)))


@pytest.fixture(scope="module")
def said(cohort, tmp_path_factory):
    root, group = tmp_path_factory.mktemp("said"), cohort.cohort.schema.groups()[0]
    images = [root / f"{name}.png" for name in "wl"]
    for image, level in zip(images, (180, 60), strict=True):
        write_image(image, np.full((SIDE, SIDE, 3), level, np.uint8))
    write_preferences(root / "p.jsonl", [Preference(group, cohort.prompts.render(group), *images)])
    return root / "p.jsonl"


@pytest.fixture
def step(cohort, base, said, tmp_path):
    """Return what trains one step in a process of its own and holds it to so many GiB."""

    def run(most, **change):
        available = psutil.virtual_memory().available / 2**30
        if available < most + SPARE:
            pytest.skip(f"needs {most + SPARE:.1f} GiB of memory; {available:.1f} are free")
        given = {**SETTINGS, "steps": 1, **change}
        sets = [text for key, value in given.items() for text in ("--set", f"{key}={value}")]
        command = [
            sys.executable, "-m", "fairgen", "train", "--method", "fairgen", "--cohort",
            str(cohort.root), "--base", str(base), "--preferences", str(said), "--out",
            str(tmp_path / "m"), *sets,
        ]  # fmt: skip
        began = time.monotonic()
        peak = peak_memory(command, tmp_path / "told")
        logger.info("%s: at most %.1f GiB in %.0f s", change, peak, time.monotonic() - began)
        assert peak < most
        return tmp_path / "m"

    yield run
    shutil.rmtree(tmp_path)


def peak_memory(command, told):
    """Run a command on all cores and return the most memory that it held at once, in GiB."""
    threads = {"OMP_NUM_THREADS": str(os.cpu_count()), "ACCELERATE_USE_CPU": "1"}
    with told.open("w") as file:
        process = subprocess.Popen(
            command, env={**os.environ, **threads}, stdout=file, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, told.read_text()[-2000:]
    return usage.ru_maxrss / 2**20


def opened(folder):
    (file,) = folder.glob("*.safetensors")
    return safe_open(file, framework="pt")


def count(folder):
    """Return the number of values in a folder's weights."""
    with opened(folder) as file:
        return sum(prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118


def changed(before, after):
    """Return the names of tensors that differ."""
    with opened(before) as one, opened(after) as two:
        assert sorted(one.keys()) == sorted(two.keys())
        return [
            k for k in one.keys()  # noqa: SIM118
            if not torch.equal(one.get_tensor(k), two.get_tensor(k))
        ]  # fmt: skip


def assert_stepped(out, base):
    """Check the log's only line and the numbers of the saved pipeline's weights."""
    (line,) = [json.loads(text) for text in (out / "log.jsonl").read_text().splitlines()]
    assert set(line["parts"]) == {"denoising", "diversity", "preference", "winner"}
    figures = [line["loss"], line["grad_norm"], *line["parts"].values()]
    assert all(map(isfinite, [*figures, *line["preference"].values(), *line["hardness"].values()]))
    assert line["loss"] > 0
    assert line["grad_norm"] > 0
    assert {name: count(out / "pipeline" / name) for name in COUNTS} == COUNTS
    assert not any(
        changed(base / name, out / "pipeline" / name) for name in ("vae", "text_encoder")
    )


@pytest.mark.slow
def test_its_parts_have_the_parameters_of_the_published_model(base):
    assert {name: count(base / name) for name in COUNTS} == COUNTS
    assert sum(COUNTS.values()) == 1_066_235_307


@pytest.mark.slow
def test_one_step_of_all_terms_trains_adapters_against_the_base_itself(step, base):
    out = step(9.0, **{"lora_rank": 4, "method.alignment.variant": "diffusion-dpo"})
    assert_stepped(out, base)
    assert count(out / "lora") == ADAPTERS
    with opened(base / "unet") as file:
        adapted = {
            k for k in file.keys()  # noqa: SIM118
            if k.endswith(("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight"))
        }  # fmt: skip
    assert set(changed(base / "unet", out / "pipeline" / "unet")) == adapted


@pytest.mark.slow
def test_one_step_of_all_terms_trains_every_weight(step, base):
    out = step(16.0)
    assert_stepped(out, base)
    with opened(base / "unet") as file:
        assert len(changed(base / "unet", out / "pipeline" / "unet")) == len(file.keys())
