"""torch.export's format: a graph of ATen operators for PyTorch without this package, on any of its devices."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from effnet.deploy.export.program import Program, quiet
from effnet.errors import InputError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_PRIVATE = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node")
"""What the exporter notes at each node about this machine's files and our modules."""


def convert(program: Program, *, optimize: bool = True) -> dict[str, bytes]:
    """Return the saved program; torch has nothing to optimise before it runs."""
    if program.manifest.precision == "fp16":
        _halve(program.module)
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


class _Single(nn.Module):
    """A weight that is kept in half precision and used in single."""

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight as it is used."""
        return weight.to(torch.float32)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the weight as it is kept."""
        return weight.to(torch.float16)


def _halve(module: nn.Module) -> None:
    for name, layer in list(module.named_modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            parametrize.register_parametrization(layer, "weight", _Single(), unsafe=True)
            if not layer.parametrizations["weight"].original.isfinite().all():  # type: ignore[index,union-attr]
                raise InputError(f"{name} does not fit in half precision", where=name, fix="export it in fp32")
