"""A tiny network's graph and images, made once."""

from __future__ import annotations

from functools import cache
from typing import Any

from effnet.deploy.export.door import convert, describe
from effnet.deploy.export.model import find_model
from effnet.deploy.quantize.samples import Samples, open_samples
from effnet.deploy.quantize.variants import float_graph
from effnet.nn import Network
from tests.tiny import tiny_network
from tests.tiny_data import CLASSES, colours


def graph_of(network: Network) -> Any:
    manifest = describe(find_model(network), "onnx", "fp32")
    return float_graph(convert(network, manifest, optimize=False)["model.onnx"])


@cache
def samples() -> Samples:
    preprocess = tiny_network().preprocess
    assert preprocess is not None
    return open_samples(colours(48, 32), preprocess, names=CLASSES, outputs=3)
