"""Mixup, CutMix and soft labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from effnet.data.mixing import Mix, Mixing, mix, soft_targets
from effnet.data.randomness import Purpose, generator
from effnet.errors import InputError

batches = st.integers(0, 9)
sides = st.integers(1, 20)
mixings = st.builds(
    Mixing,
    mixup_alpha=st.sampled_from([0.0, 0.067, 0.5, 1.0]),
    cutmix_alpha=st.sampled_from([0.0, 0.067, 0.5, 1.0]),
    per=st.sampled_from(["sample", "batch"]),
)
on = mixings.filter(lambda mixing: mixing.mixup_alpha > 0 or mixing.cutmix_alpha > 0)
seeds = st.integers(0, 2**32)


def rng_of(step: int) -> np.random.Generator:
    return generator(0, step, purpose=Purpose.MIX)


def batch_of(n: int, height: int = 8, width: int = 8, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(0)).to(dtype)


def draw(mixing: Mixing, seed: int, n: int, height: int, width: int) -> Mix:
    drawn = mixing.draw(np.random.default_rng(seed), n, height, width)
    assert drawn is not None
    return drawn


def test_alpha_zero_is_off() -> None:
    images, targets = batch_of(4), soft_targets(torch.arange(4), 5)
    rng = rng_of(0)
    assert Mixing().draw(rng, 4, 8, 8) is None
    assert rng.random() == rng_of(0).random()
    mixed, labels = mix(images, targets, None)
    assert mixed is images
    assert labels is targets


@given(on, seeds, batches, sides, sides)
def test_the_same_numbers_mix_the_same_way(mixing: Mixing, seed: int, n: int, height: int, width: int) -> None:
    one, other = (draw(mixing, seed, n, height, width) for _ in range(2))
    assert np.array_equal(one.own, other.own)
    assert np.array_equal(one.boxes, other.boxes)


@given(on, seeds, batches, sides, sides)
def test_pixels_and_labels_follow_the_definition(mixing: Mixing, seed: int, n: int, height: int, width: int) -> None:
    # One sample at a time, in numpy.
    images, targets = batch_of(n, height, width), torch.eye(max(n, 1))[:n]
    drawn = draw(mixing, seed, n, height, width)
    mixed, labels = mix(images, targets, drawn)
    half = drawn.blended
    for i in range(n):
        partner = half - 1 - i if i < half else half + n - 1 - i
        image, other = images[i].numpy(), images[partner].numpy()
        if i < half:
            own = drawn.own[i]
            assert 0.5 <= own <= 1
            expected = own * image + (1 - own) * other
        else:
            left, top, right, bottom = drawn.boxes[i]
            assert 0 <= left <= right <= width
            assert 0 <= top <= bottom <= height
            inside = np.zeros((height, width), dtype=bool)
            inside[top:bottom, left:right] = True
            own = 1 - inside.mean()
            expected = np.where(inside, other, image)
            assert np.array_equal(mixed[i].numpy(), expected)
        assert np.allclose(mixed[i].numpy(), expected, atol=1e-5)
        label = np.zeros(n)
        label[i] += own
        label[partner] += 1 - own
        assert np.allclose(labels[i].numpy(), label, atol=1e-6)


@given(on, seeds, st.integers(1, 9), st.floats(0, 1))
def test_label_mass_is_one(mixing: Mixing, seed: int, n: int, smoothing: float) -> None:
    targets = soft_targets(torch.arange(n) % 4, 4, smoothing)
    assert torch.allclose(targets.sum(1), torch.ones(n), atol=1e-6)
    _, labels = mix(batch_of(n), targets, draw(mixing, seed, n, 8, 8))
    assert torch.allclose(labels.sum(1), torch.ones(n), atol=1e-6)
    assert labels.min() >= 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("alphas", [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_dtype_layout_and_inputs_are_kept(
    dtype: torch.dtype, layout: torch.memory_format, alphas: tuple[float, float]
) -> None:
    images = batch_of(7, 6, 10, dtype).contiguous(memory_format=layout)
    targets = soft_targets(torch.arange(7), 9, 0.1)
    before = images.clone(), targets.clone()
    drawn = draw(Mixing(mixup_alpha=alphas[0], cutmix_alpha=alphas[1]), 3, 7, 6, 10)
    mixed, labels = mix(images, targets, drawn)
    assert (mixed.dtype, mixed.shape, labels.dtype) == (dtype, images.shape, torch.float32)
    assert mixed.is_contiguous(memory_format=layout)
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])
    exact, _ = mix(images.double(), targets, drawn)
    assert torch.allclose(mixed.double(), exact, atol=4 * torch.finfo(dtype).eps * 4)


@given(seeds, batches, sides, sides)
def test_both_alphas_give_each_half_one_kind(seed: int, n: int, height: int, width: int) -> None:
    drawn = draw(Mixing(mixup_alpha=0.5, cutmix_alpha=0.5), seed, n, height, width)
    assert drawn.blended == n // 2
    assert not drawn.boxes[: n // 2].any()


def test_one_alpha_gives_the_whole_batch_its_kind() -> None:
    assert draw(Mixing(mixup_alpha=0.5), 0, 5, 8, 8).blended == 5
    assert draw(Mixing(cutmix_alpha=0.5), 0, 5, 8, 8).blended == 0


def test_per_batch_draws_once() -> None:
    mixing = Mixing(mixup_alpha=1, cutmix_alpha=1, per="batch")
    drawn = draw(mixing, 1, 12, 64, 64)
    assert len(set(drawn.own[:6])) == len(set(drawn.own[6:])) == 1
    assert (drawn.boxes[6:] == drawn.boxes[6]).all()
    each = draw(Mixing(mixup_alpha=1, cutmix_alpha=1), 1, 12, 64, 64)
    assert len(set(each.own[:6])) == 6
    assert len(np.unique(each.boxes[6:], axis=0)) == 6


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0])
def test_weights_are_the_larger_half_of_a_beta(alpha: float) -> None:
    own = draw(Mixing(mixup_alpha=alpha), 0, 20_000, 1, 1).own
    reference = np.random.default_rng(99).beta(alpha, alpha, 200_000)
    reference = np.maximum(reference, 1 - reference)
    quantiles = (0.05, 0.25, 0.5, 0.75)
    assert np.quantile(own, quantiles) == pytest.approx(np.quantile(reference, quantiles), abs=0.012)


def test_a_tiny_alpha_is_nearly_off_and_never_nan() -> None:
    own = draw(Mixing(mixup_alpha=1e-4), 0, 2000, 1, 1).own
    assert np.isfinite(own).all()
    assert np.median(own) == 1.0


def test_rectangles_cover_what_a_beta_leaves_until_the_border_cuts_them() -> None:
    drawn = draw(Mixing(cutmix_alpha=1.0), 0, 20_000, 200, 200)
    left, top, right, bottom = drawn.boxes.T
    whole = (left > 0) & (top > 0) & (right < 200) & (bottom < 200)
    # Sides are even: twice half the side, rounded down.
    assert not ((right - left)[whole] % 2).any()
    assert (right - left)[whole].tolist() == (bottom - top)[whole].tolist()
    # The mean share of the partner, by an independent simulation in continuous coordinates.
    rng = np.random.default_rng(1)
    side, x, y = np.sqrt(rng.random(200_000)), rng.random(200_000), rng.random(200_000)
    wide = np.minimum(x + side / 2, 1) - np.maximum(x - side / 2, 0)
    tall = np.minimum(y + side / 2, 1) - np.maximum(y - side / 2, 0)
    assert 1 - drawn.own.mean() == pytest.approx((wide * tall).mean(), abs=0.01)


@pytest.mark.parametrize(
    ("own", "box", "expected"), [(1.0, (0, 0, 0, 0), 0), (0.0, (0, 0, 8, 8), 1), (0.75, (4, 0, 8, 4), 0.25)]
)
def test_the_area_of_a_rectangle_is_exact(own: float, box: tuple[int, ...], expected: float) -> None:
    images = torch.stack((torch.zeros(3, 8, 8), torch.ones(3, 8, 8)))
    drawn = Mix(8, 8, 0, np.array([own, 1.0]), np.array([box, (0, 0, 0, 0)]))
    mixed, labels = mix(images, torch.eye(2), drawn)
    assert mixed[0].mean().item() == expected
    assert labels[0].tolist() == [1 - expected, expected]


def test_smoothing_spreads_its_share_over_all_classes() -> None:
    assert soft_targets(torch.tensor([2]), 4, 0.1).tolist() == [pytest.approx([0.025, 0.025, 0.925, 0.025])]
    assert soft_targets(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    ours = torch.nn.functional.cross_entropy(logits, soft_targets(labels, 5, 0.1))
    assert ours.item() == pytest.approx(torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1).item())


@pytest.mark.parametrize(
    "wrong", [{"mixup_alpha": -0.1}, {"cutmix_alpha": float("nan")}, {"mixup_alpha": float("inf")}, {"per": "pixel"}]
)
def test_impossible_mixing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"Mixing: {next(iter(wrong))}"):
        Mixing(**wrong)  # type: ignore[arg-type]


def test_batches_that_were_not_drawn_for_are_refused() -> None:
    drawn = draw(Mixing(mixup_alpha=1), 0, 4, 8, 8)
    targets = torch.eye(4)
    for images in (batch_of(3), batch_of(4, 8, 9), batch_of(4)[0]):
        with pytest.raises(InputError, match="drawn for"):
            mix(images, targets, drawn)
    with pytest.raises(InputError, match="drawn for"):
        mix(batch_of(4), targets[:3], drawn)
    with pytest.raises(InputError, match="normalize first"):
        mix(batch_of(4).to(torch.uint8), targets, drawn)
    with pytest.raises(InputError, match="smoothing"):
        soft_targets(torch.tensor([0]), 3, 1.5)
