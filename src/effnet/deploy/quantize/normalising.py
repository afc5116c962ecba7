"""An int8 graph that takes pixels: their normalisation before its first node, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet.data.preprocess import affine
from effnet.preprocessing import Preprocess

if TYPE_CHECKING:
    from onnx import ModelProto


def taking_pixels(model: ModelProto, preprocess: Preprocess) -> ModelProto:
    """Return a graph of prepared images (N, C, H, W) as one of uint8 pixels (N, H, W, C); `model` stays as it is.

    The arithmetic is that of `effnet.data.preprocess.to_batch`, so that the first rounding to 8 bits is the same.
    """
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    whole = ModelProto()
    whole.CopyFrom(model)
    graph = whole.graph
    name = graph.input[0].name
    batch, channels, height, width = (
        side.dim_param or side.dim_value for side in graph.input[0].type.tensor_type.shape.dim
    )
    entry = helper.make_tensor_value_info(name, TensorProto.UINT8, [batch, height, width, channels])
    graph.input[0].CopyFrom(entry)
    turned, floating, centred, normalised, mean, scale = (
        f"{name}.{part}" for part in ("turned", "float", "centred", "normalised", "mean", "scale")
    )
    for node in graph.node:
        node.input[:] = [normalised if value == name else value for value in node.input]
    nodes = [
        helper.make_node("Transpose", [name], [turned], perm=[0, 3, 1, 2]),  # bytes are cheaper to move than floats
        helper.make_node("Cast", [turned], [floating], to=TensorProto.FLOAT),
        helper.make_node("Sub", [floating, mean], [centred]),
        helper.make_node("Mul", [centred, scale], [normalised]),
        *graph.node,
    ]
    del graph.node[:]
    graph.node.extend(nodes)
    for title, values in zip((mean, scale), affine(preprocess), strict=True):
        graph.initializer.append(numpy_helper.from_array(values.reshape(1, -1, 1, 1), title))
    return whole
