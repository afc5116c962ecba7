#!/usr/bin/env bash
# openvino 2026.4.1, onnx 1.23.2, Python 3.11, Linux.
#
# Expected: OpenVINO has one reader of ONNX, so Core.read_model(file) and openvino.convert_model(file) give one graph.
# Happens:  convert_model also fuses x * sigmoid(x) into its own Swish operation; read_model keeps Sigmoid and Multiply.
# Seen:     read_model    Parameter Constant Convolution Sigmoid Multiply Result
#           convert_model Parameter Constant Convolution Swish Result
# Why here: post-training quantisation works on the graph as it was read. Every SiLU that is still two nodes gets its own
#           fake-quantise nodes (NNCF puts 238 into B0 through one door, 124 through the other), so the door, which
#           looks like a matter of taste, decides the speed and accuracy of an int8 EfficientNet.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check openvino==2026.4.1 onnx==1.23.2
"$folder/env/bin/python" - "$folder/silu.onnx" <<'PY'
import sys

import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper

path = sys.argv[1]
weights = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
graph = helper.make_graph(
    [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Mul", ["c", "s"], ["y"]),
    ],
    "silu",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])],
    [numpy_helper.from_array(weights, "w")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.checker.check_model(model)
onnx.save(model, path)

read = [node.get_type_name() for node in openvino.Core().read_model(path).get_ordered_ops()]
converted = [node.get_type_name() for node in openvino.convert_model(path).get_ordered_ops()]
print("read_model   ", *read)
print("convert_model", *converted)
if not ("Sigmoid" in read and "Multiply" in read and "Swish" not in read):
    sys.exit("changed: read_model no longer keeps Sigmoid and Multiply apart")
if not ("Swish" in converted and "Sigmoid" not in converted):
    sys.exit("changed: convert_model no longer fuses them into Swish")
PY
