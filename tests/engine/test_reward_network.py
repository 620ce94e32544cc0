import json
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    ResNetConfig,
    ResNetModel,
    ViTForImageClassification,
)

from fairgen.engine.reward_network import (
    Film,
    LatentBody,
    latent_network,
    load_eye,
    pixel_network,
)
from fairgen.engine.tiny import tiny_backbone
from fairgen.engine.weights import vae_digest, weights_digest
from fairgen.errors import CheckpointError, MissingExtra

LEVELS = ((0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3))  # level, label, group


@pytest.fixture
def network():
    torch.manual_seed(0)
    return latent_network(4, (32, 64, 96), LEVELS, dropout=0.2).eval()


def latents(n=4, side=8, seed=0):
    return torch.randn(n, 4, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("side", [5, 8, 16, 64])
def test_latents_of_any_side_get_one_score_each(network, side):
    assert network(latents(side=side), torch.arange(4)).shape == (4,)


def test_the_default_network_is_small(network):
    assert 100_000 < sum(p.numel() for p in network.parameters()) < 300_000


def test_a_score_does_not_depend_on_the_company(network):
    z, groups = latents(n=6), torch.tensor([0, 1, 2, 3, 0, 1])
    alone = torch.cat([network(z[i : i + 1], groups[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(network(z, groups), alone)
    torch.testing.assert_close(network(z.flip(0), groups.flip(0)).flip(0), alone)


def test_brightness_and_contrast_are_not_lost_to_the_norms():
    torch.manual_seed(0)
    body = LatentBody(4, (16, 16), LEVELS)
    flat = torch.ones(3, 4, 8, 8) * torch.tensor([0.2, 0.5, 1.0])[:, None, None, None]
    strong = latents(1) * torch.tensor([0.2, 0.5, 1.0])[:, None, None, None]
    for z in (flat, strong):
        features = body(z, torch.zeros(3, dtype=torch.long))
        assert (features[1] - features[0]).norm() > 0.05
        assert (features[2] - features[1]).norm() > 0.05


def test_a_group_changes_nothing_at_the_start_and_shares_what_its_levels_learn():
    film, x = Film(LEVELS, 3), latents(4)[:, :3]
    assert torch.equal(film(x, torch.arange(4)), x)
    film.tables[0].weight.data[1, 3:] = 1.0  # the shift of the second level
    found = film(x, torch.arange(4)) - x
    torch.testing.assert_close(found.mean((1, 2, 3)), torch.tensor([0.0, 0.0, 1.0, 1.0]))
    film.tables[2].weight.data[3, :3] = 1.0  # the gain of the last group alone
    torch.testing.assert_close(film(x, torch.arange(4))[3], 2 * x[3] + 1)
    flat = torch.ones(4, 3)
    assert film(flat, torch.arange(4))[:, 0].tolist() == [1.0, 1.0, 2.0, 3.0]


def test_scores_are_less_the_groups_mean_over_one_spread(network):
    z, groups = latents(), torch.arange(4)
    raw = network.judged(z, groups)
    network.mean.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    network.spread.fill_(0.5)
    torch.testing.assert_close(network(z, groups), (raw - torch.tensor([1.0, 2, 3, 4])) * 2)


def test_the_digest_of_an_autoencoder_sees_its_encoder_and_scaling_and_not_its_decoder():
    vae = tiny_backbone(size=32).vae
    before = vae_digest(vae)
    vae.decoder.conv_out.bias.data += 1
    assert vae_digest(vae) == before
    vae.encoder.conv_in.bias.data[0] += 1e-3
    changed = vae_digest(vae)
    vae.register_to_config(scaling_factor=0.5)
    assert len({before, changed, vae_digest(vae)}) == 3


def test_the_digest_of_weights_depends_on_names_shapes_and_values():
    values = {"a": torch.arange(6.0), "b": torch.tensor(1)}
    changed = [
        {"c": values["a"], "b": values["b"]},
        {**values, "a": values["a"].view(2, 3)},
        {**values, "a": values["a"].double()},
        {**values, "b": torch.tensor(2)},
    ]
    assert weights_digest(dict(reversed(values.items()))) == weights_digest(values)
    assert len({weights_digest(v) for v in (values, *changed)}) == 5


def test_a_folders_image_model_gives_the_mean_of_its_last_layer(vit):
    eye = load_eye(str(vit))
    model = ViTForImageClassification.from_pretrained(vit).eval()
    images = torch.rand(3, 3, 32, 32) * 2 - 1
    expected = model.vit(pixel_values=images).last_hidden_state.mean(1)
    torch.testing.assert_close(eye(images), expected)
    assert (eye.side, eye.dimension) == (32, 16)
    assert eye(torch.rand(2, 3, 50, 50)).shape == (2, 16)


def test_loading_twice_gives_one_digest_and_leaves_global_randomness_alone(vit):
    before = torch.random.get_rng_state()
    assert load_eye(str(vit)).digest == load_eye(str(vit)).digest
    assert torch.equal(before, torch.random.get_rng_state())


def test_images_are_made_ready_as_the_models_files_say(vit, tmp_path):
    for file in vit.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    said = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    eye, plain = load_eye(str(tmp_path)), load_eye(str(vit))
    assert eye.mean.flatten().tolist() == pytest.approx(said["image_mean"])
    assert eye.spread.flatten().tolist() == pytest.approx(said["image_std"])
    assert plain.mean.flatten().tolist() == plain.spread.flatten().tolist() == [0.5] * 3
    assert eye.digest != plain.digest


def test_convolutional_and_text_image_models_serve_too(tmp_path):
    torch.manual_seed(0)
    ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ).save_pretrained(tmp_path / "resnet")
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    vision = {**small, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    text = {**small, "num_attention_heads": 2, "vocab_size": 20}
    CLIPModel(CLIPConfig(vision_config=vision, text_config=text)).save_pretrained(tmp_path / "clip")
    with pytest.raises(CheckpointError, match="names no image size; give one by --set size=224"):
        load_eye(str(tmp_path / "resnet"))
    assert load_eye(str(tmp_path / "resnet"), 24)(torch.zeros(2, 3, 24, 24)).shape == (2, 16)
    assert load_eye(str(tmp_path / "clip"))(torch.zeros(2, 3, 16, 16)).shape == (2, 16)


def test_a_head_on_a_frozen_model_learns_and_the_model_does_not(vit):
    network = pixel_network(load_eye(str(vit)), 8, LEVELS, dropout=0.5)
    network.train()
    assert not any(m.training for m in network.eye.modules())
    assert not any(p.requires_grad for p in network.eye.parameters())
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    network.eval()(images, torch.tensor([0, 3])).sum().backward()
    assert images.grad.abs().sum() > 0
    assert network.body.layer.weight.grad.abs().sum() > 0


def test_what_is_no_image_model_is_refused_in_clear_words(vit, tmp_path):
    bert = BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9
    )
    BertModel(bert).save_pretrained(tmp_path / "bert")
    with pytest.raises(CheckpointError, match=r"bert' cannot be loaded as an image model"):
        load_eye(str(tmp_path / "bert"), 16)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty' cannot be loaded as an image model"):
        load_eye(str(tmp_path / "empty"))
    with pytest.raises(CheckpointError, match=r"nobody/nothing': neither found in the cache"):
        load_eye("nobody/nothing")


def test_a_model_whose_weights_are_not_whole_is_refused(vit, tmp_path):
    (tmp_path / "config.json").write_bytes((vit / "config.json").read_bytes())
    weights = load_file(vit / "model.safetensors")
    weights.pop("vit.layernorm.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"its weights lack layernorm.weight"):
        load_eye(str(tmp_path))


@pytest.mark.skipif(find_spec("timm") is not None, reason="timm is installed")
def test_a_model_of_timm_asks_for_timm(tmp_path):
    said = {"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 224, 224]}}
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(MissingExtra, match="not installed; expected `pip install timm`"):
        load_eye(str(tmp_path))
