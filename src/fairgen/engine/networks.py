"""The tiny base's networks, with random weights: small, but all of Stable Diffusion's parts."""

from collections.abc import Iterable

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from fairgen.cohort.seed import derive
from fairgen.engine.backbone import Backbone
from fairgen.engine.tokenizer import make_tokenizer

WIDTH = 64  # of a token's embedding
LENGTH = 32  # tokens of a prompt
LATENTS = 4  # channels of a latent


def tiny_backbone(
    texts: Iterable[str] = (), *, size: int = 64, vocabulary: int = 4096, seed: int = 0
) -> Backbone:
    """Return a tiny Stable Diffusion with random weights.

    Args:
        texts: Prompts whose words the tokenizer should know, beside its own list.
        size: Side of the square images in pixels, a multiple of 16.
        vocabulary: Most entries of the tokenizer's vocabulary.
        seed: Seed of the weights.
    """
    tokenizer = make_tokenizer(texts, tokens=vocabulary, length=LENGTH)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "tiny base"))
        return Backbone(
            tokenizer=tokenizer,
            text_encoder=_text_encoder(tokenizer),
            vae=_autoencoder(size),
            unet=_unet(size),
            scheduler=_scheduler(),
        )


def _text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = CLIPTextModel(config).eval()
    # CLIP's own start (0.02) makes all words nearly alike beside what attention adds to them.
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.5)
    return model


def _autoencoder(size: int) -> AutoencoderKL:
    blocks = 3
    vae = AutoencoderKL(
        sample_size=size,
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=1,
        latent_channels=LATENTS,
        norm_num_groups=8,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    ).eval()
    # Begin with little noise on the latents: under the usual start (a deviation of one) colour is
    # drowned, and the encoder and the decoder never agree on it.
    torch.nn.init.constant_(vae.quant_conv.bias[LATENTS:], -6.0)
    return vae


def _unet(size: int) -> UNet2DConditionModel:
    """Return the U-Net; attention sits at half of the latents' side, where it is cheap."""
    return UNet2DConditionModel(
        sample_size=size // 4,
        block_out_channels=(32, 64, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=WIDTH,
        attention_head_dim=2,
    ).eval()


def _scheduler() -> DDPMScheduler:
    """Return the noise schedule of Stable Diffusion v1-4, with the v-prediction of v2.

    Where there is much noise, v is nearly the image, and the prompt decides it; in the noise itself
    the prompt is a part in hundreds, which a short training does not hear.
    """
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        steps_offset=1,
    )
