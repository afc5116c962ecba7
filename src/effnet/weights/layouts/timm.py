"""timm's names, and those of its ancestor geffnet; the same for its plain models and its `tf_` ports.

    conv_stem / bn1, blocks.{S - 1}.J, conv_head / bn2, classifier

                                expand          depthwise       SE                              project
    MBConv                      conv_pw / bn1   conv_dw / bn2   se.conv_reduce, se.conv_expand  conv_pwl / bn3
    MBConv, expand ratio 1      -               conv_dw / bn1   the same                        conv_pw / bn2
    Fused-MBConv                conv_exp / bn1  -               the same                        conv_pwl / bn2
    Fused-MBConv, ratio 1       conv / bn1 is its single convolution

Plain and `tf_` models differ in padding and norm epsilon, which no tensor shows: see `effnet.weights.ports`.
"""

from __future__ import annotations

from collections.abc import Mapping

from effnet.spec import NetworkSpec
from effnet.unrolling import Block
from effnet.weights.layouts.layout import TORCH_TENSORS, Layout
from effnet.weights.layouts.parts import Part, Role, is_resnet
from effnet.weights.layouts.torchvision import resnet_prefix

# role -> (layer, its norm)
_Names = Mapping[Role, tuple[str, str]]

_ENDS: _Names = {"stem": ("conv_stem", "bn1"), "head": ("conv_head", "bn2"), "classifier": ("classifier", "")}
_GATE: _Names = {"squeeze": ("se.conv_reduce", ""), "excite": ("se.conv_expand", "")}
_INVERTED: _Names = {
    "expand": ("conv_pw", "bn1"),
    "depthwise": ("conv_dw", "bn2"),
    **_GATE,
    "project": ("conv_pwl", "bn3"),
}
_SEPARABLE: _Names = {"depthwise": ("conv_dw", "bn1"), **_GATE, "project": ("conv_pw", "bn2")}
_FUSED: _Names = {"expand": ("conv_exp", "bn1"), **_GATE, "project": ("conv_pwl", "bn2")}
_SINGLE: _Names = {"fused": ("conv", "bn1")}


def _names(block: Block) -> _Names:
    if block.kind == "mbconv":
        return _INVERTED if block.expands else _SEPARABLE
    if block.kind == "fused_mbconv":
        return _FUSED if block.expands else _SINGLE
    return {}


def _prefix(part: Part, spec: NetworkSpec) -> str | None:
    if is_resnet(spec):
        return resnet_prefix(part)
    names = _ENDS if part.block is None else _names(part.block)
    if part.role not in names:
        return None
    name = names[part.role][part.kind == "norm"]
    return name if part.block is None else f"blocks.{part.block.stage - 1}.{part.block.index}.{name}"


LAYOUT = Layout(name="timm", prefix=_prefix, tensors=TORCH_TENSORS, marks=(r"conv_stem\.weight",))
