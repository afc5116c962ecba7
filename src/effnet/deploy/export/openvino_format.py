"""OpenVINO's own format: the graph as XML, the weights beside it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from effnet.deploy.export.program import Program, quiet
from effnet.errors import MissingDependencyError


def convert(program: Program, *, optimize: bool = True) -> dict[str, bytes]:
    """Return the graph and its weights; OpenVINO optimises when it loads them, whatever `optimize` says.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    try:
        import openvino
    except ImportError:
        raise MissingDependencyError.for_extra("openvino", "openvino", "exporting to OpenVINO") from None
    manifest = program.manifest
    with quiet():
        model = openvino.convert_model(program.exported(), example_input=program.example())
    shape = [-1 if side is None else side for side in manifest.input_shape]
    model.reshape({0: openvino.PartialShape(shape)})
    model.input(0).get_tensor().set_names({manifest.input_name})
    model.output(0).get_tensor().set_names({manifest.output_name})
    model.set_friendly_name(manifest.name)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.xml"
        openvino.save_model(model, graph, compress_to_fp16=manifest.precision == "fp16")
        return {"model.xml": _without_places(graph.read_bytes()), "model.bin": graph.with_suffix(".bin").read_bytes()}


def _without_places(graph: bytes) -> bytes:
    """Return the XML without what the converter notes about how and where it was called."""
    return re.sub(rb"\s*<rt_info>\s*(?:<MO_version|<Runtime_version|<conversion_parameters).*?</rt_info>(?=\s*</net>)", b"", graph, flags=re.DOTALL)
