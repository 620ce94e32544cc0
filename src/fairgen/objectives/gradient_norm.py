"""How hard each group is for the network: gradient norms without a backward pass (Eq. 1 and 2)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field
from torch import Tensor
from torch.nn.functional import pad

from fairgen.diffusion.schedule import Latents


class Awareness(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Sets gradient-aware draws.

    Attributes:
        alpha: Strength; zero gives the plain frequency scheme.
        window: Optimisation steps that the averages look back on.
        pseudo_count: Samples of average difficulty added to each group, so that a group that was
            hardly seen counts as average.
        bins: Bins of the noise step, within which norms are compared.
    """

    alpha: float = Field(1.0, ge=0)
    window: int = Field(50, ge=1)
    pseudo_count: float = Field(8.0, ge=0)
    bins: int = Field(10, ge=1)


@dataclass(frozen=True)
class NormWindow:
    """Holds the last steps' sums of gradient norms, and how many samples each sum is of.

    Attributes:
        sums: Sum of norms by step, group and bin of the noise step.
        counts: Number of samples likewise.
    """

    sums: Float[Tensor, "seen groups bins"]
    counts: Float[Tensor, "seen groups bins"]

    def extended(self, tally: Float[Tensor, "2 groups bins"], length: int) -> "NormWindow":
        """Return the window with one more step, of at most ``length`` steps."""
        sums = torch.cat([self.sums, tally[:1]])[-length:]
        return NormWindow(sums, torch.cat([self.counts, tally[1:]])[-length:])


def empty_window(groups: int, bins: int) -> NormWindow:
    """Return a window that has seen nothing."""
    return NormWindow(torch.zeros(0, groups, bins), torch.zeros(0, groups, bins))


def last_layer_norm(
    inputs: Float[Tensor, "batch width_of_layer height width"],
    prediction: Latents,
    target: Latents,
) -> Float[Tensor, " batch"]:
    r"""Return each sample's gradient norm with respect to the last convolution's weights.

    The error's gradient with respect to the output is $2(\hat\epsilon-\epsilon)/d$; correlated
    with the convolution's input it is the gradient of its 3 x 3 weights.

    Args:
        inputs: What entered the network's last convolution (3 x 3, padded by one).
        prediction: What came out of it.
        target: What should have come out.

    Returns:
        Norms in fp32, without gradient.

    Reference:
        Katharopoulos & Fleuret, "Not All Samples Are Created Equal", ICML 2018: the last layer's
        gradient norm tracks that of all weights.
    """
    inputs = pad(inputs.detach().float(), (1, 1, 1, 1))
    error = prediction.detach().float() - target.float()
    slope = (error * (2 / error[0].numel())).flatten(2)
    height, width = prediction.shape[2:]
    square = torch.zeros(len(error), device=error.device)
    for down in range(3):
        for right in range(3):
            seen = inputs[:, :, down : down + height, right : right + width].flatten(2)
            square += torch.bmm(slope, seen.transpose(1, 2)).square().sum(dim=(1, 2))
    return square.sqrt()


def tally_norms(
    norms: Float[Tensor, " batch"],
    groups: Int[Tensor, " batch"],
    bins: Int[Tensor, " batch"],
    counted: Bool[Tensor, " batch"],
    shape: tuple[int, int],
) -> Float[Tensor, "2 groups bins"]:
    """Return sums of norms and numbers of samples by group and bin.

    Args:
        norms: Gradient norm of each sample.
        groups: Its group.
        bins: Bin of its noise step.
        counted: Whether the sample counts.
        shape: Number of groups and of bins.
    """
    found = torch.zeros(2, shape[0] * shape[1], device=norms.device)
    place = groups * shape[1] + bins
    found[0].index_add_(0, place, norms.float() * counted)
    found[1].index_add_(0, place, counted.float())
    return found.reshape(2, *shape)


def hardness(window: NormWindow, pseudo_count: float) -> Float[Tensor, " groups"]:
    r"""Return $G_g/\overline{G_h}$ of each group, drawn towards 1 where few samples were seen.

    A norm is divided by the mean of its bin of the noise step; $G_g$ is the mean of such norms of
    the group's samples, and the mean over $h$ is over the groups that were seen.

    $$\frac{n_g\,G_g/\overline{G_h}+k}{n_g+k}$$

    Args:
        window: Sums of norms of the last steps.
        pseudo_count: $k$, samples of average difficulty added to each group.

    Returns:
        Positive numbers; exactly 1 for a group that was not seen.

    Reference:
        FairGen, Eq. 1 and 2; the division by bin and the shrinkage are this project's reading.
    """
    sums, counts = window.sums.double().sum(dim=0), window.counts.double().sum(dim=0)
    n = counts.sum(dim=1)
    bin_mean = sums.sum(dim=0) / counts.sum(dim=0).clamp(min=1)
    own = (sums / bin_mean.clamp(min=1e-30)).sum(dim=1) / n.clamp(min=1)
    seen = n > 0
    if not seen.any():
        return torch.ones(len(n))
    ratio = torch.where(seen, own / own[seen].mean().clamp(min=1e-30), 1.0)
    shrunk = (n * ratio + pseudo_count) / (n + pseudo_count).clamp(min=1e-30)
    return torch.where(seen, shrunk, 1.0).float()


def gradient_aware(
    weights: Float[Tensor, " images"],
    groups: Int[Tensor, " images"],
    hard: Float[Tensor, " groups"],
    alpha: float,
) -> Float[Tensor, " images"]:
    r"""Return draw weights lifted by how hard each image's group is.

    $$w_g\left(1+\alpha\,G_g/\overline{G_h}\right)$$

    Args:
        weights: $w_g$, each image's weight under the plain scheme ($1/n_g$ or $1/\sqrt{n_g}$).
        groups: Group of each image.
        hard: $G_g/\overline{G_h}$ of each group.
        alpha: Strength; zero leaves the weights as they are.

    Reference:
        FairGen, Eq. 1 (with CBRS) and Eq. 2 (with SQRS).
    """
    return weights * (1 + alpha * hard)[groups]
