"""The work of an ExecuTorch program: of the graphs that it hands to XNNPACK, which are opened too."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from effnet.deploy.certificate import Work
from effnet.errors import MissingDependencyError, WeightsError

_PRODUCTS = {"XNNConv2d": slice(1, None), "XNNFullyConnected": slice(1, None), "XNNDepthwiseConv2d": slice(1, 3)}
"""XNNPACK's nodes and the sides of their weights that one output element sums over: (O, kh, kw, I), (O, I),
(1, kh, kw, C)."""


def count(payload: Mapping[str, bytes]) -> tuple[dict[str, int], Work]:
    """Return the operators and the work for one image of `model.pte`.

    What the program computes outside XNNPACK is among the operators, but not among the products: the exporter hands
    every product over, so one that is left outside would be a fault.
    """
    try:
        from executorch.exir._serialize._program import deserialize_pte_binary
    except ImportError:
        raise MissingDependencyError.for_extra("executorch", "executorch", "counting an ExecuTorch program") from None
    try:
        program = deserialize_pte_binary(payload["model.pte"]).program
        plan = program.execution_plan[0]
        graphs = [_graph(bytes(program.backend_delegate_data[one.processed.index].data)) for one in plan.delegates]
    except Exception as error:
        what = f"is no ExecuTorch program: {str(error).partition(chr(10))[0][:200]}"
        raise WeightsError(what, where="model.pte", fix="export it again") from None
    operators = Counter(operator.name for operator in plan.operators)
    products = macs = 0
    for graph in graphs:
        for kind, done in _nodes(graph):
            operators[kind] += 1
            products += done is not None
            macs += done or 0
    return dict(sorted(operators.items())), Work(products=products, macs=macs)


def _graph(blob: bytes) -> dict[str, Any]:
    """Return XNNPACK's graph as JSON: a header says where in the blob it lies, ExecuTorch's own tool reads it."""
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    header = XNNHeader.from_bytes(blob[: XNNHeader.EXPECTED_LENGTH])
    content = blob[header.flatbuffer_offset : header.flatbuffer_offset + header.flatbuffer_size]
    schema = files("executorch.backends.xnnpack.serialization") / "schema.fbs"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "schema.fbs").write_bytes(schema.read_bytes())
        (place / "graph.bin").write_bytes(content)
        _flatc_decompile(folder, str(place / "schema.fbs"), str(place / "graph.bin"), ["--raw-binary"])
        graph: dict[str, Any] = json.loads((place / "graph.json").read_text())
    return graph


def _nodes(graph: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    """Return each node's kind, and its multiply-accumulates for one image if it is a product with weights."""
    shapes = {}
    for value in graph["xvalues"]:
        tensor = value["xvalue_union"]
        tensor = tensor.get("tensor_value", tensor)
        shapes[tensor["id_out"]] = tensor["dims"]
    for entry in graph["xnodes"]:
        kind, node = entry["xnode_union_type"], entry["xnode_union"]
        summed = _PRODUCTS.get(kind) or _PRODUCTS.get(kind.removeprefix("_"))
        if summed is None:
            yield kind, None
        else:
            yield kind, math.prod(shapes[node["output_id"]][1:]) * math.prod(shapes[node["filter_id"]][summed])
