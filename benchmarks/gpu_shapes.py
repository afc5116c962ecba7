"""Every unique shape of the networks that the GPU benchmark measures, from their specs."""

from __future__ import annotations

from dataclasses import dataclass

import effnet

MODELS = {"b0": 224, "b4": 380, "b7": 600, "v2-s": 300, "v2-m": 384, "v2-l": 384}
BATCHES = {"b0": 256, "b4": 64, "b7": 16, "v2-s": 128, "v2-m": 64, "v2-l": 32}
"""Batches below the 2**31 elements a map from which some versions of cuDNN are wrong."""
TIMM = {
    "b0": "efficientnet_b0",
    "b4": "efficientnet_b4",
    "b7": "tf_efficientnet_b7",
    "v2-s": "tf_efficientnetv2_s",
    "v2-m": "tf_efficientnetv2_m",
    "v2-l": "tf_efficientnetv2_l",
}
TORCHVISION = {
    "b0": "efficientnet_b0",
    "b4": "efficientnet_b4",
    "b7": "efficientnet_b7",
    "v2-s": "efficientnet_v2_s",
    "v2-m": "efficientnet_v2_m",
    "v2-l": "efficientnet_v2_l",
}


@dataclass(frozen=True, order=True)
class Shape:
    """A block at one input size; sizes as in `effnet.unrolling.Block`."""

    kind: str
    kernel: int
    stride: int
    in_channels: int
    mid_channels: int
    squeeze_channels: int
    out_channels: int
    in_size: int
    out_size: int
    batch: int

    @property
    def name(self) -> str:
        parts = f"{self.kind} k{self.kernel} s{self.stride}"
        return f"{parts} {self.in_channels}-{self.mid_channels}-{self.out_channels} @{self.in_size} n{self.batch}"


def shapes(model: str, batch: int | None = None) -> list[Shape]:
    """Return the unique blocks of `model`, largest maps first."""
    found = set()
    for block in effnet.unroll(effnet.find(model), MODELS[model]).blocks:
        names = [name for name in Shape.__dataclass_fields__ if name != "batch"]
        found.add(Shape(**{name: getattr(block, name) for name in names}, batch=batch or BATCHES[model]))
    return sorted(found, key=lambda s: -s.mid_channels * s.in_size**2)
