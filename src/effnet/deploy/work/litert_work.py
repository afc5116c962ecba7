"""The work of a LiteRT graph."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from effnet.deploy.certificate import Work
from effnet.errors import MissingDependencyError, WeightsError

_PRODUCTS = {"CONV_2D": slice(1, None), "FULLY_CONNECTED": slice(1, None), "DEPTHWISE_CONV_2D": slice(1, 3)}
"""Operators and the sides of their weights (second input) that one output element sums over: (O, kh, kw, I), (O, I),
(1, kh, kw, C)."""


def count(payload: Mapping[str, bytes]) -> tuple[dict[str, int], Work]:
    """Return the operators and the work for one image of `model.tflite`."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError:
        raise MissingDependencyError.for_extra("ai-edge-litert", "litert", "counting a LiteRT graph") from None
    try:
        # Without delegates, which would stand for the operators that they take over.
        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        graph = Interpreter(model_content=payload["model.tflite"], experimental_op_resolver_type=plain)
        shapes = {detail["index"]: tuple(map(int, detail["shape"])) for detail in graph.get_tensor_details()}
        nodes = graph._get_ops_details()
    except Exception as error:
        what = f"is no LiteRT graph: {str(error).partition(chr(10))[0][:200]}"
        raise WeightsError(what, where="model.tflite", fix="export it again") from None
    products = macs = 0
    for node in nodes:
        if (summed := _PRODUCTS.get(node["op_name"])) is not None:
            out, kernel = shapes[int(node["outputs"][0])], shapes[int(node["inputs"][1])]
            products, macs = products + 1, macs + math.prod(out[1:]) * math.prod(kernel[summed])
    return dict(sorted(Counter(node["op_name"] for node in nodes).items())), Work(products=products, macs=macs)
