"""The names of efficientnet_pytorch.model."""

from effnet.migration.lukemelas import EfficientNet
from effnet.migration.lukemelas_layers import MBConvBlock
from effnet.migration.lukemelas_params import VALID_MODELS

__all__ = ["VALID_MODELS", "EfficientNet", "MBConvBlock"]
