"""The same numbers under other libraries' names: torchvision, timm, lukemelas, Keras and TensorFlow <-> ours.

>>> from effnet.weights import layouts
>>> layouts.detect(["conv_stem.weight"])
'timm'
"""

from effnet.weights.layouts import keras
from effnet.weights.layouts.conversion import (
    LAYOUTS,
    classifier_of,
    detect,
    from_native,
    has_trunk,
    prefixes,
    recognise,
    sizes,
    to_native,
    trunk_of,
)

__all__ = [
    "LAYOUTS",
    "classifier_of",
    "detect",
    "from_native",
    "has_trunk",
    "keras",
    "prefixes",
    "recognise",
    "sizes",
    "to_native",
    "trunk_of",
]
