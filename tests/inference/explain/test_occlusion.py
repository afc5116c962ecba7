"""Covering parts of an image, on models whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from effnet.inference.explain.occlusion import (
    GRID,
    STEPS,
    curves,
    occlusion_maps,
    on_grid,
    random_curves,
    rank_correlation,
)


def corner_reader(images: torch.Tensor) -> torch.Tensor:
    """Return logits: class 0 is the mean of the top left quarter, class 1 of the bottom right, class 2 of all."""
    half = images.shape[-1] // 2
    quarters = images[:, :, :half, :half], images[:, :, half:, half:], images
    return torch.stack([part.mean((1, 2, 3)) for part in quarters], 1) * 10


IMAGE = torch.ones(3, 56, 56)


def test_what_matters_is_found_where_it_is() -> None:
    maps = occlusion_maps(corner_reader, IMAGE, [0, 1, 2])
    assert maps.shape == (3, GRID, GRID)
    first, last = GRID // 2 - 1, GRID // 2 + 2
    assert maps[0, :first, :first].min() > 0
    # The whole image is a batch of one, the covered ones are many: sums over other shapes may differ in the last bit.
    assert maps[0, last:].abs().max() < 1e-5 and maps[0, :, last:].abs().max() < 1e-5
    assert torch.allclose(maps[1], maps[0].flip(0, 1), atol=1e-5)
    # Every square of 16 x 16 px that lies within the image hides the same share of it.
    assert torch.allclose(maps[2, 1:-1, 1:-1], torch.tensor(10 * 16 * 16 / 56**2), atol=1e-4)


def test_a_right_map_beats_random_orders_and_a_wrong_one_does_not() -> None:
    right = torch.zeros(7, 7)
    right[:3, :3] = 1
    random = random_curves(corner_reader, IMAGE, [0])
    found, wrong = curves(corner_reader, IMAGE, right, [0]), curves(corner_reader, IMAGE, -right, [0])
    assert found.deletion[0] < random.deletion[0] < wrong.deletion[0]
    assert all(0 <= value <= 1 for value in (found.deletion[0], found.insertion[0]))


def test_insertion_begins_blurred_and_ends_with_the_image() -> None:
    detail = torch.zeros(1, 56, 56)
    detail[:, ::2] = 1  # gone in the blur, where all is 0.5

    def sharpness(images: torch.Tensor) -> torch.Tensor:
        sharp = 50 * (images.diff(dim=2).abs().mean((1, 2, 3)) - 0.5)
        return torch.stack([sharp, -sharp], 1)

    both = curves(sharpness, detail, torch.rand(7, 7), [0, 1])
    assert both.insertion[0] + both.insertion[1] == pytest.approx(1)
    assert 0 < both.insertion[0] < 1


@given(seed=st.integers(0, 1000), temperature=st.floats(0.2, 5))
@settings(max_examples=15)
def test_curves_are_means_of_probabilities(seed: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    image, heat = torch.randn(3, 20, 24, generator=generator), torch.rand(5, 4, generator=generator)
    found = curves(corner_reader, image, heat, [0, 1, 2], temperature=temperature)
    assert found.deletion.sum() == pytest.approx(1)
    assert found.insertion.sum() == pytest.approx(1)


def test_progress_counts_every_image() -> None:
    counts: list[int] = []
    occlusion_maps(corner_reader, IMAGE, [0], advance=counts.append)
    assert sum(counts) == GRID**2 + 1
    counts.clear()
    curves(corner_reader, IMAGE, torch.rand(7, 7), [0, 1], advance=counts.append)
    assert sum(counts) == 2 * (STEPS + 1)


@given(values=st.lists(st.integers(-5, 5), min_size=2, max_size=30))
def test_rank_correlation_is_spearmans(values: list[int]) -> None:
    stats = pytest.importorskip("scipy.stats")
    one = np.array(values, float)
    other = np.roll(one, 1) + np.arange(len(one))
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        assert rank_correlation(one, other) == 0
    else:
        assert rank_correlation(one, other) == pytest.approx(stats.spearmanr(one, other).statistic, abs=1e-9)
        assert rank_correlation(one, np.exp(one)) == pytest.approx(1)
        assert rank_correlation(one, -one) == pytest.approx(-1)


def test_maps_of_any_size_come_to_the_grid() -> None:
    assert (
        on_grid(torch.ones(56, 56)).shape
        == on_grid(torch.ones(3, 3)).shape
        == on_grid(torch.ones(7, 9)).shape
        == (GRID, GRID)
    )
    heat = torch.zeros(14, 14)
    heat[2:4, 4:6] = 1
    cells = on_grid(heat)
    assert cells[1, 2] == 1 and cells.sum() == 1
