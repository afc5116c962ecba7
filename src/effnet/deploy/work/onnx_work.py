"""The work of an ONNX graph, quantised or not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from effnet.deploy.certificate import Work
from effnet.errors import MissingDependencyError, WeightsError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_CONVOLUTIONS = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
"""Operators and the place of their weights among their inputs."""

_PRODUCTS = {"Gemm": 1, "MatMul": 1, "FusedMatMul": 1, "FusedGemm": 1, "MatMulInteger": 1, "QLinearMatMul": 3}

_BATCH = 2
"""Images at which sizes are worked out, where the graph leaves their number free."""


def count(payload: Mapping[str, bytes]) -> tuple[dict[str, int], Work]:
    """Return the operators and the work for one image of `model.onnx`."""
    try:
        import onnx
    except ImportError:
        raise MissingDependencyError.for_extra("onnx", "onnx", "counting an ONNX graph") from None
    try:
        model = onnx.load_model_from_string(payload["model.onnx"])
        batch = _fix_batch(model)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:
        text = str(error).splitlines() or [type(error).__name__]
        raise WeightsError(
            f"is no valid ONNX graph: {text[0][:200]}", where="model.onnx", fix="export it again"
        ) from None
    shapes = _shapes(inferred)
    constants = _constants(inferred)
    products = macs = 0
    for node in inferred.graph.node:
        done = _macs(node, shapes, constants)
        products += done is not None
        macs += done or 0
    operators = dict(sorted(Counter(node.op_type for node in inferred.graph.node).items()))
    return operators, Work(products=products, macs=macs // batch)


def _fix_batch(model: ModelProto) -> int:
    """Give the first input a number of images if it has none; return it."""
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    if not first.HasField("dim_value"):
        free, first.dim_value = first.dim_param, _BATCH
        for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
            for size in value.type.tensor_type.shape.dim:
                if size.HasField("dim_param") and size.dim_param == free:
                    size.dim_value = _BATCH
    return int(first.dim_value)


def _shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        sizes = value.type.tensor_type.shape.dim
        if all(size.HasField("dim_value") for size in sizes):
            shapes[value.name] = tuple(size.dim_value for size in sizes)
    return shapes


def _constants(model: ModelProto) -> set[str]:
    """Return the names of values that do not depend on the images."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if all(name in constants for name in node.input if name):
            constants.update(node.output)
    return constants


def _macs(node: NodeProto, shapes: Mapping[str, tuple[int, ...]], constants: set[str]) -> int | None:
    """Return the multiply-accumulates of a product with weights; None for any other node."""
    places: dict[str, int] = _CONVOLUTIONS | _PRODUCTS
    place = places.get(node.op_type)
    if place is None:
        return None
    weight, out = node.input[place], shapes.get(node.output[0])
    if node.op_type in _PRODUCTS and weight not in constants:
        weight = node.input[0]  # a matrix of weights may stand on the left
        if weight not in constants:
            return None
    kernel = shapes.get(weight)
    if kernel is None or out is None:
        raise WeightsError(f"the size of {node.output[0]} is not known", where=node.name, fix="export it again")
    if node.op_type in _CONVOLUTIONS:
        return math.prod(out) * math.prod(kernel[1:])  # (N, O, H, W) times C / groups * k * k
    return math.prod(out) * _depth(node, kernel, on_left=weight == node.input[0])


def _depth(node: NodeProto, kernel: tuple[int, ...], *, on_left: bool) -> int:
    """Return how many products each element of a matrix product sums."""
    attributes: dict[str, Any] = {attribute.name: attribute.i for attribute in node.attribute}
    turned = bool(attributes.get("transA" if on_left else "transB", 0))
    if len(kernel) == 1:
        return kernel[0]
    return kernel[-2 if on_left == turned else -1]
