"""The builders of `torchvision.models` that effnet has, under the same names: `import effnet.models as models`.

    >>> from effnet import models  # was: from torchvision import models
    >>> weights = models.EfficientNet_B0_Weights.DEFAULT
    >>> model = models.efficientnet_b0(weights=weights)  # doctest: +SKIP
    >>> preprocess = weights.transforms()

Nothing here imports torch before a network is built.
"""

from effnet.migration.torchvision import (
    builder,
    get_model,
    get_model_weights,
    get_weight,
    list_models,
)
from effnet.migration.torchvision_weights import WeightsEnum

efficientnet_b0, EfficientNet_B0_Weights = builder("efficientnet_b0", "EfficientNet_B0_Weights")
efficientnet_b1, EfficientNet_B1_Weights = builder("efficientnet_b1", "EfficientNet_B1_Weights")
efficientnet_b2, EfficientNet_B2_Weights = builder("efficientnet_b2", "EfficientNet_B2_Weights")
efficientnet_b3, EfficientNet_B3_Weights = builder("efficientnet_b3", "EfficientNet_B3_Weights")
efficientnet_b4, EfficientNet_B4_Weights = builder("efficientnet_b4", "EfficientNet_B4_Weights")
efficientnet_b5, EfficientNet_B5_Weights = builder("efficientnet_b5", "EfficientNet_B5_Weights")
efficientnet_b6, EfficientNet_B6_Weights = builder("efficientnet_b6", "EfficientNet_B6_Weights")
efficientnet_b7, EfficientNet_B7_Weights = builder("efficientnet_b7", "EfficientNet_B7_Weights")
efficientnet_v2_s, EfficientNet_V2_S_Weights = builder("efficientnet_v2_s", "EfficientNet_V2_S_Weights")
efficientnet_v2_m, EfficientNet_V2_M_Weights = builder("efficientnet_v2_m", "EfficientNet_V2_M_Weights")
efficientnet_v2_l, EfficientNet_V2_L_Weights = builder("efficientnet_v2_l", "EfficientNet_V2_L_Weights")
resnet18, ResNet18_Weights = builder("resnet18", "ResNet18_Weights")
resnet34, ResNet34_Weights = builder("resnet34", "ResNet34_Weights")
resnet50, ResNet50_Weights = builder("resnet50", "ResNet50_Weights")
resnet101, ResNet101_Weights = builder("resnet101", "ResNet101_Weights")
resnet152, ResNet152_Weights = builder("resnet152", "ResNet152_Weights")

__all__ = [
    *(name for name in dir() if name.startswith(("efficientnet_", "EfficientNet_", "resnet", "ResNet"))),
    "WeightsEnum",
    "get_model",
    "get_model_weights",
    "get_weight",
    "list_models",
]
