"""What may be set about a training."""

from typing import Literal

from pydantic import BaseModel, Field


class TrainSettings(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Sets a training; the defaults are the paper's recipe.

    Attributes:
        steps: Optimisation steps.
        batch_size: Images a device holds at once.
        accumulation: Batches whose gradients are summed before a step.
        learning_rate: Peak learning rate of AdamW, decayed to zero along a half cosine.
        warmup: Steps of linear warm-up.
        weight_decay: Weight decay of AdamW.
        caption_dropout: Share of captions replaced by the empty one, in [0, 1].
        max_grad_norm: Norm to which gradients are clipped.
        ema: Average the weights; the averaged ones are saved. Without, the last ones are.
        ema_decay: Largest decay of the averaged weights.
        prediction: What the network predicts, ``epsilon`` or ``v_prediction``; unset, as the base.
        min_snr_gamma: Largest signal-to-noise ratio that the denoising error is weighted by (5 is
            usual); unset, every noise step counts alike.
        noise_offset: Strength of added noise that is constant over each latent channel (0.1 is
            usual), which helps very dark and very bright images.
        lora_rank: Rank of the low-rank adapters that are trained in place of the U-Net; unset, the
            whole U-Net is trained.
        lora_alpha: Scale of the adapters; unset, their rank.
        lora_targets: Names of the layers that get adapters.
        mixed_precision: Arithmetic of the U-Net; weights stay in fp32.
        gradient_checkpointing: Recompute activations to save memory.
        optimizer: ``adamw`` in PyTorch's fused form, the same in its plain form, or with its state
            in eight bits (needs bitsandbytes; 0.50 works without a GPU too).
        channels_last: Lay the U-Net's convolutions out with the channels last.
        compile: Compile the U-Net (``torch.compile``): minutes at the start. Not with
            ``channels_last``.
        cache_latents: Encode each image once; otherwise at every draw.
        cache_prompts: Encode each prompt once; otherwise at every draw.
        flip: Mirror half of the images; unset, as the modality allows.
        size: Side of the square images in pixels; unset, as the base was made for.
        train_text_encoder: Train the text encoder too. Only for pretraining a base.
        empty_groups: What to do if a group has no training image: stop, or train on without it (the
            model then knows nothing of that group, though it will draw something for its prompt).
        checkpoint_every: Steps between checkpoints; zero for none.
        checkpoints_limit: Checkpoints kept.
        log_every: Steps between lines of the log.
        probe_every: Steps between measurements of the condition's strength and of fixed pairs, the
            last step measured too; zero for none.
        grid_every: Steps between sample grids; zero for one at the end.
        grid_columns: Images of each group in a grid; zero for no grid.
        grid_guidance: Guidance of the grid's images.
        tracker: Where accelerate reports to, besides ``log.jsonl``.
    """

    steps: int = Field(15_000, ge=1)
    batch_size: int = Field(8, ge=1)
    accumulation: int = Field(4, ge=1)
    learning_rate: float = Field(1e-5, gt=0)
    warmup: int = Field(0, ge=0)
    weight_decay: float = Field(1e-2, ge=0)
    caption_dropout: float = Field(0.1, ge=0, le=1)
    max_grad_norm: float = Field(1.0, gt=0)
    ema: bool = True
    ema_decay: float = Field(0.9999, ge=0, lt=1)
    prediction: Literal["epsilon", "v_prediction"] | None = None
    min_snr_gamma: float | None = Field(None, gt=0)
    noise_offset: float = Field(0.0, ge=0)
    lora_rank: int | None = Field(None, ge=1)
    lora_alpha: float | None = Field(None, gt=0)
    lora_targets: tuple[str, ...] = Field(("to_q", "to_k", "to_v", "to_out.0"), min_length=1)
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    gradient_checkpointing: bool = False
    optimizer: Literal["adamw", "adamw-plain", "adamw-8bit"] = "adamw"
    channels_last: bool = False
    compile: bool = False
    cache_latents: bool = True
    cache_prompts: bool = True
    flip: bool | None = None
    size: int | None = Field(None, ge=8)
    train_text_encoder: bool = False
    empty_groups: Literal["error", "allow"] = "error"
    checkpoint_every: int = Field(500, ge=0)
    checkpoints_limit: int = Field(2, ge=1)
    log_every: int = Field(25, ge=1)
    probe_every: int = Field(250, ge=0)
    grid_every: int = Field(0, ge=0)
    grid_columns: int = Field(4, ge=0)
    grid_guidance: float = Field(3.0, ge=1)
    tracker: Literal["none", "tensorboard", "wandb", "mlflow"] = "tensorboard"
