"""ExecuTorch: PyTorch's runtime for telephones and small devices, with XNNPACK's kernels for their processors."""

from __future__ import annotations

from effnet.deploy.export.program import Program, quiet
from effnet.errors import InputError, MissingDependencyError

_MOST_IMAGES = 64
"""ExecuTorch reserves the memory of the largest batch beforehand."""


def convert(program: Program) -> dict[str, bytes]:
    """Return the program; XNNPACK prepares it when it is loaded.

    Raises:
        MissingDependencyError: the package is not installed.
        InputError: half precision, or more images than it plans for.
    """
    manifest = program.manifest
    try:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
    except ImportError:
        raise MissingDependencyError.for_extra("executorch", "executorch", "exporting to ExecuTorch") from None
    if manifest.precision != "fp32":
        fix = "use fp32, or --to onnx, openvino or torch"
        raise InputError("XNNPACK takes no weights in half precision", where="executorch", fix=fix)
    with quiet():
        edge = to_edge_transform_and_lower(program.exported(_MOST_IMAGES), partitioner=[XnnpackPartitioner()])
        return {"model.pte": bytes(edge.to_executorch().buffer)}
