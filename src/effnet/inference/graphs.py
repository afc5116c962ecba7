"""CUDA graphs: a forward pass recorded once and replayed as one launch, for batches too small to hide the launches."""

from __future__ import annotations

import torch
from torch import Tensor

from effnet.errors import InputError
from effnet.nn import Network

_WARM_UP = 3
"""Passes before recording: libraries choose their algorithms and allocate their workspaces in the first ones."""


class GraphedNetwork:
    """A folded network whose forward pass is recorded for each shape and dtype of input that it meets.

    Each recording keeps the activations of its shape on the device, so this is for a few shapes, such as batch 1.
    """

    def __init__(self, network: Network, device: torch.device) -> None:
        """Take a network in evaluation mode that is on `device`.

        Raises:
            InputError: the device is not a CUDA GPU.
        """
        if device.type != "cuda":
            raise InputError(
                "CUDA graphs need a CUDA GPU", where=f"graph=True on {device}", fix="use device='cuda', or graph=False"
            )
        self._network = network
        self._recorded: dict[tuple[torch.Size, torch.dtype], tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) on the device -> logits (N, classes), a copy that later calls do not overwrite."""
        key = images.shape, images.dtype
        if key not in self._recorded:
            self._recorded[key] = self._record(images)
        graph, source, result = self._recorded[key]
        source.copy_(images)
        graph.replay()
        return result.clone()

    def _record(self, images: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        source = images.clone(memory_format=torch.channels_last)
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                self._network(source)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result: Tensor = self._network(source)
        return graph, source, result
