"""The denoising error (paper, Eq. 3)."""

from jaxtyping import Float, Int
from torch import Tensor

from fairgen.diffusion.schedule import Latents, Schedule


def denoising_error(prediction: Latents, target: Latents) -> Float[Tensor, " batch"]:
    r"""Return each image's mean squared error, in fp32.

    $$\tfrac1d\lVert\epsilon-\hat\epsilon(z_t,t,c)\rVert^2$$

    Args:
        prediction: What the network said.
        target: Noise, or the target of v-prediction.

    Reference:
        FairGen, Eq. 3.
    """
    return (prediction.float() - target.float()).square().mean(dim=(1, 2, 3))


def min_snr_weight(
    schedule: Schedule, t: Int[Tensor, " batch"], gamma: float
) -> Float[Tensor, " batch"]:
    r"""Return the weight of each image's error that clips its signal-to-noise ratio.

    $$\min(\mathrm{SNR},\gamma)/\mathrm{SNR}\ \text{for noise},\qquad
      \min(\mathrm{SNR},\gamma)/(\mathrm{SNR}+1)\ \text{for v}$$

    Args:
        schedule: Noise schedule and prediction type.
        t: Noise step of each image.
        gamma: Largest ratio that counts; 5 in the paper.

    Reference:
        Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy", ICCV 2023.
    """
    alpha = schedule.alphas.to(t.device)[t]
    ratio = alpha / (1 - alpha)
    over = ratio if schedule.prediction_type == "epsilon" else ratio + 1
    return ratio.clamp(max=gamma) / over
