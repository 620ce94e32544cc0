"""Latents and prompts are encoded once, and are what encoding them at every draw would give."""

import shutil

import pytest
import torch
from PIL import Image, ImageOps

from fairgen.engine import latents
from fairgen.engine.backbone import load_backbone, tokenize
from fairgen.engine.latents import Encoding, embedded, encode, encode_once
from fairgen.engine.train import train
from fairgen.methods import METHODS

HOST = torch.device("cpu")


@pytest.fixture(scope="module")
def backbone(base):
    return load_backbone(base)


@pytest.fixture
def paths(cohort):
    return [cohort.path(r) for r in cohort.cohort.records[:9]]


@pytest.fixture
def encoded(monkeypatch):
    """Return a list of how many images each call of the autoencoder saw."""
    seen, real = [], latents._posteriors

    def counted(vae, images, *rest):
        seen.append(len(images))
        return real(vae, images, *rest)

    monkeypatch.setattr(latents, "_posteriors", counted)
    return seen


def test_cached_and_fresh_latents_are_the_same_draws(backbone, paths, tmp_path):
    rows, flipped = torch.tensor([8, 0, 3, 3]), torch.tensor([True, False, True, False])
    noise = torch.randn(4, 4, 8, 8)
    kept, fresh = (
        encode(backbone.vae, paths, Encoding(32, True, HOST, tmp_path, cached=cached))
        for cached in (True, False)
    )
    assert kept.shape == fresh.shape == noise.shape[1:]
    own = kept.sample(rows, noise, flipped)
    torch.testing.assert_close(own, fresh.sample(rows, noise, flipped), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(own[2], own[3])  # mirrored or not
    again = encode(backbone.vae, paths, Encoding(32, True, HOST, tmp_path))
    assert torch.equal(again.sample(rows, noise, flipped), own)


def test_latents_are_drawn_from_the_posterior_of_the_mirrored_image(backbone, paths, tmp_path):
    shown = tmp_path / "mirrored.png"
    ImageOps.mirror(Image.open(paths[0])).save(shown)
    cache = encode_once(backbone.vae, [paths[0], shown], Encoding(32, True, HOST))
    plain, mirrored = cache.means(), cache.means(mirrored=True)
    torch.testing.assert_close(mirrored[0], plain[1], rtol=1e-5, atol=1e-5)
    zero, one = torch.zeros(1, *cache.shape), torch.ones(1, *cache.shape)
    row, off = torch.tensor([0]), torch.tensor([False])
    torch.testing.assert_close(cache.sample(row, zero, off), plain[:1])
    law = backbone.vae.encode(latents.pixels(latents._read(paths[:1], 32))).latent_dist
    spread = law.std.detach() * backbone.vae.config.scaling_factor
    torch.testing.assert_close(
        cache.sample(row, one, off) - plain[:1], spread, rtol=1e-3, atol=1e-5
    )


def test_an_image_is_known_by_its_bytes(backbone, paths, tmp_path, encoded):
    how = Encoding(32, False, HOST, tmp_path / "store")
    encode(backbone.vae, paths, how)
    assert sum(encoded) == 9
    renamed = [shutil.copyfile(p, tmp_path / f"{i}.png") for i, p in enumerate(paths)]
    encode(backbone.vae, [*renamed, *paths], how)
    assert sum(encoded) == 9
    renamed[4].write_bytes(paths[5].read_bytes()[:-1] + b"\x00")  # another image
    Image.new("RGB", (40, 40), (1, 2, 3)).save(renamed[4])
    encode(backbone.vae, renamed, how)
    assert sum(encoded) == 10


def test_another_side_or_autoencoder_is_another_latent(backbone, base, paths, tmp_path, encoded):
    encode(backbone.vae, paths, Encoding(32, False, HOST, tmp_path))
    encode(backbone.vae, paths, Encoding(64, False, HOST, tmp_path))
    other = load_backbone(base)
    other.vae.encoder.conv_in.bias.data += 0.1
    encode(other.vae, paths, Encoding(32, False, HOST, tmp_path))
    assert sum(encoded) == 27


def test_prompts_are_embedded_once_and_as_the_text_encoder_says(backbone, tmp_path, monkeypatch):
    tokens, how = tokenize(backbone, ["a naevus", "eczema", "a naevus"]), None
    how = Encoding(32, False, HOST, tmp_path)
    first = embedded(backbone, tokens, how)
    with torch.no_grad():
        torch.testing.assert_close(first, backbone.text_encoder(tokens)[0])
    monkeypatch.setattr(backbone.text_encoder, "forward", None)
    assert torch.equal(embedded(backbone, tokens, how), first)


def test_training_with_caches_is_training_without_up_to_rounding(cohort, base, quick, tmp_path):
    """Also: the cache lies in the cohort's folder and takes part in no digest."""
    method = METHODS["fairgen"].without_preferences
    said = {}
    for cached in (True, False):
        how = quick.model_copy(update={"cache_latents": cached, "cache_prompts": cached})
        out = train(cohort, method=method, base=base, out=tmp_path / str(cached), settings=how)
        said[cached] = load_backbone(str(out / "pipeline")).unet.state_dict()
    assert (cohort.root / ".fairgen" / "latents").is_dir()
    for name, values in said[True].items():
        torch.testing.assert_close(values, said[False][name], rtol=1e-3, atol=2e-4)
