"""A bundle that runs, of the network of `tests.tiny`: its graph is what torch exports."""

from __future__ import annotations

import functools
import io
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from effnet.deploy.bundle import Bundle, digests
from effnet.deploy.manifest import Manifest
from effnet.nn import Network, fold_norms
from tests.deploy.bundles import certificate
from tests.tiny import LABELS, tiny_network


class _FromPixels(nn.Module):
    """Normalises inside the graph: uint8 (N, H, W, C) -> logits."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        preprocess = self.network.preprocess
        assert preprocess is not None
        mean, std = preprocess.mean[0], preprocess.std[0]
        logits: Tensor = self.network(((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2))
        return logits


@functools.cache
def onnx_graph(batch: int | None = None, pixels: bool = False) -> bytes:
    """Return the graph of the tiny network."""
    network = fold_norms(tiny_network())
    network.preprocess = tiny_network().preprocess
    module = _FromPixels(network) if pixels else network
    images = torch.zeros(batch or 2, 32, 32, 3, dtype=torch.uint8) if pixels else torch.zeros(batch or 2, 3, 32, 32)
    dynamic = None if batch else ({0: torch.export.Dim("batch")},)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            module,
            (images,),
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=dynamic,
            verbose=False,
        )
    assert program is not None
    stream.write(program.model_proto.SerializeToString())
    return stream.getvalue()


def tiny_bundle(*, batch: int | None = None, pixels: bool = False, **changes: Any) -> Bundle:
    """Return the ONNX bundle of the tiny network."""
    network = tiny_network()
    assert network.preprocess is not None
    values: dict[str, Any] = {
        "name": "tiny",
        "format": "onnx",
        "precision": "fp32",
        "spec": network.spec,
        "preprocess": network.preprocess,
        "labels": LABELS,
        "batch": batch,
        "preprocessing_in_graph": pixels,
    }
    described = Manifest(**(values | changes))
    payload = {"model.onnx": onnx_graph(batch, pixels)}
    return Bundle(manifest=described, certificate=certificate(sha256=digests(described, payload)), payload=payload)
