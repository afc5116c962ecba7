"""A network small enough to be instant, for tests that need one that answers."""

from __future__ import annotations

from pathlib import Path

import torch

from effnet.nn import Network, build
from effnet.preprocessing import Preprocess
from effnet.spec import BlockSpec, HeadSpec, NetworkSpec, StageSpec, StemSpec
from effnet.weights import modelfile

LABELS = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")


def tiny_network(*, classes: int = 7, in_channels: int = 3) -> Network:
    """Return a network with fixed weights whose answers differ from image to image."""
    spec = NetworkSpec(
        name="tiny",
        stem=StemSpec(channels=8),
        stages=(
            StageSpec(block=BlockSpec(expand_ratio=2.0), channels=8, repeats=2),
            StageSpec(block=BlockSpec(kind="fused_mbconv", expand_ratio=2.0, se_ratio=0), channels=12, repeats=1),
        ),
        head=HeadSpec(channels=16),
        classes=classes,
        in_channels=in_channels,
        resolution=32,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(spec)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the next batch's statistics as they are
        network.train()(torch.randn(64, in_channels, 32, 32))
        if classes:
            network.classifier[1].weight.data.mul_(8)  # clear answers, which rounding does not reorder
    network.preprocess = Preprocess(size=32, mean=(0.5,) * in_channels, std=(0.25,) * in_channels)
    return network.eval()


def save_tiny_model(path: Path, *, gain: float = 1.0) -> Path:
    """Write the model file of `tiny_network`, with labels; `gain` multiplies the classifier's weights."""
    network = tiny_network()
    assert network.preprocess is not None
    state = network.state_dict()
    state["classifier.1.weight"] *= gain
    model = modelfile.ModelFile(spec=network.spec, state=state, preprocess=network.preprocess, labels=LABELS)
    return modelfile.save(path, model)
