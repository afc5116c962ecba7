"""`timm.models.efficientnet`: a function for each name.

>>> from effnet.timm.models.efficientnet import tf_efficientnet_b7_ns
"""

from typing import Any

from effnet.migration.timm import entrypoint
from effnet.migration.timm_network import TimmFeatures as EfficientNetFeatures
from effnet.migration.timm_network import TimmNetwork as EfficientNet

__all__ = ["EfficientNet", "EfficientNetFeatures"]


def __getattr__(name: str) -> Any:
    try:
        return entrypoint(name)
    except AttributeError:
        raise AttributeError(f"module 'effnet.timm.models.efficientnet' has no attribute {name!r}") from None
