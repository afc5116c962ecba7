"""The names of transformers' `EfficientNetModel` and `EfficientNetForImageClassification`, which are V1 networks only.

embeddings.convolution / batchnorm, encoder.blocks.N (N through all stages), encoder.top_conv / top_bn, classifier
"""

from __future__ import annotations

from collections.abc import Mapping

from effnet.spec import NetworkSpec
from effnet.weights.layouts.layout import TORCH_TENSORS, Layout
from effnet.weights.layouts.parts import Part, Role

# role -> (layer, its norm)
_Names = Mapping[Role, tuple[str, str]]

_ENDS: _Names = {
    "stem": ("embeddings.convolution", "embeddings.batchnorm"),
    "head": ("encoder.top_conv", "encoder.top_bn"),
    "classifier": ("classifier", ""),
}
_BLOCK: _Names = {
    "expand": ("expansion.expand_conv", "expansion.expand_bn"),
    "depthwise": ("depthwise_conv.depthwise_conv", "depthwise_conv.depthwise_norm"),
    "squeeze": ("squeeze_excite.reduce", ""),
    "excite": ("squeeze_excite.expand", ""),
    "project": ("projection.project_conv", "projection.project_bn"),
}


def _prefix(part: Part, spec: NetworkSpec) -> str | None:
    names = _ENDS if part.block is None else _BLOCK
    if part.role not in names or (part.block is not None and part.block.kind != "mbconv"):
        return None
    name = names[part.role][part.kind == "norm"]
    return name if part.block is None else f"encoder.blocks.{part.position}.{name}"


LAYOUT = Layout(name="transformers", prefix=_prefix, tensors=TORCH_TENSORS, marks=(r"embeddings\.convolution\.weight",))
