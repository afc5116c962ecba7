"""Weights in the order in which the loops read them, padded with zeros to whole vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effnet.deploy.native.layout import ALIGNMENT, Layout, blocks_of
from effnet.deploy.native.plan import Step

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a step finds its weights, as numbers of floats from the first."""

    weights: int = 0
    bias: int = 0
    expand_weights: int = 0
    expand_bias: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """All weights of a plan in one array, and where each step's are."""

    floats: Floats
    places: tuple[Places, ...]


def pack(layout: Layout, tensors: Mapping[str, Floats]) -> Packed:
    """Pack the tensors that `layout.plan.shapes()` names."""
    parts: list[Floats] = []
    length = 0

    def add(part: Floats) -> int:
        nonlocal length
        place = length
        rest = -part.size % ALIGNMENT
        parts.extend((np.ascontiguousarray(part, np.float32).ravel(), np.zeros(rest, np.float32)))
        length += part.size + rest
        return place

    lanes, places = layout.vectors.lanes, []
    for step, tile in zip(layout.plan.steps, layout.tiles, strict=True):
        match step.kind:
            case "convolution":
                weights = tensors[f"{step.layer}.weight"]
                if tile.winograd:
                    weights = transformed(weights, tile.winograd)
                weights = _dense(weights, lanes, tile.blocks)
                place = Places(weights=add(weights), bias=add(_padded(tensors[f"{step.layer}.bias"], lanes)))
            case "depthwise":
                weights = _depthwise(tensors[f"{step.layer}.weight"], lanes)
                place = Places(weights=add(weights), bias=add(_padded(tensors[f"{step.layer}.bias"], lanes)))
            case "squeeze":
                place = _squeeze(step, tensors, lanes, add)
            case _:
                place = Places()
        places.append(place)
    return Packed(floats=np.concatenate(parts), places=tuple(places))


def _squeeze(step: Step, tensors: Mapping[str, Floats], lanes: int, add: Callable[[Floats], int]) -> Places:
    reduce, expand = (tensors[f"{step.layer}.{name}.weight"] for name in ("fc1", "fc2"))
    return Places(
        weights=add(_padded(reduce[:, :, 0, 0], lanes).T),
        bias=add(_padded(tensors[f"{step.layer}.fc1.bias"], lanes)),
        expand_weights=add(_padded(expand[:, :, 0, 0], lanes).T),
        expand_bias=add(_padded(tensors[f"{step.layer}.fc2.bias"], lanes)),
    )


def _padded(values: Floats, lanes: int) -> Floats:
    """Return `values` with zeros after its first axis, up to whole vectors."""
    rest = blocks_of(len(values), lanes) * lanes - len(values)
    return np.concatenate([values, np.zeros((rest, *values.shape[1:]), np.float32)])


def _dense(weights: Floats, lanes: int, blocks: int) -> Floats:
    """(O, I, k, k) -> groups of `blocks` blocks, each (k, k, I, blocks * lanes); the last group may be narrower."""
    padded = _padded(weights, lanes)
    width = blocks * lanes
    groups = (padded[start : start + width] for start in range(0, len(padded), width))
    return np.concatenate([group.transpose(2, 3, 1, 0).ravel() for group in groups])


def _depthwise(weights: Floats, lanes: int) -> Floats:
    """(C, 1, k, k) -> (blocks, k, k, lanes)."""
    padded = _padded(weights, lanes)
    kernel = weights.shape[-1]
    return padded.reshape(-1, lanes, kernel, kernel).transpose(0, 2, 3, 1)


def transformed(weights: Floats, side: int) -> Floats:
    """(O, I, 3, 3) -> (O, I, side + 2, side + 2): G w G^T of Winograd's algorithm (arXiv 1509.09308, 4.1 and 4.2)."""
    matrix = _G[side]
    result: Floats = np.einsum("ra,oiab,cb->oirc", matrix, weights.astype(np.float64), matrix).astype(np.float32)
    return result


_G = {
    2: np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
    4: np.array(
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ]
    ),
}
