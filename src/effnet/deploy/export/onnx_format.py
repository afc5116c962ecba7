"""ONNX: what ONNX Runtime, OpenVINO, TensorRT, DirectML and most other engines read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from effnet.deploy.export.program import Program, quiet
from effnet.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from onnx import ModelProto

_MOST_BYTES = (1 << 31) - 1
"""Protobuf's limit on a message."""

_WORTH_HALVING = 256
"""Values of a tensor; biases and constants of arithmetic are fewer, and small."""


OPSETS = (18, 23)
"""First and last version of ONNX's operators that torch's exporter writes; the first is enough for every network."""


def convert(program: Program, *, optimize: bool = True, opset: int | None = None) -> dict[str, bytes]:
    """Return the model file.

    Args:
        optimize: rearrange the graph so that CPUs run it sooner.
        opset: version of ONNX's operators; None: 18, which every network of effnet can be written in. The file's IR is
            the oldest that has this opset: old runtimes refuse a newer one whatever the graph needs.

    Raises:
        MissingDependencyError: the packages are not installed.
        InputError: it would be larger than one file can be, or there is no such opset.
    """
    model = onnx_model(program, opset)
    if optimize:
        from effnet.deploy.graph import optimize_graph

        model = optimize_graph(model)
    _lower(model)
    if program.manifest.precision == "fp16":
        store_in_half(model)
    if model.ByteSize() > _MOST_BYTES:
        what = f"{model.ByteSize()} bytes, one ONNX file holds {_MOST_BYTES}"
        raise InputError(what, where=program.manifest.name, fix="export it with --precision fp16, or --to openvino")
    return {"model.onnx": model.SerializeToString(deterministic=True)}


def _lower(model: ModelProto) -> None:
    """Give the file the oldest format (IR) that has its operators."""
    from onnx.helper import find_min_ir_version_for

    model.ir_version = find_min_ir_version_for(model.opset_import, ignore_unknown=True)


def onnx_model(program: Program, opset: int | None = None) -> ModelProto:
    """Return the model as a value.

    Raises:
        MissingDependencyError: the packages are not installed.
        InputError: there is no such opset.
    """
    first, last = OPSETS
    if opset is not None and not (isinstance(opset, int) and first <= opset <= last):
        raise InputError(f"opset {opset}", where="opset", fix=f"give a version from {first} to {last}")
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch's exporter needs it, and says so only when it is too late)
    except ImportError as error:
        raise MissingDependencyError.for_extra(error.name or "onnx", "onnx", "exporting to ONNX") from None
    import torch

    manifest = program.manifest
    with torch.no_grad(), quiet():
        made = torch.onnx.export(
            program.exported(),
            (),
            dynamo=True,
            input_names=[manifest.input_name],
            output_names=[manifest.output_name],
            opset_version=opset or first,
            verbose=False,
        )
    assert made is not None
    model = made.model_proto
    _strip(model)
    model.producer_name = "effnet"
    model.producer_version = manifest.versions.get("effnet", "")
    model.graph.name = manifest.name
    if manifest.batch is None:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(model)
    return model


def _strip(model: ModelProto) -> None:
    """Remove what the exporter notes about this machine: stack traces with its paths, names of its modules."""
    graph = model.graph
    every: Iterable[Any] = (
        model,
        graph,
        *graph.node,
        *graph.initializer,
        *graph.input,
        *graph.output,
        *graph.value_info,
    )
    for part in every:
        del part.metadata_props[:]
        part.ClearField("doc_string")
    del model.functions[:]
    del graph.value_info[:]  # recomputed by whoever needs it, and wrong after the first edit


def store_in_half(model: ModelProto) -> None:
    """Store weights that half precision holds exactly in half precision, each followed by a cast to single.

    Engines fold the casts away when they load the graph, so it runs as fast as before. Arithmetic in half precision
    would have to round every activation too, which processors without it only imitate.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or math.prod(tensor.dims) < _WORTH_HALVING:
            continue
        name = tensor.name
        whole = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            values = whole.astype(np.float16)
        if not np.array_equal(values, whole):
            continue  # not a weight that `halving` has rounded
        tensor.CopyFrom(numpy_helper.from_array(values, f"{name}.fp16"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], name=f"cast {name}", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
