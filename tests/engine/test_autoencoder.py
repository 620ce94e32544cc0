import numpy as np
import pytest
import torch

from fairgen.engine.autoencoder import (
    AutoencoderSettings,
    latent_law,
    reconstruction_error,
    reconstruction_loss,
    round_trip,
    standardise_latents,
    train_autoencoder,
)
from fairgen.engine.latents import pixels
from fairgen.engine.networks import tiny_backbone


@pytest.fixture
def backbone():
    return tiny_backbone(size=32, seed=3)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 2, 2, 3))
    return coarse.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)


def frozen(vae):
    return {k: v.clone() for k, v in vae.state_dict().items()}


def test_a_uniform_shift_costs_itself_and_its_coarse_colours_but_no_edges():
    target = torch.zeros(2, 3, 32, 32)
    loss = reconstruction_loss(target + 0.1, target, edge_weight=5.0, colour_weight=0.5)
    assert loss.tolist() == pytest.approx([0.1 + 0.5 * 2 * 0.1] * 2)


def test_a_checkerboard_costs_edges_but_no_coarse_colours():
    x = torch.arange(32)
    board = (1 - 2 * ((x[:, None] + x) % 2)).float().expand(1, 3, 32, 32)
    loss = reconstruction_loss(
        0.1 * board, torch.zeros(1, 3, 32, 32), edge_weight=0.5, colour_weight=9
    )
    assert loss.item() == pytest.approx(0.1 + 0.5 * 2 * 0.2)


def test_training_lowers_the_error_and_leaves_the_network_frozen(backbone, images):
    before = reconstruction_error(images, round_trip(backbone, images))
    train_autoencoder(backbone.vae, images, AutoencoderSettings(steps=60, batch_size=8), seed=0)
    after = reconstruction_error(images, round_trip(backbone, images))
    assert after.absolute < 0.7 * before.absolute
    assert after.psnr > before.psnr
    assert after.colour < before.colour
    assert not any(p.requires_grad for p in backbone.vae.parameters())


def test_training_the_decoder_alone_leaves_the_latent_space_as_it_is(backbone, images):
    before = frozen(backbone.vae)
    settings = AutoencoderSettings(steps=2, batch_size=4)
    train_autoencoder(backbone.vae, images, settings, seed=0, encoder=False)
    changed = {
        k.split(".")[0] for k, v in backbone.vae.state_dict().items() if not v.equal(before[k])
    }
    assert changed == {"decoder", "post_quant_conv"}


def test_the_same_seed_trains_to_the_same_weights(images):
    settings, found = AutoencoderSettings(steps=3, batch_size=4), []
    for seed in (1, 1, 2):
        backbone = tiny_backbone(size=32, seed=3)
        train_autoencoder(backbone.vae, images, settings, seed=seed, mirror=True)
        found.append(backbone.vae.decoder.conv_out.weight)
    assert found[0].equal(found[1])
    assert not found[0].equal(found[2])


def test_zero_steps_change_nothing(backbone, images):
    before = frozen(backbone.vae)
    train_autoencoder(backbone.vae, images, AutoencoderSettings(steps=0), seed=0)
    assert all(v.equal(before[k]) for k, v in backbone.vae.state_dict().items())


def test_latent_law_agrees_with_numpy(backbone, images):
    with torch.no_grad():
        latents = backbone.vae.encode(pixels(images)).latent_dist.mean.numpy()
    mean, spread = latent_law(backbone.vae, images)
    assert mean.numpy() == pytest.approx(latents.mean(axis=(0, 2, 3)), rel=1e-4, abs=1e-6)
    assert spread.numpy() == pytest.approx(latents.std(axis=(0, 2, 3)), rel=1e-4)


def test_standardised_latents_have_unit_spread_and_decode_to_the_same_images(backbone, images):
    before = round_trip(backbone, images)
    with torch.no_grad():
        law = backbone.vae.encode(pixels(images)).latent_dist
        noise = torch.randn(law.mean.shape, generator=torch.Generator().manual_seed(0))
        drawn = backbone.vae.decode(law.mean + law.std * noise).sample
    standardise_latents(backbone.vae, images)
    mean, spread = latent_law(backbone.vae, images)
    assert mean.numpy() == pytest.approx(np.zeros(4), abs=1e-4)
    assert spread.numpy() == pytest.approx(np.ones(4), abs=1e-3)
    assert backbone.vae.config.scaling_factor == 1.0
    assert np.abs(round_trip(backbone, images).astype(int) - before).max() <= 1
    with torch.no_grad():
        law = backbone.vae.encode(pixels(images)).latent_dist
        again = backbone.vae.decode(law.mean + law.std * noise).sample
    assert torch.allclose(again, drawn, atol=1e-3)


def test_the_round_trip_undoes_the_scaling_factor(backbone, images):
    plain = round_trip(backbone, images)
    backbone.vae.register_to_config(scaling_factor=0.18215)
    assert np.abs(round_trip(backbone, images).astype(int) - plain).max() <= 1


def test_grey_images_make_the_round_trip_too(backbone, images):
    assert round_trip(backbone, images[..., :1]).shape == images.shape


def test_equal_images_have_no_error(images):
    error = reconstruction_error(images, images)
    assert (error.absolute, error.colour, error.bias, error.n) == (0, 0, (0, 0, 0), 12)


def test_the_error_of_a_known_shift_is_worked_out_by_hand():
    grey = np.full((2, 8, 8, 3), 119, np.uint8)
    shifted = grey.copy()
    shifted[..., 0] += 10
    error = reconstruction_error(grey, shifted)
    assert error.bias == pytest.approx((10, 0, 0))
    assert error.absolute == pytest.approx(10 / 3)
    assert error.psnr == pytest.approx(10 * np.log10(255**2 / (100 / 3)))
    # CIELAB: (50.03, 0, 0) of grey 119 and (50.91, 3.83, 1.39) of the reddened one.
    assert error.colour == pytest.approx(np.sqrt(0.88**2 + 3.83**2 + 1.39**2), abs=0.02)


def test_texture_alone_is_no_colour_error():
    flat = np.full((1, 8, 8, 3), 100, np.uint8)
    rows = np.arange(8)
    board = (flat + np.where((rows[:, None] + rows) % 2, 10, -10)[None, :, :, None]).astype(
        np.uint8
    )
    error = reconstruction_error(flat, board)
    assert error.absolute == 10
    assert error.colour == 0
