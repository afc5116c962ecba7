"""OpenVINO's own format: the graph as XML, the weights beside it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from effnet.deploy.export.halving import keep_in_half
from effnet.deploy.export.program import Program, quiet
from effnet.errors import MissingDependencyError


def convert(program: Program) -> dict[str, bytes]:
    """Return the graph and its weights; OpenVINO optimises when it loads them.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    try:
        import openvino
    except ImportError:
        raise MissingDependencyError.for_extra("openvino", "openvino", "exporting to OpenVINO") from None
    manifest = program.manifest
    if manifest.precision == "fp16":
        keep_in_half(program.module)  # OpenVINO's own compression would round biases too
    with quiet():
        model = openvino.convert_model(program.exported(), example_input=program.example())
    shape = [-1 if side is None else side for side in manifest.input_shape]
    model.reshape({0: openvino.PartialShape(shape)})
    model.input(0).get_tensor().set_names({manifest.input_name})
    model.output(0).get_tensor().set_names({manifest.output_name})
    model.set_friendly_name(manifest.name)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.xml"
        openvino.save_model(model, graph, compress_to_fp16=False)
        return {"model.xml": graph.read_bytes(), "model.bin": graph.with_suffix(".bin").read_bytes()}
