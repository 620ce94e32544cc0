import pytest
import torch
from diffusers import DDPMScheduler

from fairgen.diffusion import Schedule


def schedules(prediction_type):
    reference = DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction_type,
    )
    return reference, Schedule(reference.alphas_cumprod, prediction_type)


def batch():
    g = torch.Generator().manual_seed(1)
    clean, noise = (torch.randn(5, 4, 3, 3, generator=g) for _ in range(2))
    return clean, noise, torch.tensor([0, 1, 400, 700, 999])


def test_noise_is_added_as_diffusers_adds_it():
    reference, ours = schedules("epsilon")
    clean, noise, t = batch()
    torch.testing.assert_close(
        ours.add_noise(clean, noise, t), reference.add_noise(clean, noise, t)
    )


def test_the_target_is_the_noise_or_the_velocity():
    clean, noise, t = batch()
    _, ours = schedules("epsilon")
    assert ours.target(clean, noise, t) is noise
    reference, ours = schedules("v_prediction")
    torch.testing.assert_close(
        ours.target(clean, noise, t), reference.get_velocity(clean, noise, t)
    )


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_true_target_implies_the_true_noise(prediction_type):
    clean, noise, t = batch()
    _, ours = schedules(prediction_type)
    target = ours.target(clean, noise, t)
    torch.testing.assert_close(ours.noise(target, ours.add_noise(clean, noise, t), t), noise)


def test_the_horizon_is_the_number_of_steps():
    assert schedules("epsilon")[1].horizon == 1000
