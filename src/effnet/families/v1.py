"""EfficientNet B0-B8 and L2 (V1 Table 1; coefficients of tensorflow/tpu efficientnet_builder.py).

B8 and L2 are not in the paper; they came with AdvProp and NoisyStudent. The released coefficients are rounded
by hand and do not lie on the compound curve: `effnet scale --phi 0..7` shows by how much.
"""

from __future__ import annotations

from effnet.scaling import scale
from effnet.spec import BlockSpec, Conventions, HeadSpec, NetworkSpec, StageSpec, StemSpec

# kernel, stride, expand ratio, channels, repeats (V1 Table 1)
B0_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)

# width, depth, resolution, dropout
COEFFICIENTS = {
    "efficientnet_b0": (1.0, 1.0, 224, 0.2),
    "efficientnet_b1": (1.0, 1.1, 240, 0.2),
    "efficientnet_b2": (1.1, 1.2, 260, 0.3),
    "efficientnet_b3": (1.2, 1.4, 300, 0.3),
    "efficientnet_b4": (1.4, 1.8, 380, 0.4),
    "efficientnet_b5": (1.6, 2.2, 456, 0.4),
    "efficientnet_b6": (1.8, 2.6, 528, 0.5),
    "efficientnet_b7": (2.0, 3.1, 600, 0.5),
    "efficientnet_b8": (2.2, 3.6, 672, 0.5),
    "efficientnet_l2": (4.3, 5.3, 800, 0.5),
}

# A variant carries the conventions of its default weights: torchvision's ports for B0-B7, whose eps and momentum
# change at B5, and the TensorFlow originals for the two that torchvision lacks.
_TORCHVISION_SMALL = Conventions(norm_eps=1e-5, norm_momentum=0.1)
_TORCHVISION_LARGE = Conventions(norm_eps=1e-3, norm_momentum=0.01)
_TENSORFLOW = Conventions(padding="same", norm_eps=1e-3, norm_momentum=0.01)


def mbconv_stages(se_ratio: float) -> tuple[StageSpec, ...]:
    """Return B0's seven stages with the given SE ratio."""
    return tuple(
        StageSpec(
            block=BlockSpec(kind="mbconv", kernel=kernel, expand_ratio=float(expand), se_ratio=se_ratio),
            channels=channels,
            repeats=repeats,
            stride=stride,
        )
        for kernel, stride, expand, channels, repeats in B0_STAGES
    )


def _conventions(name: str) -> Conventions:
    if name in ("efficientnet_b8", "efficientnet_l2"):
        return _TENSORFLOW
    return _TORCHVISION_LARGE if name[-1] in "567" else _TORCHVISION_SMALL


def build(name: str) -> NetworkSpec:
    """Return the variant called `name`."""
    base = NetworkSpec(
        name="efficientnet_b0",
        family="efficientnet-v1",
        stem=StemSpec(channels=32),
        stages=mbconv_stages(se_ratio=0.25),
        head=HeadSpec(channels=1280, dropout=0.2),
        resolution=224,
        drop_path=0.2,
        conventions=_conventions(name),
    )
    width, depth, resolution, dropout = COEFFICIENTS[name]
    if name == base.name:
        return base
    scaled = scale(base, width=width, depth=depth, resolution=resolution / 224, name=name)
    return scaled.replace(head=HeadSpec(channels=scaled.head.channels, dropout=dropout))
