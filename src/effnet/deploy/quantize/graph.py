"""From a float graph and ranges to an int8 graph: QuantizeLinear/DequantizeLinear pairs, weights per channel.

The pairs are placed by ONNX Runtime's own quantizer, which knows what its kernels fuse. What it is told is decided
here: which range each tensor has, which layers stay in float, and how many bits each weight gets.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from effnet.deploy.quantize.ranges import Range
from effnet.errors import MissingDependencyError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_WEIGHTED = ("Conv", "Gemm", "MatMul")
_COMPUTED = (*_WEIGHTED, "Add", "GlobalAveragePool", "AveragePool", "MaxPool")
_FREE = ("Clip", "Relu", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
_POINTWISE = ("Mul", "Sigmoid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A convolution or matrix product with constant weights.

    Attributes:
        node: its name in the graph.
        weight: name of its weights.
        depthwise: whether each channel is convolved alone.
    """

    node: str
    weight: str
    depthwise: bool

    @property
    def title(self) -> str:
        """What to call it: the module that its weights belong to."""
        return self.weight.removesuffix(".weight").removeprefix("network.") or self.node


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a graph becomes int8.

    Attributes:
        reduce_range: give weights 7 bits, except of depthwise convolutions, whose kernels do not add products in pairs.
        pointwise: compute Mul and Sigmoid, the parts of SiLU and of SE's gates, in int8 too.
        keep: names of the nodes that stay in float.
        corrected: shift biases by what rounding the weights does to each channel's mean.
    """

    reduce_range: bool = False
    pointwise: bool = False
    keep: frozenset[str] = frozenset()
    corrected: bool = False


def layers(model: ModelProto) -> tuple[Layer, ...]:
    """Return the layers that have weights, in order."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type in _WEIGHTED and len(node.input) > 1 and node.input[1] in constants:
            shape = constants[node.input[1]].dims
            groups = _attribute(node, "group", 1)
            depthwise = node.op_type == "Conv" and groups > 1 and shape[1] == 1
            found.append(Layer(node=node.name, weight=node.input[1], depthwise=depthwise))
    return tuple(found)


def prepared(model: ModelProto) -> ModelProto:
    """Return a copy whose nodes have names of their own, whose tensors have known types, and whose means are pools.

    Raises:
        MissingDependencyError: the onnx package is not installed.
    """
    try:
        import onnx

        from effnet.deploy.graph.passes import pool_means
    except ImportError:
        raise MissingDependencyError.for_extra("onnx", "onnx", "int8") from None
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    pool_means(copy)
    names: set[str] = set()
    for number, node in enumerate(copy.graph.node):
        if not node.name or node.name in names:
            node.name = f"{node.op_type}_{number}"
        names.add(node.name)
    return onnx.shape_inference.infer_shapes(copy)


def quantized(
    model: ModelProto, ranges: Mapping[str, Range], plan: Plan, means: Mapping[str, NDArray[np.float64]] | None = None
) -> ModelProto:
    """Return the int8 form of a `prepared` graph.

    Args:
        ranges: of every float tensor.
        means: of each channel of every tensor, which correction needs.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
    """
    import onnx

    try:
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    except ImportError:
        raise MissingDependencyError.for_extra("onnxruntime", "onnx", "int8") from None
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kept = plan.keep
    if plan.corrected:
        assert means is not None
        _correct(copy.graph, plan, means)
    limits = {n: (np.float32(r.low).reshape(()), np.float32(r.high).reshape(())) for n, r in ranges.items()}
    full = {la.weight: [{"reduce_range": False}] for la in layers(copy) if la.depthwise and plan.reduce_range}
    axes = {name: [{**entry[0], "axis": 0}] for name, entry in full.items()}
    with _silent():
        quantizer = QDQQuantizer(
            copy,
            True,
            plan.reduce_range,
            QuantType.QInt8,
            QuantType.QUInt8,
            TensorsData(CalibrationMethod.MinMax, limits),
            [],
            sorted(kept),
            [*_COMPUTED, *_FREE, *(_POINTWISE if plan.pointwise else ())],
            {
                # Classes that are close would become equal in 256 steps; a product may give floats at no cost.
                "OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"],
                **({"TensorQuantOverrides": axes} if axes else {}),
            },
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        quantizer.model.clean_initializers()
    made: ModelProto = quantizer.model.model
    del made.graph.value_info[:]  # sizes and types of what has been renamed and removed
    made.producer_name = model.producer_name
    made.producer_version = model.producer_version
    return made


def steps_of(weight: NDArray[np.float32], axis: int, bits: int) -> NDArray[np.float32]:
    """Return weights as `bits` bits leave them: symmetric steps for each channel of `axis`."""
    most = 2 ** (bits - 1) - 1 if bits == 8 else 2 ** (bits - 1)
    others = tuple(place for place in range(weight.ndim) if place != axis)
    step = np.abs(weight).max(others, keepdims=True) / most
    step = np.where(step == 0, 1, step)
    return (np.clip(np.round(weight / step), -most, most) * step).astype(np.float32)


def _correct(graph: GraphProto, plan: Plan, means: Mapping[str, NDArray[np.float64]]) -> None:
    """Take from each convolution's bias what rounding its weights adds on average (arXiv 1906.04721 section 4.2).

    E[(W' - W) x] is (W' - W) E[x] where the border is left out of account.
    """
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Conv" or node.name in plan.keep or len(node.input) < 3:
            continue
        weight, bias = (constants.get(name) for name in node.input[1:3])
        mean = means.get(node.input[0])
        if weight is None or bias is None or mean is None:
            continue
        values = numpy_helper.to_array(weight)  # (O, I / groups, k, k)
        depthwise = _attribute(node, "group", 1) > 1 and values.shape[1] == 1
        bits = 7 if plan.reduce_range and not depthwise else 8
        change = (steps_of(values, 0, bits) - values).sum((2, 3), dtype=np.float64)  # (O, I / groups)
        shift = change[:, 0] * mean if depthwise else change @ mean
        shifted = numpy_helper.to_array(bias) - shift
        bias.CopyFrom(numpy_helper.from_array(shifted.astype(np.float32), bias.name))


def _attribute(node: NodeProto, name: str, default: int) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), default)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the quantizer's remarks about its own defaults off the terminal; what goes wrong is raised."""
    logger: Any = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
