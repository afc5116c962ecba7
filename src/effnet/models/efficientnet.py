"""The names of torchvision.models.efficientnet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from effnet.migration.torchvision import builder as _builder

if TYPE_CHECKING:
    from effnet.migration.torchvision_efficientnet import EfficientNet as EfficientNet

efficientnet_b0, EfficientNet_B0_Weights = _builder("efficientnet_b0", "EfficientNet_B0_Weights")
efficientnet_b1, EfficientNet_B1_Weights = _builder("efficientnet_b1", "EfficientNet_B1_Weights")
efficientnet_b2, EfficientNet_B2_Weights = _builder("efficientnet_b2", "EfficientNet_B2_Weights")
efficientnet_b3, EfficientNet_B3_Weights = _builder("efficientnet_b3", "EfficientNet_B3_Weights")
efficientnet_b4, EfficientNet_B4_Weights = _builder("efficientnet_b4", "EfficientNet_B4_Weights")
efficientnet_b5, EfficientNet_B5_Weights = _builder("efficientnet_b5", "EfficientNet_B5_Weights")
efficientnet_b6, EfficientNet_B6_Weights = _builder("efficientnet_b6", "EfficientNet_B6_Weights")
efficientnet_b7, EfficientNet_B7_Weights = _builder("efficientnet_b7", "EfficientNet_B7_Weights")
efficientnet_v2_s, EfficientNet_V2_S_Weights = _builder("efficientnet_v2_s", "EfficientNet_V2_S_Weights")
efficientnet_v2_m, EfficientNet_V2_M_Weights = _builder("efficientnet_v2_m", "EfficientNet_V2_M_Weights")
efficientnet_v2_l, EfficientNet_V2_L_Weights = _builder("efficientnet_v2_l", "EfficientNet_V2_L_Weights")

__all__ = [
    "EfficientNet",
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
]


def __getattr__(name: str) -> Any:
    if name == "EfficientNet":  # the class needs torch
        from effnet.migration.torchvision_efficientnet import EfficientNet

        return EfficientNet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
