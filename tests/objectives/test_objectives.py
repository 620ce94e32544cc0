from dataclasses import replace

import pytest
import torch

from fairgen.cohort.schema import Attribute, Schema
from fairgen.diffusion.schedule import Schedule
from fairgen.objectives import (
    LAWS,
    Diversity,
    Step,
    build_objective,
    denoising_error,
    diversity_penalty,
    min_snr_weight,
    other_law,
)
from fairgen.objectives.diversity import borrowing, ramped, relative_strength

SCHEMA = Schema((Attribute("tone", ("light", "dark")),), Attribute("disease", ("a", "b")))
GROUPS = SCHEMA.groups()
COUNTS = dict(zip(GROUPS, (900, 90, 10, 0), strict=True))


def pair(batch=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    return (torch.randn(batch, 4, 2, 2, generator=g, requires_grad=True) for _ in range(2))


def test_the_denoising_error_is_the_mean_of_squares_of_each_image():
    prediction = torch.zeros(2, 1, 1, 2)
    target = torch.tensor([[[[1.0, 3.0]]], [[[0.0, 2.0]]]])
    assert denoising_error(prediction, target).tolist() == [5.0, 2.0]


def test_the_error_is_computed_in_single_precision():
    prediction, target = torch.zeros(1, 1, 1, 1).half(), torch.full((1, 1, 1, 1), 300.0).half()
    assert denoising_error(prediction, target).item() == 90_000.0


def test_the_penalty_has_the_worked_value():
    f, g = torch.full((1, 1, 1, 1), 0.2), torch.zeros(1, 1, 1, 1)
    t = torch.tensor([500])
    pulled = diversity_penalty(f, g, t, horizon=1000, gamma=0.0)
    both = diversity_penalty(f, g, t, horizon=1000, gamma=0.25)
    torch.testing.assert_close(pulled, torch.tensor([0.02]))
    torch.testing.assert_close(both, torch.tensor([0.025]))


def test_the_penalty_pulls_the_own_prediction_and_by_gamma_the_other():
    f, g = pair()
    t = torch.tensor([100, 500, 900])
    diversity_penalty(f, g, t, horizon=1000, gamma=0.25).sum().backward()
    weight = 2 * (t / 1000)[:, None, None, None] / 16
    torch.testing.assert_close(f.grad, weight * (f - g).detach())
    torch.testing.assert_close(g.grad, -0.25 * weight * (f - g).detach())


def test_no_gradient_reaches_the_other_pass_at_gamma_zero():
    f, g = pair()
    diversity_penalty(f, g, torch.tensor([1, 2, 3]), horizon=10, gamma=0.0).sum().backward()
    assert g.grad is None
    assert f.grad is not None


def test_gamma_one_is_the_plain_squared_difference():
    f, g = pair()
    t = torch.tensor([999, 999, 999])
    diversity_penalty(f, g, t, horizon=999, gamma=1.0).sum().backward()
    grads = f.grad.clone(), g.grad.clone()
    f.grad = g.grad = None
    (f - g).square().mean(dim=(1, 2, 3)).sum().backward()
    torch.testing.assert_close(grads, (f.grad, g.grad))


@pytest.mark.parametrize("bad", [{"tau": -1.0}, {"gamma": 1.5}, {"gamma": -0.1}])
def test_a_strength_outside_its_range_is_refused(bad):
    f, g = pair(1)
    with pytest.raises(ValueError, match="tau"):
        diversity_penalty(f, g, torch.tensor([1]), horizon=10, **bad)


@pytest.mark.parametrize("law", LAWS)
def test_each_law_is_a_law_and_never_draws_an_empty_group(law):
    p = other_law(law, GROUPS, COUNTS)
    totals = p.sum(dim=1)
    assert torch.all((totals - 1).abs() < 1e-6) or law == "subgroup"
    assert torch.all(p[:, 3] == 0)
    assert torch.all(p >= 0)


def test_laws_have_their_worked_values():
    def row(law):
        return [round(v, 4) for v in other_law(law, GROUPS, COUNTS)[0].tolist()]

    assert row("uniform") == [0.3333, 0.3333, 0.3333, 0.0]
    assert row("other") == [0.0, 0.5, 0.5, 0.0]
    assert row("empirical") == [0.9, 0.09, 0.01, 0.0]
    assert row("sqrt") == [0.7034, 0.2224, 0.0741, 0.0]
    assert row("inverse") == [0.0099, 0.0990, 0.8911, 0.0]
    assert row("subgroup") == [0.0, 0.0, 1.0, 0.0]


def test_a_group_without_another_subgroup_has_no_other():
    assert other_law("subgroup", GROUPS, COUNTS)[1].tolist() == [0.0] * 4


def test_an_unknown_law_is_refused_by_name():
    with pytest.raises(ValueError, match="unknown law 'sqr'"):
        other_law("sqr", GROUPS, COUNTS)


def step(kept):
    f, g = pair(2)
    return Step(f, torch.zeros_like(f), torch.tensor([500, 500]), 1000, torch.tensor(kept), g)


def test_the_total_is_the_sum_of_the_parts():
    total, parts = build_objective(Diversity())(step([True, True]))
    assert set(parts) == {"denoising", "diversity"}
    torch.testing.assert_close(total.detach(), sum(parts.values()))


def test_the_term_is_off_where_the_caption_was_dropped():
    _, some = build_objective(Diversity())(step([True, False]))
    _, none = build_objective(Diversity())(step([False, False]))
    assert none["diversity"] == 0 < some["diversity"]


def test_the_term_refuses_a_step_without_the_other_prediction():
    f, _ = pair(1)
    bare = Step(f, f, torch.tensor([1]), 10, torch.tensor([True]))
    with pytest.raises(ValueError, match="another prompt"):
        build_objective(Diversity())(bare)


def test_the_two_parts_of_the_penalty_have_one_value():
    f, g = pair()
    t = torch.tensor([100, 500, 900])
    pulled = diversity_penalty(f, g, t, horizon=1000, gamma=0.0)
    both = diversity_penalty(f, g, t, horizon=1000, gamma=0.25)
    torch.testing.assert_close(both, 1.25 * pulled)


def test_the_penalty_equals_its_single_term_form():
    """Same gradient as |f - (gamma f' + (1 - gamma) sg f')|^2, which lacks the factor 1 + gamma."""
    f, g = pair()
    t = torch.tensor([100, 500, 900])
    diversity_penalty(f, g, t, horizon=1000, gamma=0.25).sum().backward()
    two = f.grad.clone(), g.grad.clone()
    f.grad = g.grad = None
    mixed = 0.25 * g + 0.75 * g.detach()
    ((t / 1000) * (f - mixed).square().mean(dim=(1, 2, 3))).sum().backward()
    torch.testing.assert_close(two, (f.grad, g.grad))


def test_a_ramp_lets_tau_rise_or_fall_along_the_training():
    assert [ramped(r, 0.25) for r in ("none", "up", "down")] == [1.0, 0.25, 0.75]
    halves = {}
    for ramp in ("none", "up", "down"):
        at = replace(step([True, True]), progress=0.75)
        halves[ramp] = build_objective(Diversity(ramp=ramp))(at)[1]["diversity"].item()
    assert halves["up"] == pytest.approx(0.75 * halves["none"])
    assert halves["down"] == pytest.approx(0.25 * halves["none"])


def test_rare_groups_borrow_most_and_the_largest_not_at_all():
    assert borrowing(GROUPS, COUNTS).tolist() == pytest.approx([0.0, 0.9, 0.98889, 1.0], abs=1e-5)
    at = replace(step([True, True]), borrows=torch.tensor([0.0, 0.5]))
    plain = build_objective(Diversity())(at)[1]["diversity"]
    rare = build_objective(Diversity(rare=True))(at)[1]["diversity"]
    assert 0 < rare < plain / 2 + plain / 2


def test_a_relative_tau_hardly_pulls_a_weak_condition():
    gap, error = torch.tensor([0.001, 0.5, 3.0]), torch.tensor([0.1, 1.0, 1.0])
    assert relative_strength(gap, error).tolist() == pytest.approx([0.01, 0.5, 1.0])
    f = torch.full((1, 1, 1, 1), 1.0)
    weak = Step(f, f - 1, torch.tensor([500]), 1000, torch.tensor([True]), f - 0.1)
    plain = build_objective(Diversity())(weak)[1]["diversity"].item()
    assert build_objective(Diversity(relative=True))(weak)[1]["diversity"].item() == pytest.approx(
        0.01 * plain, rel=1e-4
    )


def test_weights_multiply_the_denoising_error_of_each_image():
    at = replace(step([True, True]), weights=torch.tensor([0.0, 2.0]))
    errors = denoising_error(at.prediction, at.target)
    found = build_objective()(at)[1]["denoising"].item()
    assert found == pytest.approx(errors[1].item(), rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "expected"), [("epsilon", [5 / 9, 1.0]), ("v_prediction", [0.5, 0.5])]
)
def test_min_snr_weights_have_their_worked_values(kind, expected):
    """Ratios 9 and 1, clipped at 5: 5/9 and 1 for noise, 5/10 and 1/2 for v."""
    schedule = Schedule(torch.tensor([0.9, 0.5]), kind)
    assert min_snr_weight(schedule, torch.tensor([0, 1]), 5.0).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_clean_latent_is_found_again_from_the_true_target(kind):
    schedule = Schedule(torch.linspace(0.99, 0.01, 10), kind)
    clean, noise = torch.randn(4, 1, 2, 2), torch.randn(4, 1, 2, 2)
    t = torch.tensor([0, 3, 6, 9])
    noised = schedule.add_noise(clean, noise, t)
    found = schedule.clean(schedule.target(clean, noise, t), noised, t)
    torch.testing.assert_close(found, clean, rtol=1e-4, atol=1e-4)
