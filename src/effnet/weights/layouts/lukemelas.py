"""The names of lukemelas' `efficientnet_pytorch` and of the Lite packages that follow it: MBConv only, blocks flat.

_conv_stem / _bn0, _blocks.I, _conv_head / _bn1, _fc

expand                  depthwise                   SE                          project
_expand_conv / _bn0     _depthwise_conv / _bn1      _se_reduce, _se_expand      _project_conv / _bn2
"""

from __future__ import annotations

from collections.abc import Mapping

from effnet.spec import NetworkSpec
from effnet.weights.layouts.layout import TORCH_TENSORS, Layout
from effnet.weights.layouts.parts import Part, Role

# role -> (layer, its norm)
_ENDS: Mapping[Role, tuple[str, str]] = {
    "stem": ("_conv_stem", "_bn0"),
    "head": ("_conv_head", "_bn1"),
    "classifier": ("_fc", ""),
}
_BLOCK: Mapping[Role, tuple[str, str]] = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "squeeze": ("_se_reduce", ""),
    "excite": ("_se_expand", ""),
    "project": ("_project_conv", "_bn2"),
}


def _prefix(part: Part, spec: NetworkSpec) -> str | None:
    norm = part.kind == "norm"
    if part.block is None:
        return _ENDS[part.role][norm]
    if part.block.kind != "mbconv":
        return None
    return f"_blocks.{part.position}.{_BLOCK[part.role][norm]}"


LAYOUT = Layout(name="lukemelas", prefix=_prefix, tensors=TORCH_TENSORS, marks=(r"_conv_stem\.weight",))
