"""The names of efficientnet_pytorch.utils, which client code imports."""

from effnet.migration.lukemelas import load_pretrained_weights, url_map, url_map_advprop
from effnet.migration.lukemelas_layers import (
    Conv2dDynamicSamePadding,
    Conv2dStaticSamePadding,
    MaxPool2dDynamicSamePadding,
    MaxPool2dStaticSamePadding,
    MemoryEfficientSwish,
    Swish,
    calculate_output_image_size,
    drop_connect,
    get_same_padding_conv2d,
    get_same_padding_maxPool2d,
    get_width_and_height_from_size,
)
from effnet.migration.lukemelas_params import (
    BlockArgs,
    BlockDecoder,
    GlobalParams,
    efficientnet,
    efficientnet_params,
    get_model_params,
    round_filters,
    round_repeats,
)

__all__ = [
    "BlockArgs",
    "BlockDecoder",
    "Conv2dDynamicSamePadding",
    "Conv2dStaticSamePadding",
    "GlobalParams",
    "MaxPool2dDynamicSamePadding",
    "MaxPool2dStaticSamePadding",
    "MemoryEfficientSwish",
    "Swish",
    "calculate_output_image_size",
    "drop_connect",
    "efficientnet",
    "efficientnet_params",
    "get_model_params",
    "get_same_padding_conv2d",
    "get_same_padding_maxPool2d",
    "get_width_and_height_from_size",
    "load_pretrained_weights",
    "round_filters",
    "round_repeats",
    "url_map",
    "url_map_advprop",
]
