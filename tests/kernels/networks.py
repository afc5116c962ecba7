"""Networks with every kind of block that the kernels cover, small enough to be interpreted."""

from __future__ import annotations

from torch import Tensor

from effnet.spec import BlockSpec, Conventions, HeadSpec, NetworkSpec, StageSpec, StemSpec


def small(family: str, padding: str = "symmetric", activation: str = "silu") -> NetworkSpec:
    """B0 or V2-B0, narrow and shallow: every kind of block that the family has."""
    mbconv = BlockSpec(expand_ratio=4.0)
    fused = BlockSpec(kind="fused_mbconv", expand_ratio=4.0, se_ratio=0.0)
    v1 = (
        StageSpec(block=BlockSpec(expand_ratio=1.0), channels=8, repeats=1),
        StageSpec(block=mbconv, channels=8, repeats=2, stride=2),
        StageSpec(block=BlockSpec(expand_ratio=4.0, kernel=5), channels=12, repeats=2, stride=2),
    )
    v2 = (
        StageSpec(block=BlockSpec(kind="fused_mbconv", expand_ratio=1.0, se_ratio=0.0), channels=8, repeats=2),
        StageSpec(block=fused, channels=12, repeats=2, stride=2),
        StageSpec(block=mbconv, channels=12, repeats=2),
        StageSpec(block=BlockSpec(expand_ratio=4.0, se_ratio=0.0), channels=12, repeats=1),
    )
    return NetworkSpec(
        name=f"small-{family}",
        stem=StemSpec(channels=8),
        stages=v1 if family == "b0" else v2,
        head=HeadSpec(channels=16),
        classes=5,
        resolution=32,
        drop_path=0.3,
        conventions=Conventions(padding=padding, activation=activation),  # type: ignore[arg-type]
    )


def close(a: Tensor, b: Tensor, tolerance: float = 2e-4) -> bool:
    a, b = a.detach(), b.detach()
    return float((a - b).norm()) <= tolerance * float(b.norm()) + 1e-6  # what is zero by theory is rounding
