"""What the package efficientnet_pytorch exports: `from effnet.efficientnet_pytorch import EfficientNet`.

Its modules `model` and `utils` are here under their names too, for code that imports from them.
"""

from effnet.migration.lukemelas import EfficientNet
from effnet.migration.lukemelas_params import (
    VALID_MODELS,
    BlockArgs,
    BlockDecoder,
    GlobalParams,
    efficientnet,
    get_model_params,
)

__version__ = "0.7.1"

__all__ = [
    "VALID_MODELS",
    "BlockArgs",
    "BlockDecoder",
    "EfficientNet",
    "GlobalParams",
    "efficientnet",
    "get_model_params",
]
