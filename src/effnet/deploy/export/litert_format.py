"""LiteRT, which was TensorFlow Lite: Android, microcontrollers, Edge TPU, and XNNPACK on any processor."""

from __future__ import annotations

import tempfile
from pathlib import Path

from effnet.deploy.export.program import Program, quiet
from effnet.errors import MissingDependencyError


def convert(program: Program, *, optimize: bool = True) -> dict[str, bytes]:
    """Return the flat buffer; the converter optimises always, whatever `optimize` says.

    Raises:
        MissingDependencyError: the packages are not installed.
    """
    try:
        import litert_torch
    except ImportError:
        raise MissingDependencyError.for_extra("litert-torch", "litert", "exporting to LiteRT") from None
    with quiet(), tempfile.TemporaryDirectory() as folder:
        converted = litert_torch.convert(program.module, (program.example(),))
        graph = Path(folder) / "model.tflite"
        converted.export(str(graph))
        content = graph.read_bytes()
    return {"model.tflite": _halved(content) if program.manifest.precision == "fp16" else content}


def _halved(graph: bytes) -> bytes:
    """Return the graph with its weights in half precision and a cast behind each."""
    raise NotImplementedError
