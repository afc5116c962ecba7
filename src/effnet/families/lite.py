"""EfficientNet-Lite0-4 (tensorflow/tpu models/official/efficientnet/lite): B0 without SE, ReLU6, fixed stem and head.

Resolutions 280 and 300 of Lite3 and Lite4 are the official ones; timm evaluates its ports at 300 and 380.
"""

from __future__ import annotations

from effnet.families.v1 import mbconv_stages
from effnet.scaling import scale
from effnet.spec import Conventions, HeadSpec, NetworkSpec, ScalingRules, StemSpec

# width, depth, resolution, dropout
COEFFICIENTS = {
    "efficientnet_lite0": (1.0, 1.0, 224, 0.2),
    "efficientnet_lite1": (1.0, 1.1, 240, 0.2),
    "efficientnet_lite2": (1.1, 1.2, 260, 0.3),
    "efficientnet_lite3": (1.2, 1.4, 280, 0.3),
    "efficientnet_lite4": (1.4, 1.8, 300, 0.3),
}


def build(name: str) -> NetworkSpec:
    """Return the variant called `name`."""
    base = NetworkSpec(
        name="efficientnet_lite0",
        family="efficientnet-lite",
        stem=StemSpec(channels=32),
        stages=mbconv_stages(se_ratio=0.0),
        head=HeadSpec(channels=1280, dropout=0.2),
        resolution=224,
        drop_path=0.2,
        conventions=Conventions(activation="relu6", padding="same", norm_eps=1e-3, norm_momentum=0.01),
        scaling=ScalingRules(scale_stem=False, scale_head=False, scale_ends=False),
    )
    if name == base.name:
        return base
    width, depth, resolution, dropout = COEFFICIENTS[name]
    scaled = scale(base, width=width, depth=depth, resolution=resolution / 224, name=name)
    return scaled.replace(head=HeadSpec(channels=scaled.head.channels, dropout=dropout))
