"""The work of a program of torch.export."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from effnet.deploy.certificate import Work
from effnet.deploy.torch_program import load_program
from effnet.errors import WeightsError

_PRODUCTS = ("aten.conv2d.default", "aten.convolution.default", "aten.linear.default")
"""Operators whose second argument is their weights (O, ...): each output element sums the products of one row."""


def count(payload: Mapping[str, bytes]) -> tuple[dict[str, int], Work]:
    """Return the operators and the work for one image of `model.pt2`."""
    try:
        graph = load_program(payload["model.pt2"]).graph
    except Exception as error:
        what = f"is no program of torch.export: {str(error).partition(chr(10))[0][:200]}"
        raise WeightsError(what, where="model.pt2", fix="export it again") from None
    nodes = [node for node in graph.nodes if node.op == "call_function"]
    done = [_macs(node) for node in nodes if str(node.target) in _PRODUCTS]
    operators = dict(sorted(Counter(str(node.target) for node in nodes).items()))
    return operators, Work(products=len(done), macs=sum(done))


def _macs(node: Any) -> int:
    out, kernel = node.meta["val"].shape, node.args[1].meta["val"].shape
    return math.prod(int(side) for side in out[1:]) * math.prod(int(side) for side in kernel[1:])
