"""The builders of `torchvision.models` that effnet has, under the same names: `import effnet.models as models`.

    >>> from effnet import models  # was: from torchvision import models
    >>> weights = models.EfficientNet_B0_Weights.DEFAULT
    >>> model = models.efficientnet_b0(weights=weights)  # doctest: +SKIP
    >>> preprocess = weights.transforms()

Nothing here imports torch before a network is built. `models.EfficientNet` and `models.ResNet` are the networks'
classes; the submodules `efficientnet` and `resnet` have their part of the names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from effnet.models import _api as _api
from effnet.models import efficientnet as efficientnet
from effnet.models import resnet as resnet
from effnet.models._api import (
    WeightsEnum,
    get_model,
    get_model_builder,
    get_model_weights,
    get_weight,
    list_models,
)
from effnet.models.efficientnet import (
    EfficientNet_B0_Weights,
    EfficientNet_B1_Weights,
    EfficientNet_B2_Weights,
    EfficientNet_B3_Weights,
    EfficientNet_B4_Weights,
    EfficientNet_B5_Weights,
    EfficientNet_B6_Weights,
    EfficientNet_B7_Weights,
    EfficientNet_V2_L_Weights,
    EfficientNet_V2_M_Weights,
    EfficientNet_V2_S_Weights,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
    efficientnet_v2_l,
    efficientnet_v2_m,
    efficientnet_v2_s,
)
from effnet.models.resnet import (
    ResNet18_Weights,
    ResNet34_Weights,
    ResNet50_Weights,
    ResNet101_Weights,
    ResNet152_Weights,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
)

if TYPE_CHECKING:
    from effnet.models.efficientnet import EfficientNet as EfficientNet
    from effnet.models.resnet import ResNet as ResNet

__all__ = [
    "EfficientNet_B0_Weights",
    "EfficientNet_B1_Weights",
    "EfficientNet_B2_Weights",
    "EfficientNet_B3_Weights",
    "EfficientNet_B4_Weights",
    "EfficientNet_B5_Weights",
    "EfficientNet_B6_Weights",
    "EfficientNet_B7_Weights",
    "EfficientNet_V2_L_Weights",
    "EfficientNet_V2_M_Weights",
    "EfficientNet_V2_S_Weights",
    "ResNet18_Weights",
    "ResNet34_Weights",
    "ResNet50_Weights",
    "ResNet101_Weights",
    "ResNet152_Weights",
    "WeightsEnum",
    "efficientnet",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
    "get_model",
    "get_model_builder",
    "get_model_weights",
    "get_weight",
    "list_models",
    "resnet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
]


def __getattr__(name: str) -> Any:
    if name == "EfficientNet":
        return efficientnet.EfficientNet
    if name == "ResNet":
        return resnet.ResNet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
