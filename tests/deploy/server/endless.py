"""A bundle whose graph does not come back: a loop of 2^50 rounds around what is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from effnet.deploy.bundle import Bundle, digests
from tests.deploy.bundles import certificate
from tests.deploy.exported import tiny_bundle


def endless_bundle(rounds: int = 1 << 50) -> Bundle:
    """Return a bundle like the tiny one that adds nothing to its answer, `rounds` times."""
    bundle = tiny_bundle()
    graph = onnx.load_from_string(bundle.payload["model.onnx"])
    for node in graph.graph.node:
        for place, name in enumerate(node.output):
            if name == "logits":
                node.output[place] = "before"
    kind = TensorProto.FLOAT
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["sum", "nothing"], ["more"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", kind, None),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), helper.make_tensor_value_info("more", kind, None)],
    )
    for name, value in (
        ("rounds", np.array(rounds, np.int64)),
        ("going", np.array(True)),
        ("nothing", np.array(0, np.float32)),
    ):
        graph.graph.initializer.append(numpy_helper.from_array(value, name))
    graph.graph.node.append(helper.make_node("Loop", ["rounds", "going", "before"], ["logits"], body=body))
    payload = {"model.onnx": graph.SerializeToString()}
    return replace(bundle, certificate=certificate(sha256=digests(bundle.manifest, payload)), payload=payload)
