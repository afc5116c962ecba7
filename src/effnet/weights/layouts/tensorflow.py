"""The variable names of the official TensorFlow checkpoints; M is the model's scope, such as `efficientnet-b0`.

    M/stem/conv2d, M/stem/tpu_batch_normalization, M/blocks_I, M/head/conv2d, M/head/tpu_batch_normalization,
    M/head/dense

In a block, convolutions and norms are numbered as they come: `conv2d`, `conv2d_1`; `tpu_batch_normalization`, ..._1,
..._2; the depthwise one is `depthwise_conv2d`, SE's are `se/conv2d` and `se/conv2d_1`.

A checkpoint also has each variable's moving average, `<variable>/ExponentialMovingAverage`, which the published
accuracies were measured with and which is therefore preferred, and what the optimizer remembers, which is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from effnet.spec import NetworkSpec
from effnet.unrolling import Block
from effnet.weights.layouts.layout import TENSORFLOW_TENSORS, Layout
from effnet.weights.layouts.parts import Part, Role

AVERAGE = "/ExponentialMovingAverage"

_STEM = re.compile(r"(?:(.*)/)?stem/conv2d/kernel")
_WEIGHT = re.compile(r".*/(kernel|depthwise_kernel|bias|gamma|beta|moving_mean|moving_variance)")
_ENDS: Mapping[Role, str] = {"stem": "stem", "head": "head", "classifier": "head/dense"}
_FIXED: Mapping[Role, str] = {"depthwise": "depthwise_conv2d", "squeeze": "se/conv2d", "excite": "se/conv2d_1"}


def scope(spec: NetworkSpec) -> str:
    """Return M for a network of ours: the official names have dashes."""
    return spec.name.replace("_", "-")


def _prefix(part: Part, spec: NetworkSpec) -> str | None:
    if part.block is None:
        inner = _ENDS[part.role]
        if part.kind != "linear":
            inner += "/tpu_batch_normalization" if part.kind == "norm" else "/conv2d"
        return f"{scope(spec)}/{inner}"
    if part.block.kind not in ("mbconv", "fused_mbconv"):
        return None
    return f"{scope(spec)}/blocks_{part.position}/{_layer(part, part.block)}"


def _layer(part: Part, block: Block) -> str:
    roles: list[Role] = ["expand"] if block.expands else []
    roles += ["depthwise", "project"] if block.kind == "mbconv" else ["project" if block.expands else "fused"]
    if part.kind == "norm":
        return _numbered("tpu_batch_normalization", roles.index(part.role))
    if part.role in _FIXED:
        return _FIXED[part.role]
    plain: list[Role] = [role for role in roles if role != "depthwise"]
    return _numbered("conv2d", plain.index(part.role))


def _numbered(name: str, index: int) -> str:
    return f"{name}_{index}" if index else name


def _canonical(names: tuple[str, ...], spec: NetworkSpec) -> Mapping[str, str]:
    averaged = {name.removesuffix(AVERAGE) for name in names if name.endswith(AVERAGE)}
    prefix = next((match[1] or "" for name in names if (match := _STEM.fullmatch(name))), None)
    found = {}
    for name in names:
        variable = name.removesuffix(AVERAGE)
        if not _WEIGHT.fullmatch(variable) or (variable in averaged and name == variable):
            continue
        inner = variable.removeprefix(f"{prefix}/") if prefix else variable
        inner = re.sub(r"/batch_normalization", "/tpu_batch_normalization", inner)
        found[name] = f"{scope(spec)}/{inner}"
    return found


LAYOUT = Layout(
    name="tensorflow",
    prefix=_prefix,
    tensors=TENSORFLOW_TENSORS,
    marks=(r"(.*/)?stem/conv2d/kernel(/ExponentialMovingAverage)?",),
    canonical=_canonical,
)
