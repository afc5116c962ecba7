"""The names of torchvision.models._api."""

from effnet.migration.torchvision import get_model, get_model_builder, get_model_weights, get_weight, list_models
from effnet.migration.torchvision_weights import WeightsEnum

__all__ = ["WeightsEnum", "get_model", "get_model_builder", "get_model_weights", "get_weight", "list_models"]
