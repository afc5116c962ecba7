"""The work of an OpenVINO graph."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from effnet.deploy.certificate import Work
from effnet.errors import MissingDependencyError, WeightsError

_SPATIAL = {"Convolution": 1, "GroupConvolution": 2}
"""Operators and the place in the shape of their weights from which one output element's products are counted."""


def count(payload: Mapping[str, bytes]) -> tuple[dict[str, int], Work]:
    """Return the operators and the work for one image of `model.xml` and `model.bin`."""
    try:
        import numpy as np
        import openvino
    except ImportError:
        raise MissingDependencyError.for_extra("openvino", "openvino", "counting an OpenVINO graph") from None
    try:
        weights = openvino.Tensor(np.frombuffer(payload["model.bin"], np.uint8))
        nodes = openvino.Core().read_model(payload["model.xml"], weights).get_ordered_ops()
    except Exception as error:
        what = f"is no valid OpenVINO graph: {' '.join(str(error).split())[:200]}"
        raise WeightsError(what, where="model.xml", fix="export it again") from None
    done = [macs for node in nodes if (macs := _macs(node)) is not None]
    operators = dict(sorted(Counter(node.get_type_name() for node in nodes).items()))
    return operators, Work(products=len(done), macs=sum(done))


def _macs(node: Any) -> int | None:
    """Return the multiply-accumulates for one image of a product with weights; None for any other node."""
    kind = node.get_type_name()
    if kind not in (*_SPATIAL, "MatMul"):
        return None
    if not _is_constant(node.input_value(1)):
        return None
    out = [int(size.get_length()) for size in list(node.output(0).get_partial_shape())[1:]]  # the first is the batch
    kernel = [int(side) for side in node.input_value(1).get_shape()]
    if kind in _SPATIAL:
        return math.prod(out) * math.prod(kernel[_SPATIAL[kind] :])
    turned = bool(node.get_attributes()["transpose_b"])
    return math.prod(out) * kernel[-1 if turned else -2]


def _is_constant(value: Any) -> bool:
    """Whether a value does not depend on the images: a constant, or one that is only cast or rearranged."""
    node = value.get_node()
    if node.get_type_name() == "Constant":
        return True
    inputs = node.input_values()
    return bool(inputs) and all(_is_constant(one) for one in inputs)
