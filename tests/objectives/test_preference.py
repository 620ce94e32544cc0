import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fairgen.objectives.objective import Pairs, build_objective, pair_figures, pair_logit
from fairgen.objectives.preference import (
    Alignment,
    implicit_accuracy,
    preference_logit,
    preference_loss,
    reference_logit,
    safe_scale,
    scaled_gradient,
)


def t(*values):
    return torch.tensor(values)


def latents(*values):
    """Return one latent a value, constant throughout."""
    return torch.tensor(values)[:, None, None, None].expand(-1, 2, 2, 2).clone()


def test_the_released_codes_logit_has_the_worked_value():
    """Beta 0.5, lambda 1 and a gap of 0.01: logit .005, loss .690650."""
    logit = preference_logit(t(0.10), t(0.11), beta=0.5, error_weight=1.0)
    assert logit.item() == pytest.approx(0.005)
    assert preference_loss(logit).item() == pytest.approx(0.690650, abs=1e-6)
    assert torch.sigmoid(logit).item() == pytest.approx(0.50125, abs=1e-5)


def test_diffusion_dpos_logit_has_the_worked_value():
    """Delta -.002 against -.001 at beta 2,500: logit +2.5, loss .078890."""
    logit = reference_logit(t(0.100), t(0.102), t(0.101), t(0.102), beta=2500)
    assert logit.item() == pytest.approx(2.5, rel=1e-3)
    assert preference_loss(t(2.5)).item() == pytest.approx(0.078890, abs=1e-6)


def test_a_network_equal_to_its_reference_loses_ln_2():
    errors = torch.rand(7), torch.rand(7)
    logit = reference_logit(*errors, *errors, beta=2500)
    assert torch.all(logit == 0)
    assert preference_loss(logit).tolist() == pytest.approx([math.log(2)] * 7)


def test_differences_are_taken_in_single_precision():
    low = torch.tensor([0.1], dtype=torch.float16)
    assert preference_logit(low, low, beta=1.0, error_weight=1.0).dtype == torch.float32
    assert reference_logit(low, low, low, low, beta=1.0).dtype == torch.float32


def test_the_margin_adds_to_the_logit_before_beta():
    logit = preference_logit(t(0.2), t(0.1), beta=2.0, error_weight=10.0, margin=t(3.0))
    assert logit.item() == pytest.approx(2 * (3 - 1))


def test_a_tie_counts_half():
    assert implicit_accuracy(t(-1.0, 0.0, 2.0)).tolist() == [0.0, 0.5, 1.0]


def test_the_losss_gradient_is_that_of_the_closed_form():
    """d/de_w = beta lambda sigmoid(-logit), and the opposite for the loser."""
    w, e = t(0.3).requires_grad_(), t(0.1).requires_grad_()
    logit = preference_logit(w, e, beta=0.5, error_weight=4.0)
    preference_loss(logit).sum().backward()
    slope = 0.5 * 4 * torch.sigmoid(-logit.detach())
    torch.testing.assert_close(w.grad, slope)
    torch.testing.assert_close(e.grad, -slope)


def test_extreme_logits_stay_finite():
    assert preference_loss(t(1e4)).item() == 0
    assert preference_loss(t(-1e4)).item() == pytest.approx(1e4)


@given(seed=st.integers(0, 500))
def test_under_the_safeguard_no_step_raises_the_winners_error(seed):
    g = torch.Generator().manual_seed(seed)
    winner, loser = torch.randn(5, generator=g), torch.randn(5, generator=g)
    loser = loser + 2 * winner * torch.rand(1, generator=g)
    scale = safe_scale(winner, loser)
    assert ((winner - scale * loser) @ winner).item() >= -1e-4
    assert 0 <= scale.item() <= 1


def test_the_safeguard_has_its_worked_values():
    winner = t(1.0, 0.0)
    assert safe_scale(winner, t(4.0, 9.0)).item() == 0.25
    assert safe_scale(winner, t(0.5, 9.0)).item() == 1
    assert safe_scale(winner, t(-4.0, 0.0)).item() == 1
    assert safe_scale(t(0.0, 0.0), t(1.0, 0.0)).item() in (0.0, 1.0)


def test_a_scaled_gradient_leaves_the_value():
    x = t(2.0, 3.0).requires_grad_()
    y = scaled_gradient(x, t(0.25, 1.0))
    torch.testing.assert_close(y.detach(), x.detach())
    y.sum().backward()
    assert x.grad.tolist() == [0.25, 1.0]


def pairs(**change):
    given = {
        "winner": latents(0.1, 0.2),
        "winner_target": latents(0.0, 0.0),
        "loser": latents(0.3, 0.1),
        "loser_target": latents(0.0, 0.0),
    }
    return Pairs(**{**given, **change})


def test_the_objective_adds_preference_and_winner_by_their_weights():
    settings = Alignment(weight=3.0, winner_weight=0.5, beta=0.5)
    total, parts = build_objective(None, settings).of_pairs(pairs())
    expected = preference_loss(
        preference_logit(t(0.01, 0.04), t(0.09, 0.01), beta=0.5, error_weight=1.0)
    ).mean()
    assert parts["preference"].item() == pytest.approx(3 * expected.item(), rel=1e-5)
    assert parts["winner"].item() == pytest.approx(1.5 * 0.025, rel=1e-5)
    torch.testing.assert_close(total, sum(parts.values()))


def test_without_a_winner_weight_there_is_no_winner_term():
    objective = build_objective(None, Alignment(winner_weight=0.0))
    assert [term.name for term in objective.terms] == ["denoising"]
    assert [term.name for term in objective.pair_terms] == ["preference"]


def test_errors_of_winners_and_losers_are_told_apart():
    found = pair_figures(Alignment(), pairs())
    assert found["winner_error"].item() == pytest.approx(0.025)
    assert found["loser_error"].item() == pytest.approx(0.05)
    assert found["implicit_accuracy"].item() == 0.5
    assert "winner_gap" not in found


def test_with_a_reference_the_gaps_are_told_apart():
    behind = (t(0.02, 0.02), t(0.02, 0.02))
    found = pair_figures(Alignment(variant="diffusion-dpo"), pairs(reference=behind))
    assert found["winner_gap"].item() == pytest.approx(0.005)
    assert found["loser_gap"].item() == pytest.approx(0.03)


def test_the_losers_scale_changes_gradients_and_no_value():
    said = latents(0.1, 0.2).requires_grad_()
    grads, values = [], []
    for scale in (1.0, t(0.25).squeeze()):
        own = preference_loss(pair_logit(Alignment(), pairs(loser=said, loser_scale=scale)))
        values.append(own.detach())
        (grad,) = torch.autograd.grad(own.sum(), said)
        grads.append(grad)
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(grads[1], 0.25 * grads[0])


def test_what_a_term_lacks_is_refused():
    with pytest.raises(ValueError, match="reference network"):
        pair_logit(Alignment(variant="diffusion-dpo"), pairs())


def test_beta_is_the_variants_own_unless_it_is_set():
    assert Alignment().steepness == 0.5
    assert Alignment(variant="diffusion-dpo").steepness == 2500
    assert Alignment(beta=7.0).steepness == 7


@pytest.mark.parametrize("bad", [{"beta": 0}, {"weight": -1}, {"pairs": 0}, {"reward": "x1"}])
def test_settings_outside_their_range_are_refused(bad):
    with pytest.raises(ValidationError):
        Alignment(**bad)
