"""The denoising error (paper, Eq. 3)."""

from jaxtyping import Float
from torch import Tensor

from fairgen.diffusion.schedule import Latents


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
