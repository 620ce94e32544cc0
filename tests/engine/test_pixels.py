import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fairgen.engine.pixels import batches, evaluation_steps, jitter, tensor, warm_cosine


def pictures(n=3, size=8, channels=3, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (n, size, size, channels), dtype=np.uint8)


def test_black_becomes_minus_one_and_white_one():
    images = np.stack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)])
    x = tensor(images, size=4, channels=3)
    assert x.shape == (2, 3, 4, 4)
    assert (x[0] == -1).all()
    assert (x[1] == 1).all()


def test_grey_is_repeated_and_colour_becomes_luminance():
    grey = pictures(channels=1)
    repeated = tensor(grey, size=8, channels=3)
    assert torch.equal(repeated[:, 0], repeated[:, 2])
    back = tensor(np.repeat(grey, 3, axis=3), size=8, channels=1)
    torch.testing.assert_close(back, tensor(grey, size=8, channels=1))
    green = np.zeros((1, 2, 2, 3), np.uint8)
    green[..., 1] = 255
    assert tensor(green, size=2, channels=1)[0, 0, 0, 0].item() == pytest.approx(2 * 0.587 - 1)


def test_shrinking_is_antialiased_as_in_pillow():
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    image = np.repeat(checks[..., None], 3, axis=2)
    x = tensor(image[None], size=16, channels=3)
    assert x.abs().max() < 0.1
    smooth = np.asarray(
        Image.fromarray(pictures(1, 6)[0]).resize((48, 48), Image.Resampling.BICUBIC)
    )
    theirs = Image.fromarray(smooth).resize((20, 20), Image.Resampling.BICUBIC)
    ours = (tensor(smooth[None], size=20, channels=3)[0].permute(1, 2, 0).numpy() + 1) * 127.5
    np.testing.assert_allclose(ours, np.asarray(theirs), atol=3)


def test_no_jitter_changes_nothing_and_a_flip_mirrors_some():
    x = tensor(pictures(40), size=8, channels=3)
    same = jitter(x, np.random.default_rng(0), shift=0.0, flip=False)
    torch.testing.assert_close(same, x)
    flipped = jitter(x, np.random.default_rng(0), shift=0.0, flip=True)
    kept = sum(torch.allclose(a, b, atol=1e-5) for a, b in zip(flipped, x, strict=True))
    turned = sum(torch.allclose(a, b.flip(2), atol=1e-5) for a, b in zip(flipped, x, strict=True))
    assert kept + turned == 40
    assert 5 < turned < 35


def test_jitter_moves_by_at_most_the_shift():
    x = torch.zeros(50, 1, 20, 20)
    x[:, :, 10, 10] = 1.0
    moved = jitter(x, np.random.default_rng(0), shift=0.1, flip=False)
    places = [(m[0] > 0.05).nonzero().float().mean(0) for m in moved]
    away = torch.stack(places) - 10
    assert away.abs().max() <= 2.6
    assert away.abs().max() > 1


@given(st.integers(1, 20), st.integers(1, 30), st.integers(0, 99))
def test_every_image_is_seen_once_a_round(n, size, seed):
    order = batches(n, size, np.random.default_rng(seed))
    seen = np.concatenate([next(order) for _ in range(3 * n)])
    for k in range(len(seen) // n):
        assert sorted(seen[k * n : (k + 1) * n]) == list(range(n))


def test_the_learning_rate_warms_up_and_falls_to_zero():
    rates = [warm_cosine(step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1
    assert rates[100] == pytest.approx(0, abs=1e-12)
    assert warm_cosine(0, 1) == 1


@given(st.integers(1, 500), st.integers(1, 30))
def test_evaluations_end_with_the_last_step(steps, evaluations):
    due = evaluation_steps(steps, evaluations)
    assert max(due) == steps
    assert min(due) >= 1
    assert len(due) == min(steps, evaluations)
