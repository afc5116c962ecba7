"""What kernels="auto" means: the committed table of measured blocks, and the rule that reads it. No torch here."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

Phase = Literal["train", "infer"]
Form = Literal["triton", "triton-maps", "torch"]

WORTH = 1.05
"""A measured block must be this much faster with our kernels; less is within what another day's clock changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured block."""

    device: str
    """As the driver names it: `NVIDIA H100 80GB HBM3`."""
    phase: Phase
    kind: str
    """`mbconv`, `fused_mbconv` or `conv` (a convolution with its norm, on its own)."""
    kernel: int
    stride: int
    channels: int
    """Of the spatial convolution."""
    pixels: int
    """N * H * W of the block's input."""
    ratio: float
    """Time in eager torch over time with our kernels."""
    kernels: Literal["triton", "triton-maps"] = "triton"
    """Which of ours: with or without the matrix products of training."""


@cache
def table() -> tuple[Row, ...]:
    """Return the rows of `choices.json`."""
    text = resources.files("effnet.kernels").joinpath("choices.json").read_text(encoding="utf-8")
    return tuple(Row(**row) for row in json.loads(text)["rows"])


def chosen(
    rows: Sequence[Row], device: str, phase: Phase, kind: str, kernel: int, stride: int, channels: int, pixels: int
) -> Form:
    """Return what was fastest for the most similar measured block of this device; `torch` where none was measured.

    Similar: same phase, kind, kernel and stride, and nearest in the logarithms of channels and pixels.
    """
    alike = [
        row
        for row in rows
        if (row.device, row.phase, row.kind, row.kernel, row.stride) == (device, phase, kind, kernel, stride)
    ]
    if not alike:
        return "torch"

    def distance(row: Row) -> float:
        return abs(math.log(row.channels / channels)) + abs(math.log(row.pixels / max(pixels, 1)))

    # A block was measured once with each of our forms: the faster of those at the least distance.
    nearest = min(alike, key=lambda row: (distance(row), -row.ratio))
    return nearest.kernels if nearest.ratio >= WORTH else "torch"
