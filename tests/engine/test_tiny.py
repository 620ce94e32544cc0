import json
import logging

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from pydantic import ValidationError
from safetensors.torch import load_file
from tests.engine.conftest import describe, picture

from fairgen.cohort.split import SplitSettings
from fairgen.engine import tiny as module
from fairgen.engine.backbone import TINY, embed, load_backbone
from fairgen.engine.networks import tiny_backbone
from fairgen.engine.tiny import TinySettings, make_tiny
from fairgen.errors import CheckpointError, CohortError
from fairgen.files.digest import file_digest
from fairgen.files.folder import read_cohort, write_cohort
from fairgen.files.image import read_image
from fairgen.files.layout import split_folder

SCRATCH = TinySettings(start="scratch", size=32, autoencoder_steps=3, batch_size=4)
PRETRAINED = TinySettings(encoder=False, size=32, autoencoder_steps=2, batch_size=4)


def weights(out, part="vae"):
    name = "model" if part == "text_encoder" else "diffusion_pytorch_model"
    return load_file(out / part / f"{name}.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def own_cohort(root):
    write_cohort(describe(root), picture)
    return root


@pytest.fixture(scope="module")
def scratch(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("scratch") / "base"
    make_tiny(cohort, out=out, settings=SCRATCH, seed=4)
    return out


def test_a_base_from_scratch_loads_in_diffusers_and_samples(scratch):
    pipeline = StableDiffusionPipeline.from_pretrained(scratch)
    assert type(pipeline.vae).__name__ == "AutoencoderKL"
    assert type(pipeline.unet).__name__ == "UNet2DConditionModel"
    assert type(pipeline.text_encoder).__name__ == "CLIPTextModel"
    assert type(pipeline.tokenizer).__name__ == "CLIPTokenizer"
    assert type(pipeline.scheduler).__name__ == "DDPMScheduler"
    pipeline.set_progress_bar_config(disable=True)
    prompt = "a photograph of eczema on dark skin"
    shown = pipeline(prompt, num_inference_steps=2, output_type="np").images
    assert shown.shape == (1, 32, 32, 3)
    assert np.ptp(shown) > 0


def test_latents_of_training_images_have_unit_spread(scratch):
    record = json.loads((scratch / "tiny.json").read_text())
    assert record["latent_mean"] == pytest.approx([0] * 4, abs=1e-3)
    assert record["latent_spread"] == pytest.approx([1] * 4, abs=1e-2)
    assert load_backbone(str(scratch)).vae.config.scaling_factor == 1.0


def test_the_record_states_the_error_before_and_after(scratch, cohort):
    record = json.loads((scratch / "tiny.json").read_text())
    n = len(cohort.cohort.part("valid"))
    assert record["before"]["n"] == record["after"]["n"] == n
    assert record["after"]["absolute"] < record["before"]["absolute"]
    assert len(record["after"]["bias"]) == 3


def test_attention_sits_at_half_the_latents_side_and_in_the_middle_alone():
    unet = tiny_backbone().unet
    places = {
        n.split(".attn2")[0].split(".attentions")[0]
        for n, _ in unet.named_modules()
        if "attn2" in n
    }
    assert places == {"down_blocks.1", "mid_block", "up_blocks.1"}
    assert unet.config.sample_size == 16


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, again, other = (tiny_backbone(size=32, seed=s).unet.state_dict() for s in (1, 1, 2))
    assert same(first, again)
    assert not same(first, other)


def test_making_a_base_leaves_global_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    tiny_backbone(size=32, seed=9)
    assert torch.equal(torch.rand(3), expected)


def test_the_words_of_the_cohorts_prompts_are_known(scratch):
    tokenizer = load_backbone(str(scratch)).tokenizer
    assert len(tokenizer("a photograph of eczema on dark skin")["input_ids"]) == 9


def test_a_cohort_that_is_not_split_is_refused(tmp_path):
    folder = read_cohort(own_cohort(tmp_path / "flat"))
    with pytest.raises(CohortError, match="fairgen split"):
        make_tiny(folder, out=tmp_path / "base", settings=SCRATCH)
    assert not (tmp_path / "base").exists()


def test_only_training_images_are_learned_from(scratch, tmp_path, caplog):
    root = own_cohort(tmp_path / "poisoned")
    folder = split_folder(root, SplitSettings())
    for record in folder.cohort.select(lambda r: r.split != "train").records:
        folder.path(record).write_bytes(b"poison")
    with caplog.at_level(logging.WARNING):
        make_tiny(folder, out=tmp_path / "base", settings=SCRATCH, seed=4)
    assert same(weights(tmp_path / "base"), weights(scratch))
    assert json.loads((tmp_path / "base" / "tiny.json").read_text())["after"] is None
    assert len([m for m in caplog.messages if m.startswith("not judged")]) == len(
        folder.cohort.part("valid")
    )


def test_test_images_are_never_opened(cohort, tmp_path, monkeypatch):
    opened = []
    for name in ("fairgen.engine.latents.read_image", "fairgen.engine.tiny.read_image"):
        monkeypatch.setattr(name, spy(opened))
    make_tiny(cohort, out=tmp_path / "base", settings=SCRATCH)
    seen = {r.split for r in cohort.cohort.records if str(cohort.path(r)) in opened}
    assert seen == {"train", "valid"}


def spy(opened):
    def read(path, **kwargs):
        opened.append(str(path))
        return read_image(path, **kwargs)

    return read


def test_a_training_image_that_cannot_be_read_is_named(tmp_path):
    folder = split_folder(own_cohort(tmp_path / "broken"), SplitSettings())
    path = folder.path(folder.cohort.part("train").records[3])
    path.write_bytes(b"poison")
    with pytest.raises(CohortError, match=path.name):
        make_tiny(folder, out=tmp_path / "base", settings=SCRATCH)
    assert not (tmp_path / "base").exists()


def test_repeating_the_call_makes_nothing_anew(scratch, cohort, monkeypatch):
    monkeypatch.setattr(module, "train_autoencoder", None)
    backbone = make_tiny(cohort, out=scratch, settings=SCRATCH, seed=4)
    assert same(backbone.vae.state_dict(), weights(scratch))


def test_other_settings_for_the_same_folder_are_refused(scratch, cohort):
    with pytest.raises(CheckpointError, match="other settings or data"):
        make_tiny(cohort, out=scratch, settings=SCRATCH, seed=5)


@pytest.mark.parametrize("wrong", [{"size": 40}, {"size": 16}, {"autoencoder_steps": -1}, {"x": 1}])
def test_a_wrong_setting_is_refused(wrong):
    with pytest.raises(ValidationError):
        TinySettings(**wrong)


def test_unset_steps_follow_the_start():
    fresh, warm = TinySettings(start="scratch").autoencoder, TinySettings().autoencoder
    assert (fresh.steps, warm.steps) == (3000, 400)
    assert TinySettings(autoencoder_steps=0).autoencoder.steps == 0


def test_a_start_that_is_no_base_is_refused(cohort, tmp_path):
    with pytest.raises(CheckpointError, match="warm: no such folder"):
        make_tiny(cohort, out=tmp_path / "base", settings=TinySettings(start="warm"))


def test_a_base_can_go_on_from_another_with_its_encoder(scratch, cohort, tmp_path):
    settings = SCRATCH.model_copy(update={"start": str(scratch), "encoder": True})
    make_tiny(cohort, out=tmp_path / "base", settings=settings)
    before, after = weights(scratch), weights(tmp_path / "base")
    changed = {k.split(".")[0] for k in before if not before[k].equal(after[k])}
    assert changed == {"encoder", "quant_conv", "decoder", "post_quant_conv"}
    assert same(weights(scratch, "unet"), weights(tmp_path / "base", "unet"))
    record = json.loads((tmp_path / "base" / "tiny.json").read_text())
    assert record["latent_spread"] == pytest.approx([1] * 4, abs=1e-2)


@pytest.fixture(scope="module")
def pretrained(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("pretrained") / "base"
    make_tiny(cohort, out=out, settings=PRETRAINED)
    return out


def test_a_kept_encoder_changes_the_decoder_alone(pretrained):
    shipped = load_backbone("tiny")
    assert same(shipped.unet.state_dict(), weights(pretrained, "unet"))
    assert same(shipped.text_encoder.state_dict(), weights(pretrained, "text_encoder"))
    before, after = shipped.vae.state_dict(), weights(pretrained)
    changed = {k.split(".")[0] for k in before if not before[k].equal(after[k])}
    assert changed == {"decoder", "post_quant_conv"}


def test_a_pretrained_start_takes_the_cohorts_size(pretrained):
    backbone = load_backbone(str(pretrained))
    assert backbone.image_size == 32
    assert backbone.vae.config.scaling_factor == load_backbone("tiny").vae.config.scaling_factor


def test_the_shipped_base_is_small_and_its_digests_match():
    listed = dict(
        reversed(line.split("  ")) for line in (TINY / "SHA256SUMS").read_text().splitlines()
    )
    files = {p.relative_to(TINY).as_posix(): p for p in TINY.rglob("*") if p.is_file()}
    files.pop("SHA256SUMS")
    assert listed == {name: file_digest(path) for name, path in files.items()}
    assert sum(p.stat().st_size for p in files.values()) <= 16_000_000
    assert {p.suffix for p in files.values()} <= {".json", ".md", ".safetensors"}


def test_the_shipped_base_loads_in_diffusers_itself():
    pipeline = StableDiffusionPipeline.from_pretrained(TINY, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    shown = pipeline("a red disk on a blue ground", num_inference_steps=2, output_type="np").images
    assert shown.shape == (1, 64, 64, 3)


def test_the_shipped_base_tells_prompts_apart():
    tone = "a photograph of psoriasis on {} skin"
    first, second = embed(load_backbone("tiny"), [tone.format("dark"), tone.format("light")])
    assert 0.5 < first.std() < 2
    assert (first - second).square().mean(dim=-1).max() > 0.5
