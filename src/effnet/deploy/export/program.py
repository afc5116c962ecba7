"""The network as it is deployed: norms folded, with the normalisation of its images inside if asked for."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from effnet.data.preprocess import affine
from effnet.deploy.export.halving import halve
from effnet.deploy.export.pooling import average_in_windows
from effnet.deploy.manifest import MAX_BATCH, Manifest
from effnet.nn import Network, fold_norms

_ONE_AFTER_THE_OTHER = ("executorch", "litert")
"""Formats whose runtimes add up a map like that. Graphs of ONNX, whose runtime does too, are rewritten later."""

_NOISY = ("torch.onnx", "torch.export", "torch._export", "onnxscript", "onnx_ir", "executorch", "litert_torch")


class Deployed(nn.Module):
    """What becomes the graph: images -> float32 logits (N, classes).

    The images are float32 (N, C, H, W), prepared; or uint8 (N, H, W, C), normalised here by the arithmetic of
    `effnet.data.preprocess.to_batch`.
    """

    def __init__(self, network: Network, manifest: Manifest) -> None:
        super().__init__()
        self.network = _plain(fold_norms(network).to("cpu", torch.float32))
        if manifest.precision == "fp16":
            halve(self.network)
        self.normalises = manifest.preprocessing_in_graph
        mean, scale = (torch.from_numpy(values).view(1, -1, 1, 1) for values in affine(manifest.preprocess))
        self.mean, self.scale = nn.Buffer(mean), nn.Buffer(scale)  # (1, C, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Classify a batch."""
        if self.normalises:
            # Contiguous: of channels last, the exporter would record pools as views of strided memory.
            pixels = images.permute(0, 3, 1, 2).contiguous().to(torch.float32)  # (N, H, W, C) -> (N, C, H, W)
            images = (pixels - self.mean) * self.scale
        logits: Tensor = self.network(images)
        return logits


def _plain(network: Network) -> Network:
    """Lay out all weights plainly, in place: of channels last exporters record strided views as index arithmetic.

    Always a copy: the strides of sides of one element count too, and a tensor that is contiguous may have any there.
    """
    for parameter in network.parameters():
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    return network


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """A network on its way into a format.

    Attributes:
        module: the torch module to convert.
        manifest: what it will be.
    """

    module: Deployed
    manifest: Manifest

    def example(self) -> Tensor:
        """Return an input of the graph's type; two images where any number is taken: one would be taken as a fact."""
        shape = tuple(2 if side is None else side for side in self.manifest.input_shape)
        dtype = torch.uint8 if self.manifest.input_dtype == "uint8" else torch.float32
        return torch.zeros(shape, dtype=dtype)

    def dynamic_shapes(self, most: int = MAX_BATCH) -> tuple[dict[int, Any]] | None:
        """Return what torch.export takes for a free number of images; None where it is fixed."""
        return None if self.manifest.batch is not None else ({0: Dim("batch", min=1, max=most)},)

    def exported(self, most: int = MAX_BATCH) -> ExportedProgram:
        """Return the module as torch's exporter records it, for up to `most` images at once."""
        with torch.no_grad(), quiet():
            return torch.export.export(self.module, (self.example(),), dynamic_shapes=self.dynamic_shapes(most))


def program(network: Network, manifest: Manifest) -> Program:
    """Return the deployed form of `network`, which is left as it was."""
    made = Program(module=Deployed(network, manifest).eval(), manifest=manifest)
    if manifest.format in _ONE_AFTER_THE_OTHER:
        average_in_windows(made.module, made.example())
    return made


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the remarks of converters about themselves off the terminal; what goes wrong is raised."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    # One of them prints each of its steps to standard output, where results belong.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
