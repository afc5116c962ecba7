"""timm under its own names, for the networks that effnet has: `import effnet.timm as timm` (or `as geffnet`).

>>> import effnet.timm as timm
>>> model = timm.create_model("efficientnet_b0", num_classes=10)
>>> model.get_classifier().out_features
10

A network's name is also a function, `timm.tf_efficientnet_b4_ns(pretrained=True)`, here as in
`timm.models.efficientnet`.
"""

from typing import Any

from effnet.migration.timm import create_model, entrypoint, is_model, list_models, list_pretrained
from effnet.timm import data, layers, models

__all__ = ["create_model", "data", "is_model", "layers", "list_models", "list_pretrained", "models"]


def __getattr__(name: str) -> Any:
    try:
        return entrypoint(name)
    except AttributeError:
        raise AttributeError(f"module 'effnet.timm' has no attribute {name!r}") from None
