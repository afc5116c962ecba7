"""MnasNet-A1 (arXiv 1807.11626 Figure 7; tensorflow/tpu mnasnet_models.py): the network B0's search grew from."""

from __future__ import annotations

from effnet.spec import BlockSpec, Conventions, HeadSpec, NetworkSpec, StageSpec, StemSpec

NAMES = ("mnasnet_a1",)

# kernel, stride, expand ratio, channels, repeats, SE ratio, skip
_STAGES = (
    (3, 1, 1, 16, 1, 0.0, False),
    (3, 2, 6, 24, 2, 0.0, True),
    (5, 2, 3, 40, 3, 0.25, True),
    (3, 2, 6, 80, 4, 0.0, True),
    (3, 1, 6, 112, 2, 0.25, True),
    (5, 2, 6, 160, 3, 0.25, True),
    (3, 1, 6, 320, 1, 0.0, True),
)


def build(name: str) -> NetworkSpec:
    """Return MnasNet-A1, with the conventions of timm's port (its only published torch weights)."""
    stages = tuple(
        StageSpec(
            block=BlockSpec(kind="mbconv", kernel=kernel, expand_ratio=float(expand), se_ratio=se, skip=skip),
            channels=channels,
            repeats=repeats,
            stride=stride,
        )
        for kernel, stride, expand, channels, repeats, se, skip in _STAGES
    )
    return NetworkSpec(
        name=name,
        family="mnasnet",
        stem=StemSpec(channels=32),
        stages=stages,
        head=HeadSpec(channels=1280, dropout=0.2),
        conventions=Conventions(activation="relu", norm_eps=1e-5, norm_momentum=0.1),
    )
