import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fairgen.objectives.gradient_norm import (
    Awareness,
    empty_window,
    gradient_aware,
    hardness,
    last_layer_norm,
    tally_norms,
)


def window(groups, bins, norms, length=50, steps=1):
    """Return a window of equal steps: lists of (group, bin, norm)."""
    found = empty_window(groups, bins)
    for _ in range(steps):
        g, b, n = (torch.tensor(v) for v in zip(*norms, strict=True))
        seen = torch.ones(len(n), dtype=torch.bool)
        found = found.extended(tally_norms(n.float(), g, b, seen, (groups, bins)), length)
    return found


def test_the_norm_is_that_of_the_last_convolutions_own_gradient():
    g = torch.Generator().manual_seed(0)
    layer = torch.nn.Conv2d(6, 4, 3, padding=1)
    inputs, target = torch.randn(5, 6, 7, 9, generator=g), torch.randn(5, 4, 7, 9, generator=g)
    prediction = layer(inputs)
    found = last_layer_norm(inputs, prediction, target)
    for i in range(5):
        loss = (prediction[i] - target[i]).square().mean()
        (own,) = torch.autograd.grad(loss, [layer.weight], retain_graph=True)
        assert found[i].item() == pytest.approx(own.norm().item(), rel=1e-4)
    assert not found.requires_grad


def test_the_norm_is_computed_in_single_precision():
    inputs = torch.full((1, 1, 2, 2), 200.0).half()
    found = last_layer_norm(inputs, torch.full((1, 1, 2, 2), 900.0).half(), torch.zeros(1, 1, 2, 2))
    assert math.isfinite(found.item())
    assert found.dtype == torch.float32


def test_sums_are_by_group_and_bin_of_what_counts():
    tally = tally_norms(
        torch.tensor([1.0, 2.0, 4.0, 8.0]),
        torch.tensor([0, 0, 1, 1]),
        torch.tensor([0, 1, 1, 1]),
        torch.tensor([True, True, True, False]),
        (2, 2),
    )
    assert tally.tolist() == [[[1.0, 2.0], [0.0, 4.0]], [[1.0, 1.0], [0.0, 1.0]]]


def test_a_harder_group_of_equal_size_gets_the_weight_that_the_equation_says():
    """Norms 3 and 1: mean 2, ratios 1.5 and 0.5; 100 samples and 8 of pseudo-count each."""
    seen = window(2, 1, [(0, 0, 3.0)] * 100 + [(1, 0, 1.0)] * 100)
    hard = hardness(seen, 8.0)
    expected = [(100 * 1.5 + 8) / 108, (100 * 0.5 + 8) / 108]
    assert hard.tolist() == pytest.approx(expected, rel=1e-5)
    weights = gradient_aware(torch.full((4,), 0.1), torch.tensor([0, 0, 1, 1]), hard, 1.0)
    assert weights.tolist() == pytest.approx(
        [0.1 * (1 + expected[0])] * 2 + [0.1 * (1 + expected[1])] * 2, rel=1e-5
    )


def test_noise_steps_do_not_pass_for_difficulty():
    """One group is seen at noisy steps only, where every norm is ten times larger."""
    norms = [(0, 0, 1.0)] * 40 + [(0, 1, 10.0)] * 40 + [(1, 1, 10.0)] * 40
    assert hardness(window(2, 2, norms), 8.0).tolist() == pytest.approx([1.0, 1.0], rel=1e-5)


def test_a_group_that_was_not_seen_counts_as_exactly_average():
    assert hardness(empty_window(3, 2), 8.0).tolist() == [1.0, 1.0, 1.0]
    some = hardness(window(3, 1, [(0, 0, 3.0), (1, 0, 1.0)]), 8.0).tolist()
    assert some[2] == 1.0
    assert some[0] == pytest.approx((1.5 + 8) / 9)


def test_the_window_forgets_what_is_older_than_its_length():
    old = window(2, 1, [(0, 0, 9.0), (1, 0, 1.0)], length=3, steps=5)
    assert len(old.sums) == 3
    fresh = old
    for _ in range(3):
        tally = tally_norms(
            torch.ones(2), torch.arange(2), torch.zeros(2).long(),
            torch.ones(2, dtype=torch.bool), (2, 1),
        )  # fmt: skip
        fresh = fresh.extended(tally, 3)
    assert hardness(fresh, 0.0).tolist() == pytest.approx([1.0, 1.0])
    assert hardness(old, 0.0).tolist() == pytest.approx([1.8, 0.2])


def test_at_alpha_zero_the_weights_are_the_plain_ones_to_the_bit():
    plain, hard = torch.rand(20), torch.rand(3) + 0.5
    assert torch.equal(gradient_aware(plain, torch.arange(20) % 3, hard, 0.0), plain)


@given(scale=st.floats(1e-6, 1e6), seed=st.integers(0, 99))
def test_difficulty_does_not_depend_on_the_scale_of_the_loss(scale, seed):
    g = torch.Generator().manual_seed(seed)
    norms = [
        (int(a), int(b), float(n) + 0.1)
        for a, b, n in zip(
            torch.randint(3, (50,), generator=g),
            torch.randint(2, (50,), generator=g),
            torch.rand(50, generator=g),
            strict=True,
        )
    ]
    scaled = [(a, b, n * scale) for a, b, n in norms]
    torch.testing.assert_close(
        hardness(window(3, 2, norms), 8.0), hardness(window(3, 2, scaled), 8.0),
        rtol=1e-3, atol=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize("bad", [{"alpha": -1}, {"window": 0}, {"pseudo_count": -1}, {"bins": 0}])
def test_settings_outside_their_range_are_refused(bad):
    with pytest.raises(ValidationError):
        Awareness(**bad)
