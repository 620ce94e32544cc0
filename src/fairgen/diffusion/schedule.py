"""How much noise each step holds, and what the network is asked to predict."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor

Latents = Float[Tensor, "batch channels height width"]
Steps = Int[Tensor, " batch"]
PredictionType = Literal["epsilon", "v_prediction"]


@dataclass(frozen=True)
class Schedule:
    r"""Holds $\bar\alpha_t$ for $t = 0, \dots, T-1$ and the prediction type.

    Reference:
        Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020; Salimans & Ho,
        "Progressive Distillation", ICLR 2022, for ``v_prediction``.
    """

    alphas: Float[Tensor, " horizon"]
    prediction_type: PredictionType = "epsilon"

    @property
    def horizon(self) -> int:
        """Return the number of steps $T$."""
        return len(self.alphas)

    def scales(self, t: Steps) -> tuple[Float[Tensor, "b 1 1 1"], Float[Tensor, "b 1 1 1"]]:
        r"""Return $\sqrt{\bar\alpha_t}$ and $\sqrt{1-\bar\alpha_t}$, shaped to multiply latents."""
        alpha = self.alphas.to(t.device)[t][:, None, None, None]
        return alpha.sqrt(), (1 - alpha).sqrt()

    def add_noise(self, clean: Latents, noise: Latents, t: Steps) -> Latents:
        r"""Return $z_t = \sqrt{\bar\alpha_t}\,z_0 + \sqrt{1-\bar\alpha_t}\,\epsilon$."""
        signal, spread = self.scales(t)
        return signal.to(clean.dtype) * clean + spread.to(clean.dtype) * noise

    def target(self, clean: Latents, noise: Latents, t: Steps) -> Latents:
        r"""Return what the network should predict: $\epsilon$, or $v$ of v-prediction."""
        if self.prediction_type == "epsilon":
            return noise
        signal, spread = self.scales(t)
        return signal.to(clean.dtype) * noise - spread.to(clean.dtype) * clean

    def noise(self, prediction: Latents, noised: Latents, t: Steps) -> Latents:
        r"""Return $\hat\epsilon$, the noise that a prediction implies."""
        if self.prediction_type == "epsilon":
            return prediction
        signal, spread = self.scales(t)
        return signal.to(noised.dtype) * prediction + spread.to(noised.dtype) * noised

    def clean(self, prediction: Latents, noised: Latents, t: Steps) -> Latents:
        r"""Return $\hat z_0$, the clean latent that a prediction implies."""
        signal, spread = (scale.to(noised.dtype) for scale in self.scales(t))
        if self.prediction_type == "epsilon":
            return (noised - spread * prediction) / signal
        return signal * noised - spread * prediction
