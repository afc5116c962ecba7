"""Passes that every exported graph gets: the same numbers, on any machine and in any runtime."""

from __future__ import annotations

import onnx
from onnx import ModelProto, NodeProto, numpy_helper


def optimize_graph(model: ModelProto) -> ModelProto:
    """Return a copy of a graph that computes the same, sooner or in fewer bytes.

    Folding of norms, of padding and of constants is not here because there is nothing left of them to fold: networks
    are exported with their norms folded, and torch's exporter folds the rest (a test keeps that true).
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    strip_provenance(copy)
    pool_means(copy)
    return copy


def strip_provenance(model: ModelProto) -> None:
    """Remove what torch's exporter notes beside every node and value: its stack, with paths of the exporting machine.

    The same network then gives the same bytes wherever it is exported. The model's own metadata stays.
    """
    graph = model.graph
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("metadata_props")
    graph.ClearField("doc_string")


def pool_means(model: ModelProto) -> None:
    """Write the mean over height and width as GlobalAveragePool.

    ONNX Runtime computes it in the layout that its convolutions leave; a ReduceMean asks for the plain layout back.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "ReduceMean" and _is_over_space(node, constants):
            del node.input[1:]
            node.ClearField("attribute")
            node.op_type = "GlobalAveragePool"
    drop_unused_constants(model)


def drop_unused_constants(model: ModelProto) -> None:
    """Remove the initializers that no node reads."""
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    if len(kept) < len(model.graph.initializer):
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        names = {tensor.name for tensor in kept} | {name for node in model.graph.node for name in node.output}
        named = [value for value in model.graph.value_info if value.name in names]
        del model.graph.value_info[:]
        model.graph.value_info.extend(named)


def _is_over_space(node: NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if attributes.get("keepdims", 1) != 1:
        return False
    axes = attributes.get("axes")
    if len(node.input) > 1:
        if node.input[1] not in constants:
            return False
        axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
    # A network's feature maps have four dimensions; nothing else is averaged over its last two.
    return axes is not None and {axis % 4 for axis in axes} == {2, 3}
