import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairgen.objectives.reward import pair_probability, reward_loss

scores = st.floats(-30, 30, width=32)


def test_equal_scores_cost_the_logarithm_of_two():
    same = torch.tensor([0.0, -3.0, 1e4])
    torch.testing.assert_close(reward_loss(same, same), torch.full((3,), math.log(2)))


def test_the_loss_has_the_worked_values():
    found = reward_loss(torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(found, torch.tensor([0.126928, 2.126928, 0.474077]))


def test_the_gradient_is_the_chance_given_to_the_wrong_order():
    winner, loser = torch.randn(2, 50, dtype=torch.float64).mul(3).requires_grad_().unbind()
    found = torch.autograd.grad(reward_loss(winner, loser).sum(), (winner, loser))
    wrong = torch.sigmoid(-(winner - loser)).detach()
    torch.testing.assert_close(found[0], -wrong, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found[1], wrong, atol=1e-6, rtol=1e-5)


def test_large_differences_neither_overflow_nor_vanish():
    far = torch.tensor([1e4, -1e4])
    assert reward_loss(far, -far).tolist() == [0.0, 2e4]
    half = torch.tensor([6e4]).half()
    assert reward_loss(-half, half).dtype == torch.float32
    assert reward_loss(-half, half).item() == pytest.approx(1.2e5, rel=1e-3)


@given(scores, scores, st.floats(-10, 10, width=32))
def test_the_loss_is_the_negative_logarithm_of_the_probability_and_knows_differences_alone(a, b, c):
    winner, loser = torch.tensor([a]), torch.tensor([b])
    loss = reward_loss(winner, loser)
    torch.testing.assert_close(-torch.log(pair_probability(winner, loser) + 1e-30), loss)
    torch.testing.assert_close(reward_loss(winner + c, loser + c), loss, atol=1e-4, rtol=1e-4)


@given(scores, scores, st.floats(0.1, 10))
def test_the_two_orders_of_a_pair_have_probabilities_that_sum_to_one(a, b, heat):
    first, second = torch.tensor([a]), torch.tensor([b])
    both = [pair_probability(x, y, temperature=heat) for x, y in ((first, second), (second, first))]
    torch.testing.assert_close(both[0] + both[1], torch.ones(1))


def test_temperature_divides_the_difference():
    found = pair_probability(torch.tensor([3.0]), torch.tensor([1.0]), temperature=2.0)
    assert found.item() == pytest.approx(1 / (1 + math.exp(-1)))
    for wrong in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"temperature: {wrong}; expected a number above zero"):
            pair_probability(torch.zeros(1), torch.zeros(1), temperature=wrong)
