"""The names of torchvision.models.resnet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from effnet.migration.torchvision import builder as _builder

if TYPE_CHECKING:
    from effnet.migration.resnet import ResNet as ResNet

resnet18, ResNet18_Weights = _builder("resnet18", "ResNet18_Weights")
resnet34, ResNet34_Weights = _builder("resnet34", "ResNet34_Weights")
resnet50, ResNet50_Weights = _builder("resnet50", "ResNet50_Weights")
resnet101, ResNet101_Weights = _builder("resnet101", "ResNet101_Weights")
resnet152, ResNet152_Weights = _builder("resnet152", "ResNet152_Weights")

__all__ = [
    "ResNet",
    "ResNet18_Weights",
    "ResNet34_Weights",
    "ResNet50_Weights",
    "ResNet101_Weights",
    "ResNet152_Weights",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
]


def __getattr__(name: str) -> Any:
    if name == "ResNet":  # the class needs torch
        from effnet.migration.resnet import ResNet

        return ResNet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
