"""Passes over exported graphs: the same numbers on any machine and in any runtime, sooner in ONNX Runtime.

Folding of norms, of padding and of constants is not here because nothing of them is left to fold: networks are exported
with their norms folded, and torch's exporter folds the rest (a test keeps that true).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from effnet.deploy.windows import averaging_window

Sides: TypeAlias = tuple[int | str, ...]
"""Dimensions of a value; a free one by its name."""


def optimize_graph(model: ModelProto) -> ModelProto:
    """Return a copy of a graph that computes the same and keeps squeeze-and-excitation in ONNX Runtime's own layout.

    ONNX Runtime keeps the channels of a feature map in blocks of as many as the processor's registers hold (NCHWc) from
    convolution to convolution, and has no product there of a map (N, C, H, W) and its gates (N, C, 1, 1): each unit
    puts the map back into the plain layout, multiplies, and blocks it again. Stretched gates it multiplies in blocks.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    pool_means(copy)
    pool_windows(copy)
    spread_gates(copy)
    return copy


def pool_means(model: ModelProto) -> int:
    """Write the mean over height and width as GlobalAveragePool; return how many there were.

    ONNX Runtime computes it in blocks, and in 8 bits; a ReduceMean asks for the plain layout and for floats.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = 0
    for node in model.graph.node:
        if node.op_type == "ReduceMean" and _is_over_space(node, constants):
            del node.input[1:]
            node.ClearField("attribute")
            node.op_type = "GlobalAveragePool"
            found += 1
    drop_unused_constants(model)
    return found


def pool_windows(model: ModelProto) -> int:
    """Average windows of large maps before GlobalAveragePool does; return how many there were.

    It adds one pixel after the other: see `effnet.deploy.windows`.
    """
    shapes = _shapes(model)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        window = _window(shapes.get(node.input[0], ())) if node.op_type == "GlobalAveragePool" else None
        if window is not None:
            averaged = f"{node.output[0]}/windows"
            even: dict[str, Any] = {"kernel_shape": window, "strides": window}
            nodes.append(helper.make_node("AveragePool", [node.input[0]], [averaged], name=averaged, **even))
            node.input[0] = averaged
        nodes.append(node)
    found = len(nodes) - len(model.graph.node)
    replace_nodes(model, nodes)
    return found


def spread_gates(model: ModelProto) -> int:
    """Stretch gates (N, C, 1, 1) to the size of their map before they multiply it; return how many there were.

    The stretched shape is written down, because ONNX Runtime cannot work out that stretching leaves a free batch as it
    is, and only multiplies in blocks what is surely of one shape.
    """
    shapes = _shapes(model)
    nodes: list[NodeProto] = []
    found = 0
    for node in model.graph.node:
        gate = _gate(node, shapes)
        if gate is not None:
            image = shapes[node.input[1 - gate]]
            stretched = f"{node.output[0]}/gates"
            nodes.append(_resize(node.input[gate], stretched))
            scales = np.array([1, 1, *image[2:]], np.float32)
            model.graph.initializer.append(numpy_helper.from_array(scales, f"{stretched}/scales"))
            model.graph.value_info.append(helper.make_tensor_value_info(stretched, TensorProto.FLOAT, image))
            node.input[gate] = stretched
            found += 1
        nodes.append(node)
    replace_nodes(model, nodes)
    return found


def drop_unused_constants(model: ModelProto) -> None:
    """Remove the initializers that no node reads."""
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    if len(kept) == len(model.graph.initializer):
        return
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    there = {tensor.name for tensor in kept} | {name for node in model.graph.node for name in node.output}
    described = [value for value in model.graph.value_info if value.name in there]
    del model.graph.value_info[:]
    model.graph.value_info.extend(described)


def replace_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    """Give the graph these nodes, some of which may be its own."""
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _gate(node: NodeProto, shapes: dict[str, Sides]) -> int | None:
    """Return which input of a product is the gates of the other; None when neither is."""
    if node.op_type != "Mul":
        return None
    sides = [shapes.get(name, ()) for name in node.input]
    if len(sides[0]) != 4 or len(sides[1]) != 4 or sides[0][:2] != sides[1][:2] or "" in sides[0][:2]:
        return None
    for gate in (0, 1):
        image = sides[1 - gate]
        if sides[gate][2:] == (1, 1) != image[2:] and all(isinstance(side, int) and side > 0 for side in image[2:]):
            return gate
    return None


def _resize(gates: str, stretched: str) -> NodeProto:
    # The one form of stretching that ONNX Runtime knows in blocks.
    how: dict[str, Any] = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    return helper.make_node("Resize", [gates, "", f"{stretched}/scales"], [stretched], name=stretched, **how)


def _window(sides: Sides) -> tuple[int, int] | None:
    height, width = sides[2:] if len(sides) == 4 else (0, 0)
    return averaging_window(height, width) if isinstance(height, int) and isinstance(width, int) else None


def _shapes(model: ModelProto) -> dict[str, Sides]:
    known = onnx.shape_inference.infer_shapes(model).graph
    return {value.name: _sides(value) for value in (*known.value_info, *known.input)}


def _sides(value: ValueInfoProto) -> Sides:
    dimensions = value.type.tensor_type.shape.dim
    return tuple(side.dim_value if side.HasField("dim_value") else side.dim_param for side in dimensions)


def _is_over_space(node: NodeProto, constants: dict[str, TensorProto]) -> bool:
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if attributes.get("keepdims", 1) != 1:
        return False
    axes = attributes.get("axes")
    if len(node.input) > 1:
        if node.input[1] not in constants:
            return False
        axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
    # A network's feature maps have four dimensions; nothing else is averaged over its last two.
    return axes is not None and {axis % 4 for axis in axes} == {2, 3}
