"""ResNet-18 to 152 (arXiv 1512.03385 Table 1, stride on the 3x3 as in torchvision): the baseline to compare against."""

from __future__ import annotations

from effnet.spec import BlockKind, BlockSpec, Conventions, HeadSpec, NetworkSpec, StageSpec, StemSpec

_REPEATS: dict[str, tuple[BlockKind, tuple[int, int, int, int]]] = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)),
    "resnet152": ("bottleneck", (3, 8, 36, 3)),
}

NAMES = tuple(_REPEATS)


def build(name: str) -> NetworkSpec:
    """Return the variant called `name`."""
    kind, repeats = _REPEATS[name]
    widening = 4 if kind == "bottleneck" else 1
    block = BlockSpec(kind=kind, expand_ratio=1 / widening, se_ratio=0.0)
    stages = tuple(
        StageSpec(block=block, channels=64 * 2**i * widening, repeats=count, stride=1 if i == 0 else 2)
        for i, count in enumerate(repeats)
    )
    return NetworkSpec(
        name=name,
        family="resnet",
        stem=StemSpec(channels=64, kernel=7, pool=True),
        stages=stages,
        head=HeadSpec(channels=None),
        conventions=Conventions(activation="relu", norm_eps=1e-5, norm_momentum=0.1),
    )
