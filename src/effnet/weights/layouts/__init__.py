"""The same numbers under other libraries' names: torchvision, timm, lukemelas, Keras and TensorFlow <-> ours.

>>> from effnet.weights import layouts
>>> layouts.detect(["conv_stem.weight"])
'timm'
"""

from effnet.weights.layouts import keras
from effnet.weights.layouts.conversion import LAYOUTS, detect, from_native, recognise, sizes, to_native

__all__ = ["LAYOUTS", "detect", "from_native", "keras", "recognise", "sizes", "to_native"]
