"""What the network itself says about a map: cover a part of the image and see whether the answer changes.

Nothing here looks inside the network, so it holds for every model that gives logits, exported ones too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

Logits = Callable[[Tensor], Tensor]
"""Prepared images (N, C, H, W) -> logits (N, classes)."""

Advance = Callable[[int], None]
"""Told how many images were answered since the last call."""

GRID = 7
"""Cells along each side that are covered in turn: as many as the last map of most networks has at native size."""

STEPS = 12
"""Points of a deletion or insertion curve after its start."""

RANDOM_ORDERS = 2
_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Mean probability of each class while an image is taken away, or given back, in some order (arXiv 1806.07421).

    Attributes:
        deletion: (K,) with the places a map points at removed first; the lower, the better the map.
        insertion: (K,) with these places shown first, on a blurred image; the higher, the better.
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]


@torch.no_grad()
def occlusion_maps(
    logits: Logits,
    image: Tensor,
    classes: Sequence[int],
    *,
    grid: int = GRID,
    advance: Advance = lambda count: None,
) -> Tensor:
    """Return how much each class's logit falls when a square is covered with the mean colour (arXiv 1311.2901).

    The squares are two cells wide and centred on each cell, so neighbours overlap by half.

    Args:
        logits: the network.
        image: (C, H, W), normalised, so that the mean colour is 0.
        classes: K of them.
        grid: cells along each side; grid**2 + 1 images are run.
        advance: told of progress.

    Returns:
        (K, grid, grid) on the CPU; positive where covering lowers the logit.
    """
    height, width = image.shape[-2:]
    chosen = list(classes)
    whole = _answers(logits, image[None], advance)[0, chosen]  # (K,)
    covered = []
    for row in range(grid):
        for column in range(grid):
            top, bottom = (round((row + shift) * height / grid) for shift in (-0.5, 1.5))
            left, right = (round((column + shift) * width / grid) for shift in (-0.5, 1.5))
            hidden = image.clone()
            hidden[:, max(0, top) : bottom, max(0, left) : right] = 0
            covered.append(hidden)
    answers = torch.cat([_answers(logits, torch.stack(part), advance) for part in _parts(covered)])[:, chosen]
    return (whole - answers).T.reshape(len(chosen), grid, grid)


@torch.no_grad()
def curves(
    logits: Logits,
    image: Tensor,
    heat: Tensor,
    classes: Sequence[int],
    *,
    temperature: float = 1.0,
    advance: Advance = lambda count: None,
) -> Curves:
    """Return how the classes' probabilities fall and rise as the image goes and comes in the order of a map.

    Args:
        logits: the network.
        image: (C, H, W), normalised.
        heat: (H', W'), the map.
        classes: K of them.
        temperature: what logits are divided by.
        advance: told of progress: 2 * (STEPS + 1) images.
    """
    order = F.interpolate(heat[None, None].float(), image.shape[-2:], mode="bicubic", align_corners=False)[0, 0]
    rank = torch.empty(order.numel())
    rank[order.flatten().argsort(descending=True, stable=True)] = torch.arange(order.numel(), dtype=torch.float32)
    share = (rank / order.numel()).view(order.shape).to(image.device)  # (H, W): 0 the map's best place, towards 1
    blurred = _blurred(image)
    means = []
    for first, last in ((image, torch.zeros_like(image)), (blurred, image)):
        frames = [torch.where(share < step / STEPS, last, first) for step in range(STEPS + 1)]
        answers = torch.cat([_answers(logits, torch.stack(part), advance) for part in _parts(frames)])
        likely = (answers / temperature).softmax(1)[:, list(classes)].double().numpy()  # (STEPS + 1, K)
        means.append((likely[:-1] + likely[1:]).mean(0) / 2)
    return Curves(deletion=means[0], insertion=means[1])


def random_curves(
    logits: Logits,
    image: Tensor,
    classes: Sequence[int],
    *,
    temperature: float = 1.0,
    advance: Advance = lambda count: None,
) -> Curves:
    """Return the curves of maps that know nothing: the mean of `RANDOM_ORDERS` smooth random ones."""
    generator = torch.Generator().manual_seed(0)
    found = [
        curves(
            logits,
            image,
            torch.rand(GRID, GRID, generator=generator),
            classes,
            temperature=temperature,
            advance=advance,
        )
        for _ in range(RANDOM_ORDERS)
    ]
    return Curves(
        deletion=np.mean([one.deletion for one in found], axis=0),
        insertion=np.mean([one.insertion for one in found], axis=0),
    )


def rank_correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return Spearman's correlation, -1 to 1, of two maps of one shape; 0 where one of them is the same everywhere."""
    ranks = [_ranks(np.asarray(values, float).ravel()) for values in (one, other)]
    spreads = [float(values.std()) for values in ranks]
    if not all(spreads):
        return 0.0
    return float(np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())) / (spreads[0] * spreads[1]))


def on_grid(heat: Tensor, grid: int = GRID) -> NDArray[np.float32]:
    """Return a map (H', W') as means over a grid of cells, for comparing it with an occlusion map."""
    if heat.shape[-1] < grid or heat.shape[-2] < grid:
        heat = F.interpolate(heat[None, None].float(), (grid, grid), mode="bilinear", align_corners=False)[0, 0]
    cells: NDArray[np.float32] = F.adaptive_avg_pool2d(heat[None].float(), grid)[0].cpu().numpy()
    return cells


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks, the mean rank where values are equal."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: NDArray[np.float64] = ((last - count + last - 1) / 2)[place]
    return ranks


def _blurred(image: Tensor) -> Tensor:
    """Return what is left of the image when nothing smaller than an eighth of it can be told."""
    coarse = F.adaptive_avg_pool2d(image[None], 8)
    return F.interpolate(coarse, image.shape[-2:], mode="bicubic", align_corners=False)[0]


def _answers(logits: Logits, images: Tensor, advance: Advance) -> Tensor:
    answers = logits(images).float().cpu()
    advance(len(images))
    return answers


def _parts(images: list[Tensor]) -> list[list[Tensor]]:
    return [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
