"""Window averages before global pools: the same mean, and only of large maps."""

from __future__ import annotations

import copy

import torch
from torch import nn

from effnet.deploy.export import describe
from effnet.deploy.export.model import find_model
from effnet.deploy.export.pooling import average_in_windows
from effnet.deploy.export.program import program
from effnet.nn import build
from effnet.spec import BlockSpec, HeadSpec, NetworkSpec, StageSpec, StemSpec


def gated() -> NetworkSpec:
    block = BlockSpec(kind="mbconv", expand_ratio=1.0, se_ratio=0.25)
    stages = tuple(StageSpec(block=block, channels=8, repeats=1, stride=stride) for stride in (1, 2))
    return NetworkSpec(name="gated", stem=StemSpec(channels=8), stages=stages, head=HeadSpec(channels=16), classes=5)


def windows(module: nn.Module) -> list[object]:
    return [layer.kernel_size for layer in module.modules() if isinstance(layer, nn.AvgPool2d)]


def test_only_means_over_large_maps_are_cut_and_stay_what_they_were() -> None:
    torch.manual_seed(0)
    network = build(gated()).double().eval()
    changed, images = copy.deepcopy(network), torch.randn(2, 3, 96, 96, dtype=torch.float64)
    assert average_in_windows(changed, images) == 1, "48 x 48 is large, 24 x 24 and the head's are not"
    assert windows(changed) == [(6, 6)]
    torch.testing.assert_close(changed(images), network(images), rtol=1e-12, atol=1e-12)


def test_programs_for_telephones_have_windows_and_the_network_has_not() -> None:
    network = build(gated().replace(resolution=96))
    found = find_model(network)
    assert windows(program(network, describe(found, "executorch", "fp32")).module) == [(6, 6)]
    assert windows(program(network, describe(found, "torch", "fp32")).module) == []
    assert windows(network) == []
