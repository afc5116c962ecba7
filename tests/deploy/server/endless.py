"""A bundle whose graph does not come back in time: products without end around what is right, and no loop in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from effnet.deploy.bundle import Bundle, digests
from tests.deploy.bundles import certificate
from tests.deploy.exported import tiny_bundle

SIDE = 2048
"""Of the square matrices: a product of two takes some tenths of a second."""


def endless_bundle(rounds: int = 4000) -> Bundle:
    """Return a bundle like the tiny one that adds nothing to its answer, after `rounds` products of large matrices.

    A graph with a loop would be refused before it runs; how much arithmetic there is, nobody limits.
    """
    bundle = tiny_bundle()
    graph = onnx.load_from_string(bundle.payload["model.onnx"])
    for node in graph.graph.node:
        for place, name in enumerate(node.output):
            if name == "logits":
                node.output[place] = "before"
    for name, value in (("nothing", np.array(0, np.float32)), ("square", np.array([SIDE, SIDE], np.int64))):
        graph.graph.initializer.append(numpy_helper.from_array(value, name))
    graph.graph.node.extend(
        [
            helper.make_node("ReduceMean", ["before"], ["their mean"], keepdims=0),
            helper.make_node("Mul", ["their mean", "nothing"], ["zero"]),  # known only when it runs
            helper.make_node("Expand", ["zero", "square"], ["product 0"]),
            *(
                helper.make_node("MatMul", [f"product {number}"] * 2, [f"product {number + 1}"])
                for number in range(rounds)
            ),
            helper.make_node("ReduceMean", [f"product {rounds}"], ["added"], keepdims=0),
            helper.make_node("Add", ["before", "added"], ["logits"]),
        ]
    )
    payload = {"model.onnx": graph.SerializeToString()}
    return replace(bundle, certificate=certificate(sha256=digests(bundle.manifest, payload)), payload=payload)
