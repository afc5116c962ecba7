"""`timm.data`, for judging and predicting: what a model wants, and the transform that does it."""

from effnet.migration.timm_transform import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    create_transform,
    resolve_data_config,
    resolve_model_data_config,
)

__all__ = [
    "IMAGENET_DEFAULT_MEAN",
    "IMAGENET_DEFAULT_STD",
    "create_transform",
    "resolve_data_config",
    "resolve_model_data_config",
]
