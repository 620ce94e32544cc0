import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load, save

from fairgen.errors import CheckpointError
from fairgen.objectives.perturbation import (
    Perturbation,
    PerturbationState,
    advance_perturbation,
    fairness_value,
    perturbation_weights,
    start_perturbation,
    state_from,
    state_tensors,
)
from fairgen.objectives.perturbation_search import fairest_scales

SIZES = (3, 2)  # two attributes: levels 0, 1, 2 and levels 3, 4 of the flat table
FAITHFUL = Perturbation(window=6)
REPAIRED = Perturbation(window=6, mode="repaired")
NAN = float("nan")


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


def state(sigma, **changes):
    start = start_perturbation((len(sigma),))
    return PerturbationState(**{**vars(start), "sigma": doubles(*sigma), **changes})


def batch(seed, n=16):
    g = torch.Generator().manual_seed(1000 + seed)
    members = torch.stack(
        [torch.randint(3, (n,), generator=g), 3 + torch.randint(2, (n,), generator=g)], dim=1
    )
    return torch.rand(n, generator=g), members


def run(settings, steps, start=None, first=0):
    now = start_perturbation(SIZES) if start is None else start
    for i in range(first, first + steps):
        now = advance_perturbation(settings, now, *batch(i), SIZES, seed=i)
    return now


def same(a, b):
    return all(
        x.dtype == y.dtype and torch.equal(x.nan_to_num(-1.0), y.nan_to_num(-1.0))
        for x, y in zip(state_tensors(a).values(), state_tensors(b).values(), strict=True)
    )


def draw(seed, levels):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(levels, generator=g, dtype=torch.float64)


def test_weights_have_their_worked_values():
    members = torch.tensor([[0, 3], [2, 4], [1, 3]])
    noise = torch.tensor([[1.0, -2.0], [0.5, 1.0], [-3.0, 1.0]])
    now = state([0.2, 0.5, 0.4, 0.3, 0.1])
    faithful = perturbation_weights(FAITHFUL, now, members, noise)
    repaired = perturbation_weights(REPAIRED, now, members, noise)
    torch.testing.assert_close(faithful, torch.tensor([0.6, 1.3, -0.2]))
    torch.testing.assert_close(repaired, torch.tensor([0.6, 1.3, 0.1]))


def test_every_scale_is_one_at_the_start():
    assert start_perturbation(SIZES).sigma.tolist() == [1.0] * 5


def test_an_unknown_level_adds_nothing_to_the_weight():
    now = state([0.2, 0.5, 0.4, 0.3, 0.1])
    noise = torch.tensor([[7.0, 2.0], [7.0, 9.0]])
    weights = perturbation_weights(FAITHFUL, now, torch.tensor([[-1, 3], [-1, -1]]), noise)
    torch.testing.assert_close(weights, torch.tensor([1.6, 1.0]))


def test_the_weights_have_the_type_of_the_noise():
    noise = torch.zeros(1, 2)
    members = torch.tensor([[0, 3]])
    for kind in (torch.float16, torch.float32, torch.float64):
        weights = perturbation_weights(FAITHFUL, start_perturbation(SIZES), members, noise.to(kind))
        assert weights.dtype == kind


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_the_mean_weight_is_one_whatever_the_scale(scale):
    n = 200_000
    noise = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    weights = perturbation_weights(
        FAITHFUL, state([scale] * 6), torch.tensor([[0, 2, 4]]).expand(n, 3), noise
    )
    error = scale * math.sqrt(3 / n)
    assert abs(weights.mean().item() - 1) < 4 * error
    assert weights.std().item() == pytest.approx(scale * math.sqrt(3), rel=0.01)


def test_more_than_a_quarter_of_the_faithful_weights_is_negative_at_the_start():
    n = 100_000
    noise = torch.randn(n, 3, generator=torch.Generator().manual_seed(1))
    members = torch.tensor([[0, 2, 4]]).expand(n, 3)
    start = start_perturbation((2, 2, 2))
    faithful = perturbation_weights(FAITHFUL, start, members, noise)
    repaired = perturbation_weights(REPAIRED, start, members, noise)
    expected = 0.5 * math.erfc(1 / math.sqrt(6))  # chance of 1 + sqrt(3) z < 0: 28.2 %
    error = math.sqrt(expected * (1 - expected) / n)
    assert abs((faithful < 0).double().mean().item() - expected) < 4 * error
    assert repaired.min().item() == pytest.approx(0.1)


def test_repaired_weights_have_a_mean_above_one():
    n = 200_000
    noise = torch.randn(n, 3, generator=torch.Generator().manual_seed(2))
    start = start_perturbation((2, 2, 2))
    weights = perturbation_weights(REPAIRED, start, torch.tensor([[0, 2, 4]]).expand(n, 3), noise)
    s, a = math.sqrt(3), 0.9
    density = math.exp(-((a / s) ** 2) / 2) / math.sqrt(2 * math.pi)
    expected = 0.1 + a * 0.5 * math.erfc(-a / s / math.sqrt(2)) + s * density
    assert expected == pytest.approx(1.33, abs=0.005)
    assert weights.mean().item() == pytest.approx(expected, abs=0.015)


def test_the_fairness_value_is_minus_the_sum_of_gaps():
    losses = torch.tensor([1.0, 2.0, 4.0, 3.0])
    members = torch.tensor([[0, 3], [1, 4], [2, 4], [2, 3]])
    # means: 1, 2, 3.5 (gap 2.5) and 2, 3 (gap 1)
    for mode in ("faithful", "repaired"):
        assert fairness_value(losses, members, SIZES, mode=mode) == -3.5


def test_an_attribute_with_an_absent_level_counts_as_fair_or_its_other_levels_are_compared():
    losses = torch.tensor([1.0, 2.0, 4.0])
    members = torch.tensor([[0, 3], [1, 4], [1, 4]])
    # means: 1, 3, none (gap 2 of those present) and 1, 3 (gap 2)
    assert fairness_value(losses, members, SIZES) == -2.0
    assert fairness_value(losses, members, SIZES, mode="repaired") == -4.0


def test_an_image_of_unknown_level_counts_for_its_known_attribute_only():
    losses = torch.tensor([1.0, 2.0, 9.0])
    members = torch.tensor([[0, 2], [1, 3], [-1, 3]])
    # means: 1, 2 (gap 1) and 1, 5.5 (gap 4.5)
    assert fairness_value(losses, members, (2, 2)) == -5.5


def test_a_loss_that_is_not_finite_is_left_out_when_repaired():
    losses = torch.tensor([1.0, 2.0, NAN, float("inf")])
    members = torch.tensor([[0], [1], [1], [0]])
    assert fairness_value(losses, members, (2,)) == 0.0
    assert fairness_value(losses, members, (2,), mode="repaired") == -1.0


def test_a_batch_without_any_known_level_is_fair():
    members = torch.full((2, 2), -1)
    for mode in ("faithful", "repaired"):
        assert fairness_value(torch.ones(2), members, SIZES, mode=mode) == 0.0


@pytest.mark.parametrize("members", [[[3, 3]], [[0, 2]], [[0, 5]]])
def test_a_level_of_another_attribute_is_refused(members):
    with pytest.raises(ValueError, match=r"a level outside its attribute; expected \[3, 2\]"):
        fairness_value(torch.ones(1), torch.tensor(members), SIZES)


def test_another_number_of_attributes_is_refused():
    with pytest.raises(ValueError, match="members: 1 attributes; expected 2"):
        fairness_value(torch.ones(1), torch.tensor([[0]]), SIZES)


@given(
    losses=st.lists(st.floats(0, 10, width=32), min_size=1, max_size=12),
    seed=st.integers(0, 10**6),
    mode=st.sampled_from(["faithful", "repaired"]),
)
def test_fairness_is_never_positive_and_does_not_hang_on_the_order(losses, seed, mode):
    g = torch.Generator().manual_seed(seed)
    n = len(losses)
    values = torch.tensor(losses)
    members = torch.stack(
        [torch.randint(-1, 3, (n,), generator=g), 3 + torch.randint(2, (n,), generator=g)], dim=1
    )
    order = torch.randperm(n, generator=g)
    value = fairness_value(values, members, SIZES, mode=mode)
    assert value <= 0
    assert fairness_value(values[order], members[order], SIZES, mode=mode) == pytest.approx(value)
    assert fairness_value(values, members, SIZES, mode="repaired") <= value


def test_a_batch_is_noted_and_mixes_the_scales_with_random_ones():
    losses, members = torch.tensor([1.0, 2.0]), torch.tensor([[0], [1]])
    now = advance_perturbation(FAITHFUL, state([0.4, 0.8]), losses, members, (2,), seed=7)
    assert now.inputs.tolist() == [[0.4, 0.8]]
    assert now.values.tolist() == [-1.0]
    assert now.averages.isnan().all()
    assert torch.equal(now.sigma, 0.95 * doubles(0.4, 0.8) + (1 - 0.95) * draw(7, 2))


def test_a_fifth_of_the_scales_is_left_after_thirty_batches():
    settings, losses, members = Perturbation(window=100), torch.ones(1), torch.tensor([[0]])
    high, low = state([1.0, 1.0]), state([0.0, 0.0])
    for seed in range(30):
        high = advance_perturbation(settings, high, losses, members, (2,), seed)
        low = advance_perturbation(settings, low, losses, members, (2,), seed)
    left = high.sigma - low.sigma
    torch.testing.assert_close(left, doubles(0.95**30, 0.95**30))
    assert left[0].item() == pytest.approx(0.215, abs=0.001)


def test_full_exploitation_keeps_the_scales_and_none_forgets_them():
    losses, members = batch(0)
    start = start_perturbation(SIZES)
    kept = advance_perturbation(Perturbation(exploitation=1), start, losses, members, SIZES, 3)
    lost = advance_perturbation(Perturbation(exploitation=0), start, losses, members, SIZES, 3)
    assert torch.equal(kept.sigma, start.sigma)
    assert torch.equal(lost.sigma, draw(3, 5))


def test_averaged_losses_have_their_worked_values():
    settings = Perturbation(mode="repaired", decay=0.75)
    start = start_perturbation((3,))
    one = advance_perturbation(
        settings, start, torch.tensor([4.0, 8.0]), torch.tensor([[0], [1]]), (3,), 0
    )
    two = advance_perturbation(
        settings, one, torch.tensor([0.0, 2.0]), torch.tensor([[0], [2]]), (3,), 1
    )
    assert one.averages[:2].tolist() == [4.0, 8.0]
    assert one.averages[2].isnan()
    assert two.averages.tolist() == [3.0, 8.0, 2.0]
    assert two.values.tolist() == [-4.0, -6.0]


def test_the_first_repaired_value_is_that_of_its_batch():
    losses, members = batch(0)
    now = advance_perturbation(REPAIRED, start_perturbation(SIZES), losses, members, SIZES, 0)
    assert now.values.item() == fairness_value(losses, members, SIZES)


def test_the_notes_are_cleared_by_each_search():
    for steps, left in ((5, 5), (6, 0), (7, 1), (12, 0)):
        now = run(FAITHFUL, steps)
        assert now.inputs.shape == (left, 5)
        assert now.values.shape == (left,)


def test_a_search_moves_the_scales_to_what_was_found_before_they_are_mixed():
    before = run(FAITHFUL, 5)
    after = run(FAITHFUL, 1, before, first=5)
    found = (after.sigma - (1 - 0.95) * draw(5, 5)) / 0.95
    assert torch.all((found > -1e-9) & (found < 1 + 1e-9))
    assert (found - before.sigma).abs().max() > 0.05


@pytest.mark.parametrize("settings", [FAITHFUL, REPAIRED])
def test_the_scales_stay_between_zero_and_one(settings):
    now = start_perturbation(SIZES)
    for i in range(14):
        now = advance_perturbation(settings, now, *batch(i), SIZES, seed=i)
        assert torch.all((now.sigma >= 0) & (now.sigma <= 1))


@pytest.mark.parametrize("loss", [1.0, NAN, float("inf")])
@pytest.mark.parametrize("settings", [FAITHFUL, REPAIRED])
def test_the_scales_are_only_mixed_if_a_window_teaches_nothing(settings, loss):
    now = expected = start_perturbation(SIZES)
    sigma = expected.sigma
    _, members = batch(0)
    for i in range(7):
        now = advance_perturbation(settings, now, torch.full((16,), loss), members, SIZES, i)
        sigma = 0.95 * sigma + (1 - 0.95) * draw(i, 5)
    assert torch.equal(now.sigma, sigma)


def test_the_same_seeds_give_the_same_state_and_others_do_not():
    assert same(run(FAITHFUL, 8), run(FAITHFUL, 8))
    losses, members = batch(0)
    one, two = (
        advance_perturbation(FAITHFUL, start_perturbation(SIZES), losses, members, SIZES, seed)
        for seed in (1, 2)
    )
    assert not torch.equal(one.sigma, two.sigma)


def test_no_global_random_state_is_read_or_moved():
    torch.manual_seed(0)
    np.random.seed(0)
    one = run(FAITHFUL, 7)
    after = torch.rand(1), np.random.rand()
    two = run(FAITHFUL, 7)
    assert same(one, two)
    torch.manual_seed(0)
    np.random.seed(0)
    assert after == (torch.rand(1), np.random.rand())


def bowl(x, top):
    return -np.square(x - top).sum(axis=-1)


def test_the_search_finds_fairer_scales_than_chance():
    better = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        top, tried, others = random.random(5), random.random((30, 5)), random.random((1000, 5))
        values = bowl(tried, top) + 0.05 * random.normal(size=30)
        found = fairest_scales(tried, values, confidence=0.1, seed=seed)
        assert np.all((found >= 0) & (found <= 1))
        better.append((bowl(others, top) < bowl(found, top)).mean())
    assert np.mean(better) > 0.98
    assert min(better) > 0.9


def test_the_search_is_repeatable():
    random = np.random.default_rng(0)
    tried = random.random((12, 3))
    values = bowl(tried, 0.3)
    one, two = (fairest_scales(tried, values, confidence=0.1, seed=4) for _ in range(2))
    assert np.array_equal(one, two)


def test_the_search_does_not_hang_on_the_unit_of_the_losses():
    random = np.random.default_rng(1)
    tried = random.random((20, 3))
    values = bowl(tried, 0.3)
    one = fairest_scales(tried, values, confidence=0.1, seed=0)
    other = fairest_scales(tried, 1e-4 * values - 7, confidence=0.1, seed=0)
    np.testing.assert_allclose(one, other, atol=1e-2)


def test_much_confidence_looks_where_nothing_was_tried():
    tried = np.linspace(0, 0.5, 20)[:, None]
    values = bowl(tried, 0.25) + 0.005 * np.random.default_rng(0).normal(size=20)
    greedy = fairest_scales(tried, values, confidence=0.0, seed=0)
    curious = fairest_scales(tried, values, confidence=1e4, seed=0)
    assert greedy[0] == pytest.approx(0.25, abs=0.05)
    assert curious[0] == 1.0


@pytest.mark.parametrize(
    ("tried", "values"),
    [
        ([[0.5, 0.5]], [-1.0]),
        ([[0.1, 0.2], [0.3, 0.4]], [-1.0, -1.0]),
        ([[0.1, 0.2], [0.1, 0.2]], [-1.0, -2.0]),
        ([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], [-0.1, -0.1, -0.1]),
        ([[0.1, 0.2], [0.3, 0.4]], [0.0, -1e-320]),
        ([[0.1, 0.2], [0.3, 0.4]], [-1.0, NAN]),
        ([[0.1, 0.2], [0.3, 0.4]], [NAN, -math.inf]),
        (np.empty((0, 2)), np.empty(0)),
    ],
)
def test_nothing_is_found_where_there_is_nothing_to_learn(tried, values):
    assert fairest_scales(np.array(tried), np.array(values), confidence=0.1, seed=0) is None


def test_values_that_are_not_finite_are_left_out():
    random = np.random.default_rng(0)
    tried = random.random((12, 3))
    values = bowl(tried, 0.3)
    spoilt = np.insert(values, [3, 8], [NAN, -math.inf])
    more = np.insert(tried, [3, 8], 0.9, axis=0)
    found = fairest_scales(more, spoilt, confidence=0.1, seed=0)
    assert np.array_equal(found, fairest_scales(tried, values, confidence=0.1, seed=0))


def test_two_points_are_enough():
    tried, values = np.array([[0.2, 0.2], [0.6, 0.8]]), np.array([-2.0, -1.0])
    assert fairest_scales(tried, values, confidence=0.1, seed=0).shape == (2,)


@pytest.mark.parametrize("settings", [FAITHFUL, REPAIRED])
@pytest.mark.parametrize("stop", [0, 1, 5, 6, 7])
def test_a_run_goes_on_to_the_last_bit_from_any_step(settings, stop):
    stored = load(save(state_tensors(run(settings, stop))))
    resumed = state_from(stored)
    assert same(resumed, run(settings, stop))
    assert same(run(settings, 9 - stop, resumed, first=stop), run(settings, 9))


def test_a_checkpoint_without_a_tensor_is_refused():
    tensors = state_tensors(start_perturbation(SIZES))
    del tensors["values"]
    with pytest.raises(
        CheckpointError, match=r"found averages, inputs, sigma; expected averages, inputs, sigma, v"
    ):
        state_from(tensors)
    with pytest.raises(CheckpointError, match="found nothing"):
        state_from({})


def test_a_checkpoint_of_single_precision_is_refused():
    tensors = state_tensors(start_perturbation(SIZES))
    with pytest.raises(CheckpointError, match=r"sigma: torch\.float32; expected float64"):
        state_from({**tensors, "sigma": tensors["sigma"].float()})


def test_the_defaults_are_those_of_the_authors():
    settings = Perturbation()
    assert (settings.mode, settings.window) == ("faithful", 30)
    assert (settings.exploitation, settings.confidence) == (0.95, 0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "fair"},
        {"window": 1},
        {"exploitation": -0.1},
        {"exploitation": 1.1},
        {"confidence": -1.0},
        {"confidence": float("inf")},
        {"smallest": -0.1},
        {"smallest": 1.1},
        {"decay": 1.0},
        {"decay": NAN},
        {"windows": 30},
    ],
)
def test_a_setting_outside_its_range_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Perturbation(**wrong)
