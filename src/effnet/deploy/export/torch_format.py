"""torch.export's format: a graph of ATen operators for PyTorch without this package, on any of its devices."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import torch

from effnet.deploy.export.halving import keep_in_half
from effnet.deploy.export.program import Program, quiet

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_PRIVATE = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node")
"""What the exporter notes at each node about this machine's files and our modules."""


def convert(program: Program) -> dict[str, bytes]:
    """Return the saved program."""
    if program.manifest.precision == "fp16":
        keep_in_half(program.module)
    exported = program.exported()
    _strip(exported)
    buffer = io.BytesIO()
    with quiet():
        torch.export.save(exported, buffer)
    return {"model.pt2": buffer.getvalue()}


def _strip(exported: ExportedProgram) -> None:
    for node in exported.graph.nodes:
        for name in _PRIVATE:
            node.meta.pop(name, None)
