"""EfficientNetV2-S/M/L/XL and V2-B0..B3 (V2 Table 4 and google/automl effnetv2_configs.py).

S, M, L and XL are stored explicitly; the V2-B family scales V2-B0 with the coefficients of V1's B0-B3 and a
rounding that never adds channels back.
"""

from __future__ import annotations

from effnet.scaling import scale
from effnet.spec import BlockSpec, Conventions, HeadSpec, NetworkSpec, ScalingRules, StageSpec, StemSpec

# fused, stride, expand ratio, channels, repeats; kernels are 3x3, SE 0.25 in MBConv and none in Fused-MBConv
_STAGES = {
    "efficientnetv2_s": (
        (True, 1, 1, 24, 2),
        (True, 2, 4, 48, 4),
        (True, 2, 4, 64, 4),
        (False, 2, 4, 128, 6),
        (False, 1, 6, 160, 9),
        (False, 2, 6, 256, 15),
    ),
    "efficientnetv2_m": (
        (True, 1, 1, 24, 3),
        (True, 2, 4, 48, 5),
        (True, 2, 4, 80, 5),
        (False, 2, 4, 160, 7),
        (False, 1, 6, 176, 14),
        (False, 2, 6, 304, 18),
        (False, 1, 6, 512, 5),
    ),
    "efficientnetv2_l": (
        (True, 1, 1, 32, 4),
        (True, 2, 4, 64, 7),
        (True, 2, 4, 96, 7),
        (False, 2, 4, 192, 10),
        (False, 1, 6, 224, 19),
        (False, 2, 6, 384, 25),
        (False, 1, 6, 640, 7),
    ),
    "efficientnetv2_xl": (
        (True, 1, 1, 32, 4),
        (True, 2, 4, 64, 8),
        (True, 2, 4, 96, 8),
        (False, 2, 4, 192, 16),
        (False, 1, 6, 256, 24),
        (False, 2, 6, 512, 32),
        (False, 1, 6, 640, 8),
    ),
    "efficientnetv2_b0": (
        (True, 1, 1, 16, 1),
        (True, 2, 4, 32, 2),
        (True, 2, 4, 48, 2),
        (False, 2, 4, 96, 3),
        (False, 1, 6, 112, 5),
        (False, 2, 6, 192, 8),
    ),
}

# stem channels, train resolution, eval resolution, dropout
_EXPLICIT = {
    "efficientnetv2_s": (24, 300, 384, 0.2),
    "efficientnetv2_m": (24, 384, 480, 0.3),
    "efficientnetv2_l": (32, 384, 480, 0.4),
    "efficientnetv2_xl": (32, 384, 512, 0.4),
    "efficientnetv2_b0": (32, 192, 224, 0.2),
}

# width, depth, train resolution, eval resolution, dropout
_SCALED = {
    "efficientnetv2_b1": (1.0, 1.1, 192, 240, 0.2),
    "efficientnetv2_b2": (1.1, 1.2, 208, 260, 0.3),
    "efficientnetv2_b3": (1.2, 1.4, 240, 300, 0.3),
}

NAMES = (
    "efficientnetv2_s",
    "efficientnetv2_m",
    "efficientnetv2_l",
    "efficientnetv2_xl",
    "efficientnetv2_b0",
    *_SCALED,
)

# As in V1, the conventions are those of the default weights: torchvision has S, M and L, the rest are TensorFlow's.
_TORCHVISION = Conventions(norm_eps=1e-3, norm_momentum=0.1)
_TENSORFLOW = Conventions(padding="same", norm_eps=1e-3, norm_momentum=0.1)


def _stage(fused: bool, stride: int, expand: int, channels: int, repeats: int) -> StageSpec:
    block = BlockSpec(
        kind="fused_mbconv" if fused else "mbconv",
        expand_ratio=float(expand),
        se_ratio=0.0 if fused else 0.25,
    )
    return StageSpec(block=block, channels=channels, repeats=repeats, stride=stride)


def _explicit(name: str) -> NetworkSpec:
    stem, train, native, dropout = _EXPLICIT[name]
    return NetworkSpec(
        name=name,
        family="efficientnet-v2",
        stem=StemSpec(channels=stem),
        stages=tuple(_stage(*row) for row in _STAGES[name]),
        head=HeadSpec(channels=1280, dropout=dropout),
        resolution=native,
        train_resolution=train,
        drop_path=0.2,
        conventions=_TORCHVISION if name[-1] in "sm" or name.endswith("_l") else _TENSORFLOW,
        scaling=ScalingRules(round_limit=0.0),
    )


def build(name: str) -> NetworkSpec:
    """Return the variant called `name`."""
    if name in _EXPLICIT:
        return _explicit(name)
    width, depth, train, native, dropout = _SCALED[name]
    scaled = scale(_explicit("efficientnetv2_b0"), width=width, depth=depth, resolution=native / 224, name=name)
    # The training size does not follow the evaluation size in the released table.
    head = HeadSpec(channels=scaled.head.channels, dropout=dropout)
    return scaled.replace(train_resolution=train, head=head)
