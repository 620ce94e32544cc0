import torch
from hypothesis import given
from hypothesis import strategies as st

from fairgen.diffusion.draw import DrawPlan, choose

PLAN = DrawPlan(seed=3, shape=(4, 2, 2), horizon=1000, dropout=0.1, flip=True)
EVEN = torch.ones(10)


def test_a_step_draws_the_same_however_often_it_is_drawn():
    first, again = PLAN.draw(7, 32, EVEN), PLAN.draw(7, 32, EVEN)
    for name, value in vars(first).items():
        assert torch.equal(value, vars(again)[name]), name


def test_two_steps_and_two_seeds_draw_different_noise():
    other = DrawPlan(seed=4, shape=(4, 2, 2), horizon=1000, dropout=0.1, flip=True)
    assert not torch.equal(PLAN.draw(7, 4, EVEN).noise, PLAN.draw(8, 4, EVEN).noise)
    assert not torch.equal(PLAN.draw(7, 4, EVEN).noise, other.draw(7, 4, EVEN).noise)


def test_noise_does_not_depend_on_the_weights_of_a_method():
    skewed = torch.tensor([10.0] + [1.0] * 9)
    a, b = PLAN.draw(0, 64, EVEN), PLAN.draw(0, 64, skewed)
    assert torch.equal(a.noise, b.noise)
    assert torch.equal(a.t, b.t)
    assert not torch.equal(a.rows, b.rows)


def test_parts_put_together_are_the_whole_batch():
    whole = PLAN.draw(2, 8, EVEN)
    parts = [whole.part(0, 4), whole.part(4, 8)]
    for name, value in vars(whole).items():
        assert torch.equal(torch.cat([vars(p)[name] for p in parts]), value), name


def test_captions_are_dropped_for_a_tenth_of_the_samples_not_of_the_batches():
    kept = torch.stack([PLAN.draw(s, 100, EVEN).kept for s in range(100)])
    assert abs(kept.float().mean().item() - 0.9) < 0.01
    assert 0 < kept.float().mean(dim=1).std().item() < 0.06


def test_nothing_is_mirrored_where_flips_are_off():
    plain = DrawPlan(seed=3, shape=(4, 2, 2), horizon=1000, dropout=0.0, flip=False)
    assert not plain.draw(0, 200, EVEN).flipped.any()
    assert PLAN.draw(0, 200, EVEN).flipped.any()


def test_draws_follow_the_weights_within_binomial_bounds():
    weights = torch.tensor([0.0, 1.0, 3.0, 0.0, 6.0])
    rows = choose(weights, torch.rand(20_000, generator=torch.Generator().manual_seed(0)))
    share = torch.bincount(rows, minlength=5) / 20_000
    assert share[0] == share[3] == 0
    torch.testing.assert_close(share, weights / 10, atol=0.015, rtol=0)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=8).filter(lambda w: sum(w) > 0.01))
def test_an_index_of_weight_zero_is_never_drawn(weights):
    quantiles = torch.tensor([0.0, 0.25, 0.5, 0.75, 1 - 2**-24])
    rows = choose(torch.tensor(weights), quantiles)
    assert all(weights[int(r)] > 0 for r in rows)


def test_pairs_share_noise_step_and_mirroring_and_noise_if_asked():
    shared = PLAN.draw_pairs(5, 200, 9, shared_noise=True)
    apart = PLAN.draw_pairs(5, 200, 9, shared_noise=False)
    assert torch.equal(shared.noise[0], shared.noise[1])
    assert not torch.equal(apart.noise[0], apart.noise[1])
    assert torch.equal(shared.noise[0], apart.noise[0])
    assert shared.t.shape == shared.flipped.shape == (200,)
    assert shared.flipped.any()
    assert not shared.flipped.all()
    assert set(shared.rows.tolist()) == set(range(9))


def test_pairs_draw_the_same_again_and_their_parts_are_the_whole():
    whole = PLAN.draw_pairs(5, 8, 9, shared_noise=False)
    again = PLAN.draw_pairs(5, 8, 9, shared_noise=False)
    parts = [whole.part(0, 4), whole.part(4, 8)]
    for name, value in vars(whole).items():
        assert torch.equal(value, vars(again)[name]), name
        axis = 1 if name in ("noise", "posterior") else 0
        assert torch.equal(torch.cat([vars(p)[name] for p in parts], dim=axis), value), name


def test_pairs_move_no_other_draw():
    before = PLAN.draw(5, 8, EVEN)
    PLAN.draw_pairs(5, 8, 9, shared_noise=False)
    assert torch.equal(before.noise, PLAN.draw(5, 8, EVEN).noise)


def test_offset_noise_is_constant_over_a_channel_and_of_the_strength_asked_for():
    offset = DrawPlan(seed=3, shape=(4, 2, 2), horizon=1000, dropout=0.1, flip=True, offset=0.5)
    added = offset.draw(1, 500, EVEN).noise - PLAN.draw(1, 500, EVEN).noise
    torch.testing.assert_close(added, added[:, :, :1, :1].expand_as(added))
    assert abs(added[:, :, 0, 0].std().item() - 0.5) < 0.03
