"""EfficientNet-EdgeTPU-S/M/L (tensorflow/tpu models/official/efficientnet/edgetpu): ReLU, no SE, fused early stages.

The official models have 1001 classes (0 is background); these specs have 1000, as every port does.

The official code strides fused blocks in their projection. `fused_padding="symmetric"` computes the same function with
the stride in the expansion (see `effnet.spec.Conventions`). timm 1.0 moved the stride and kept SAME padding, which is
another function; it lists 76.6 % for the ported EdgeTPU-S weights, whose publisher lists 77.23 %.
"""

from __future__ import annotations

from effnet.scaling import scale
from effnet.spec import BlockSpec, Conventions, HeadSpec, NetworkSpec, StageSpec, StemSpec

# width, depth, resolution, dropout
COEFFICIENTS = {
    "efficientnet_edgetpu_s": (1.0, 1.0, 224, 0.2),
    "efficientnet_edgetpu_m": (1.0, 1.1, 240, 0.2),
    "efficientnet_edgetpu_l": (1.2, 1.4, 300, 0.3),
}


def _stages() -> tuple[StageSpec, ...]:
    def fused(expand: float, channels: int, repeats: int, stride: int) -> StageSpec:
        block = BlockSpec(kind="fused_mbconv", expand_ratio=expand, se_ratio=0.0)
        return StageSpec(block=block, channels=channels, repeats=repeats, stride=stride)

    def mbconv(channels: int, repeats: int, stride: int) -> StageSpec:
        block = BlockSpec(kind="mbconv", kernel=5, expand_ratio=8.0, se_ratio=0.0)
        return StageSpec(block=block, channels=channels, repeats=repeats, stride=stride)

    first = StageSpec(
        block=BlockSpec(kind="fused_mbconv", expand_ratio=4.0, se_ratio=0.0, skip=False),
        channels=24,
        repeats=1,
        expand_from=24,
    )
    return (
        first,
        fused(8.0, 32, 2, 2),
        fused(8.0, 48, 4, 2),
        mbconv(96, 5, 2),
        mbconv(144, 4, 1),
        mbconv(192, 2, 2),
    )


def build(name: str) -> NetworkSpec:
    """Return the variant called `name`."""
    base = NetworkSpec(
        name="efficientnet_edgetpu_s",
        family="efficientnet-edgetpu",
        stem=StemSpec(channels=32),
        stages=_stages(),
        head=HeadSpec(channels=1280, dropout=0.2),
        resolution=224,
        drop_path=0.2,
        conventions=Conventions(
            activation="relu", padding="same", fused_padding="symmetric", norm_eps=1e-3, norm_momentum=0.01
        ),
    )
    if name == base.name:
        return base
    width, depth, resolution, dropout = COEFFICIENTS[name]
    scaled = scale(base, width=width, depth=depth, resolution=resolution / 224, name=name)
    return scaled.replace(head=HeadSpec(channels=scaled.head.channels, dropout=dropout))
