"""`timm.models`: `create_model` and a function for each name of the networks that effnet has."""

from typing import Any

from effnet.migration.timm import create_model, entrypoint, is_model, list_models
from effnet.migration.timm_features import FeatureInfo
from effnet.migration.timm_network import TimmNetwork as EfficientNet
from effnet.timm.models import efficientnet

__all__ = ["EfficientNet", "FeatureInfo", "create_model", "efficientnet", "is_model", "list_models"]


def __getattr__(name: str) -> Any:
    try:
        return entrypoint(name)
    except AttributeError:
        raise AttributeError(f"module 'effnet.timm.models' has no attribute {name!r}") from None
