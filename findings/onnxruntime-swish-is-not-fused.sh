#!/usr/bin/env bash
# onnxruntime 1.32.0, onnx 1.23.2, Python 3.11, Linux, CPU provider.
#
# Expected: ONNX gained the operator Swish in opset 24, so a graph that uses it is at least as well optimised as one
#           that spells x * sigmoid(x) out.
# Happens:  the spelled-out form is fused into one node (QuickGelu); Swish is taken apart into its function body and
#           stays four nodes (Cast, Mul, Sigmoid, Mul), at every optimisation level.
# Seen:     sigmoid and mul: Conv QuickGelu
#           swish:           Cast Conv Mul Sigmoid Mul
# Why here: EfficientNet has a SiLU after almost every convolution. An exporter that moves to the newer opset and emits
#           Swish makes the network slower on this runtime; ours writes Sigmoid and Mul.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2
"$folder/env/bin/python" - "$folder/optimised.onnx" <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
SPELLED = [helper.make_node("Sigmoid", ["c"], ["s"]), helper.make_node("Mul", ["c", "s"], ["y"])]
SWISH = [helper.make_node("Swish", ["c"], ["y"])]


def optimised(activation, level):
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), *activation],
        "silu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=10)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = sys.argv[1]
    options.graph_optimization_level = level
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)
    return [node.op_type for node in onnx.load(sys.argv[1]).graph.node], session.run(None, {"x": image})[0]


for name in ("ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"):
    level = getattr(onnxruntime.GraphOptimizationLevel, name)
    (spelled, first), (swish, second) = optimised(SPELLED, level), optimised(SWISH, level)
    print(name, "sigmoid and mul:", *spelled, "| swish:", *swish)
    if np.abs(first - second).max() > 1e-5:
        sys.exit("changed: the two forms no longer compute the same")
    if "QuickGelu" not in spelled:
        sys.exit("changed: sigmoid and mul are no longer fused into QuickGelu")
    if not {"Sigmoid", "Mul"} <= set(swish):
        sys.exit("changed: Swish is no longer taken apart")
PY
