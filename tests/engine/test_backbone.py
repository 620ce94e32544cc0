import json
import shutil

import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from fairgen.engine import hub
from fairgen.engine.backbone import PARTS, embed, load_backbone, save_pipeline, tokenize
from fairgen.errors import CheckpointError

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(base, tmp_path):
    return shutil.copytree(base, tmp_path / "copy")


def test_a_local_folder_gives_all_five_classes(base):
    backbone = load_backbone(base)
    assert isinstance(backbone.tokenizer, CLIPTokenizer)
    assert isinstance(backbone.text_encoder, CLIPTextModel)
    assert isinstance(backbone.vae, AutoencoderKL)
    assert isinstance(backbone.unet, UNet2DConditionModel)
    assert isinstance(backbone.scheduler, DDPMScheduler)
    assert (backbone.image_size, backbone.reduction, backbone.prompt_length) == (32, 4, 32)


def test_saving_and_loading_changes_no_weight(base, tmp_path):
    save_pipeline(load_backbone(base), tmp_path / "again")
    before, after = load_file(f"{base}/{UNET}"), load_file(tmp_path / "again" / UNET)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_diffusers_loads_a_saved_pipeline_with_all_parts_and_no_checker(base):
    pipeline = StableDiffusionPipeline.from_pretrained(base)
    assert pipeline.safety_checker is None
    assert pipeline.feature_extractor is None
    assert pipeline.config.requires_safety_checker is False
    assert type(pipeline.scheduler) is DDPMScheduler


def test_half_precision_weights_are_raised_to_single_precision(copy):
    for file in copy.rglob("*.safetensors"):
        halves = {k: v.half() if v.is_floating_point() else v for k, v in load_file(file).items()}
        save_file(halves, file, metadata={"format": "pt"})
    backbone = load_backbone(str(copy))
    for part in (backbone.text_encoder, backbone.vae, backbone.unet):
        assert {p.dtype for p in part.parameters()} == {torch.float32}


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_named(copy, part):
    shutil.rmtree(copy / part)
    with pytest.raises(CheckpointError, match=f"lacks '{part}'"):
        load_backbone(str(copy))


def test_pickled_weights_are_refused(copy):
    (copy / UNET).rename(copy / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"unet: holds no \.safetensors file"):
        load_backbone(str(copy))


def test_broken_weights_are_one_clear_line(copy):
    (copy / UNET).write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="copy: cannot be loaded") as caught:
        load_backbone(str(copy))
    assert "\n" not in str(caught.value)


def test_a_path_that_does_not_exist_is_not_taken_for_a_hub_id(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        load_backbone(str(tmp_path / "nowhere"))


def test_a_hub_that_cannot_be_reached_is_asked_once_and_the_error_says_what_to_do(
    monkeypatch, caplog, recwarn
):
    asked = []

    def unreachable(*args, **kwargs):
        asked.append(args)
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr(hub.constants, "is_offline_mode", lambda: False)
    monkeypatch.setattr(hub, "get_hf_file_metadata", unreachable)
    with pytest.raises(CheckpointError, match=r"neither found in the cache .* nor fetched") as told:
        load_backbone("CompVis/stable-diffusion-v1-4")
    for part in ("'CompVis/stable-diffusion-v1-4'", "no route to the hub", "HF_HUB_OFFLINE"):
        assert part in str(told.value)
    assert (len(asked), caplog.text, len(recwarn)) == (1, "", 0)


def test_without_a_network_by_wish_the_hub_is_not_asked(monkeypatch):
    monkeypatch.setattr(hub.constants, "is_offline_mode", lambda: True)
    monkeypatch.setattr(hub, "get_hf_file_metadata", None)
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE is set"):
        load_backbone("CompVis/stable-diffusion-v1-4")


def test_a_hub_id_takes_the_same_path_as_a_folder(base, monkeypatch):
    asked = set()
    for kind in (CLIPTokenizer, CLIPTextModel, AutoencoderKL, UNet2DConditionModel, DDPMScheduler):
        name = "load_config" if kind is DDPMScheduler else "from_pretrained"
        real = getattr(kind, name)

        def from_hub(hub, *args, real=real, **kwargs):
            asked.add((hub, kwargs["subfolder"]))
            return real(base, *args, **kwargs)

        monkeypatch.setattr(kind, name, from_hub)
    monkeypatch.setattr(hub, "cached", lambda *_: True)
    backbone = load_backbone("someone/model")
    assert asked == {("someone/model", part) for part in PARTS}
    assert backbone.image_size == 32


def test_a_saved_folder_does_not_name_where_its_weights_came_from(base, tmp_path):
    save_pipeline(load_backbone(base), tmp_path / "again")
    for file in (tmp_path / "again").rglob("*.json"):
        assert base not in file.read_text()


def test_a_folder_with_another_sampler_still_trains_with_ddpm(copy):
    path = copy / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "_class_name": "PNDMScheduler", "skip_prk_steps": True}))
    scheduler = load_backbone(str(copy)).scheduler
    assert type(scheduler) is DDPMScheduler
    assert scheduler.config.beta_end == 0.012


def test_prompts_are_padded_to_the_full_length(base):
    ids = tokenize(load_backbone(base), ["dark skin", ""])
    assert ids.shape == (2, 32)
    assert (ids[0] == ids[0, -1]).sum() == 29
    assert (ids[1, 1:] == ids[0, -1]).all()


def test_a_prompt_that_is_too_long_is_refused_not_cut(base):
    backbone = load_backbone(base)
    assert tokenize(backbone, ["skin " * 30]).shape == (1, 32)
    with pytest.raises(CheckpointError, match="33 tokens; expected at most 32"):
        tokenize(backbone, ["skin " * 31])


def test_embeddings_equal_the_pipelines_own(base):
    pipeline = StableDiffusionPipeline.from_pretrained(base)
    prompts = ["a photograph of eczema on dark skin", ""]
    told, _ = pipeline.encode_prompt(prompts, "cpu", 1, do_classifier_free_guidance=False)
    assert torch.equal(embed(load_backbone(base), prompts), told)


def test_prompts_that_differ_in_one_word_differ_clearly(base):
    first, second = embed(
        load_backbone(base),
        ["a photograph of eczema on dark skin", "a photograph of eczema on light skin"],
    )
    assert 0.5 < first.std() < 2
    assert (first - second).square().mean(dim=-1).max() > 0.5


def full_size():
    """Stable Diffusion v1-4's three networks, without memory for their weights."""
    text = CLIPTextConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        projection_dim=768,
    )
    with torch.device("meta"):
        vae = AutoencoderKL(
            sample_size=512,
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        )
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
        return CLIPTextModel(text), vae, unet


def test_stable_diffusion_1_4_has_its_published_number_of_parameters():
    counts = [sum(p.numel() for p in part.parameters()) for part in full_size()]
    assert counts == [123_060_480, 83_653_863, 859_520_964]


def test_a_prompt_that_is_too_long_is_refused_in_a_short_line(base):
    with pytest.raises(CheckpointError, match=r"\d+ tokens; expected at most") as told:
        tokenize(load_backbone(base), ["a photograph of " + "eczema " * 200])
    assert len(str(told.value)) < 200
