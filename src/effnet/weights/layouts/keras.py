"""The layer and weight names of Keras applications, `EfficientNetB0-B7` and `EfficientNetV2*`, as `layer/weight`.

    stem_conv / stem_bn, blockSx_ (S from 1, x = a, b, ...), top_conv / top_bn, predictions

                            expand                      depthwise               SE                      project
    MBConv, V1              expand_conv / expand_bn     dwconv / bn             se_reduce, se_expand    project_conv /
    MBConv, V2              the same                    dwconv2 / bn            the same                project_bn
    Fused-MBConv            the same                    -                       the same                the same
    Fused-MBConv, ratio 1   project_conv / project_bn is its single convolution

Files vary: TensorFlow's Keras appends `:0`, Keras 3 calls a depthwise kernel `kernel`, and its `.weights.h5` numbers a
layer's weights and, in its first versions, the layers too (`layers/conv2d_3/vars/0`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from effnet.errors import WeightsError
from effnet.spec import NetworkSpec
from effnet.weights.layouts.layout import TENSORFLOW_NAMES, TENSORFLOW_TENSORS, Layout
from effnet.weights.layouts.parts import Kind, Part, Role, parts

if TYPE_CHECKING:
    from torch import Tensor

# role -> (layer, its norm)
_ENDS: Mapping[Role, tuple[str, str]] = {
    "stem": ("stem_conv", "stem_bn"),
    "head": ("top_conv", "top_bn"),
    "classifier": ("predictions", ""),
}
_BLOCK: Mapping[Role, tuple[str, str]] = {
    "expand": ("expand_conv", "expand_bn"),
    "depthwise": ("dwconv", "bn"),
    "squeeze": ("se_reduce", ""),
    "excite": ("se_expand", ""),
    "project": ("project_conv", "project_bn"),
    "fused": ("project_conv", "project_bn"),
}

# How Keras 3 names a layer without a name of its own.
_CLASSES: Mapping[str, tuple[Kind, ...]] = {
    "conv2d": ("conv", "gate"),
    "depthwise_conv2d": ("depthwise",),
    "batch_normalization": ("norm",),
    "dense": ("linear",),
}

IMAGENET_STD = (0.229, 0.224, 0.225)


def is_v2(spec: NetworkSpec) -> bool:
    """Whether Keras would build `spec` with its V2 code."""
    return any(stage.block.kind == "fused_mbconv" for stage in spec.stages)


def normalisation(means: Sequence[float], variances: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation, on the 0..1 scale, that a V1 file's Normalization layer stands for.

    The layer computes (x - mean) / sqrt(variance). The ImageNet files were trained with a division by the variance:
    there `variance` holds the standard deviation, and Keras' `weights="imagenet"` divides by another square root.
    """
    mean = tuple(round(float(value), 7) for value in means)
    if all(abs(value - std) < 1e-4 for value, std in zip(variances, IMAGENET_STD, strict=False)):
        return mean, IMAGENET_STD[: len(mean)]
    return mean, tuple(round(math.sqrt(max(float(value), 1e-14)), 7) for value in variances)


def normalised(tensors: Mapping[str, Tensor]) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and deviation of the one Normalization layer among a file's tensors; None without one."""
    found: dict[str, tuple[float, ...]] = {}
    for name, tensor in tensors.items():
        layer, weight = split(name)
        layer = name.split("/")[-3] if layer == "vars" and name.count("/") > 1 else layer
        kind = {"mean": "mean", "variance": "variance", "0": "mean", "1": "variance"}.get(weight)
        if kind is None or not re.fullmatch(r"normalization(_\d+)?", layer) or tensor.numel() > 64:
            continue
        values = tuple(float(value) for value in tensor.reshape(-1).tolist())
        if found.setdefault(kind, values) != values:
            return None
    if len(found) < 2 or len(found["mean"]) != len(found["variance"]):
        return None
    return normalisation(found["mean"], found["variance"])


def split(name: str) -> tuple[str, str]:
    """Return layer and weight of a name in a file: (`stem_conv`, `kernel`) of `stem_conv/stem_conv/kernel:0`."""
    layer, _, weight = name.rpartition("/")
    return layer.rpartition("/")[2], weight.removesuffix(":0")


def _prefix(part: Part, spec: NetworkSpec) -> str | None:
    norm = part.kind == "norm"
    if part.block is None:
        return _ENDS[part.role][norm]
    if part.role not in _BLOCK:
        return None
    name = _BLOCK[part.role][norm]
    if part.role == "depthwise" and not norm and is_v2(spec):
        name = "dwconv2"
    return f"block{part.block.stage}{chr(ord('a') + part.block.index)}_{name}"


def _canonical(names: tuple[str, ...], spec: NetworkSpec) -> Mapping[str, str]:
    table = [(part, _prefix(part, spec)) for part in parts(spec)]
    kinds = {prefix: part.kind for part, prefix in table}
    numbered = {
        f"{name}_{index}" if index else name: prefix
        for name, wanted in _CLASSES.items()
        for index, prefix in enumerate(prefix for part, prefix in table if part.kind in wanted)
    }
    found: dict[str, str] = {}
    for name in names:
        layer, weight = split(name)
        if layer == "vars":
            layer = name.split("/")[-3]
            layer = numbered.get(layer) or layer
        if not _is_weight(name, layer):
            continue
        canonical = f"{layer}/{_weight(weight, kinds.get(layer))}"
        if canonical in found.values():
            raise WeightsError(f"holds {canonical} twice", fix="save one network alone in a file")
        found[name] = canonical
    return found


def _is_weight(name: str, layer: str) -> bool:
    # The preprocessing layer, read by `normalisation`, and what an optimizer remembers, are no weights.
    return re.fullmatch(r"normalization(_\d+)?", layer) is None and not name.startswith(("optimizer", "vars/"))


def _weight(weight: str, kind: Kind | None) -> str:
    if kind is not None and weight.isdecimal():
        names = list(TENSORFLOW_NAMES[kind].values())
        return names[int(weight)] if int(weight) < len(names) else weight
    return "depthwise_kernel" if kind == "depthwise" and weight == "kernel" else weight


LAYOUT = Layout(
    name="keras",
    prefix=_prefix,
    tensors=TENSORFLOW_TENSORS,
    marks=(r"(.*/)?stem_conv/(kernel(:0)?|0)", r"(.*/)?layers/conv2d/vars/0"),
    canonical=_canonical,
)
