"""A graph in the layout of one processor: squeeze-and-excitation as one convolution in ONNX Runtime's blocked channels.

In blocks, multiplying a map by its gates is a depthwise 1x1 convolution whose weights are the gates: one pass over the
memory, where stretching the gates first (`passes`) takes two. A portable graph cannot say so, because convolutions are
only put in blocks when their weights are constants. So ONNX Runtime lays out the graph first, and the product is
replaced in what it wrote.

The result only runs where it was made, and for one image at a time (a convolution has one set of weights).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from effnet.deploy.engines.onnxruntime_session import session, session_options
from effnet.deploy.graph.passes import drop_unused_constants, optimize_graph, replace_nodes

_BLOCKED = "com.microsoft.nchwc"
_ELEMENTWISE = frozenset({"Sigmoid", "HardSigmoid", "Clip", "Relu", "QuickGelu"})


def blocked_graph(graph: bytes) -> bytes | None:
    """Return a portable graph in this processor's layout, for one image; None when there is nothing to gain.

    Raises:
        WeightsError: ONNX Runtime refuses the graph.
    """
    model = onnx.load_from_string(graph)
    _fix_batch(model)
    blocked = _laid_out(optimize_graph(model))
    return bytes(blocked.SerializeToString()) if gate_by_convolution(blocked) else None


def gate_by_convolution(model: ModelProto) -> int:
    """Replace stretched gates times a map, in blocks, by one depthwise convolution; return how many there were."""
    makers = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[NodeProto] = []
    gone: set[str] = set()
    for node in model.graph.node:
        stretch = _stretch(node, makers)
        channels = _blocked_channels(stretch, makers, constants)
        if stretch is None or channels is None:
            nodes.append(node)
            continue
        gates, shape = f"{stretch.output[0]}/gates", f"{stretch.output[0]}/shape"
        sides = np.array([channels, 1, 1, 1], np.int64)  # (1, C, 1, 1) -> (C, 1, 1, 1)
        model.graph.initializer.append(numpy_helper.from_array(sides, shape))
        (image,) = (name for name in node.input if name != stretch.output[0])
        nodes.append(helper.make_node("Reshape", [stretch.input[0], shape], [gates], name=gates))
        nodes.append(_depthwise(image, gates, node.output[0], channels))
        gone.add(stretch.output[0])
    read = {name for node in nodes for name in node.input}
    replace_nodes(model, [node for node in nodes if not (set(node.output) & gone) - read])
    drop_unused_constants(model)
    return len(gone)


def with_metadata(graph: bytes, key: str, value: str) -> bytes:
    """Return the graph with one entry more in its metadata."""
    model = onnx.load_from_string(graph)
    model.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString())


def _fix_batch(model: ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]


def _laid_out(model: ModelProto) -> ModelProto:
    with tempfile.TemporaryDirectory(prefix="effnet-") as folder:
        path = Path(folder) / "model.onnx"
        options = session_options(1)
        options.optimized_model_filepath = str(path)
        session(model.SerializeToString(), options)
        return onnx.load(path)


def _depthwise(image: str, gates: str, output: str, channels: int) -> NodeProto:
    square: dict[str, Any] = {"kernel_shape": [1, 1], "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]}
    name = f"{output}/gated"
    return helper.make_node(
        "Conv", [image, gates], [output], name=name, domain=_BLOCKED, group=channels, auto_pad="NOTSET", **square
    )


def _stretch(node: NodeProto, makers: dict[str, NodeProto]) -> NodeProto | None:
    if node.op_type != "Mul":
        return None
    found = [makers[name] for name in node.input if name in makers and makers[name].op_type == "Upsample"]
    return found[0] if len(found) == 1 and found[0].domain == _BLOCKED else None


def _blocked_channels(
    stretch: NodeProto | None, makers: dict[str, NodeProto], constants: dict[str, onnx.TensorProto]
) -> int | None:
    """Return the channels of the gates, filled up to whole blocks: those of the convolution that makes them."""
    maker = makers.get(stretch.input[0]) if stretch is not None else None
    while maker is not None and maker.op_type in _ELEMENTWISE:
        maker = makers.get(maker.input[0])
    if maker is None or maker.op_type != "Conv" or maker.domain != _BLOCKED or maker.input[1] not in constants:
        return None
    return int(constants[maker.input[1]].dims[0])
