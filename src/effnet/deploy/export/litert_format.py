"""LiteRT, which was TensorFlow Lite: Android, microcontrollers, Edge TPU, and XNNPACK on any processor."""

from __future__ import annotations

import tempfile
from pathlib import Path

from effnet.deploy.export.program import Program, quiet
from effnet.errors import InputError, MissingDependencyError


def convert(program: Program) -> dict[str, bytes]:
    """Return the flat buffer; the converter optimises always.

    Raises:
        MissingDependencyError: the packages are not installed.
        InputError: half precision.
    """
    try:
        import litert_torch
    except ImportError:
        raise MissingDependencyError.for_extra("litert-torch", "litert", "exporting to LiteRT") from None
    if program.manifest.precision != "fp32":
        fix = "use fp32, or --to onnx, openvino or torch"
        raise InputError("half precision is not made for LiteRT", where="litert", fix=fix)
    with quiet(), tempfile.TemporaryDirectory() as folder:
        converted = litert_torch.convert(program.module, (program.example(),))
        graph = Path(folder) / "model.tflite"
        converted.export(str(graph))
        return {"model.tflite": graph.read_bytes()}
