"""Networks as programs of others: TorchScript and torch.fx see the same function, in evaluation and in training."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import nn

import effnet
from effnet.nn import SamePadConv2d
from effnet.nn.layers import activation

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

# One of each kind of block, padding, activation and head.
NETWORKS = [
    "efficientnet_b0",
    "efficientnet_b8",
    "efficientnet_lite0",
    "efficientnet_v2_b0",
    "efficientnet_es",
    "mnasnet_a1",
    "resnet18",
    "resnet50",
]
PROGRAMS: dict[str, Callable[[nn.Module], nn.Module]] = {"script": torch.jit.script, "fx": torch.fx.symbolic_trace}


def small(name: str) -> effnet.Network:
    """Return the network with one block of each stage, so that a program is made in a moment."""
    spec = effnet.find(name)
    stages = tuple(dataclasses.replace(stage, repeats=min(2, stage.repeats)) for stage in spec.stages)
    return effnet.create(spec.replace(stages=stages, classes=5))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_computes_the_network(name: str, program: str) -> None:
    network = small(name)
    images = torch.randn(3, 3, 65, 70)
    for training in (False, True):
        network.train(training)
        made = PROGRAMS[program](copy.deepcopy(network))
        torch.manual_seed(0)
        expected = copy.deepcopy(network)(images)
        torch.manual_seed(0)
        assert torch.equal(made(images), expected)


def test_a_program_made_at_one_size_pads_another_as_it_should() -> None:
    network = small("efficientnet_b8").eval()
    programs = [make(copy.deepcopy(network)) for make in PROGRAMS.values()]
    for side in (32, 37, 45):
        images = torch.randn(1, 3, side, side + 3)
        expected = network(images)
        assert all(torch.equal(program(images), expected) for program in programs)


@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_same_padding_without_comparing_sizes(kernel: int, stride: int) -> None:
    conv = SamePadConv2d(1, 1, kernel, stride)
    programs = [make(conv) for make in PROGRAMS.values()]
    for size in range(1, 12):
        out = -(-size // stride)
        total = max((out - 1) * stride + kernel - size, 0)
        assert conv.sides(size, 0) == (total // 2, total - total // 2)
        image = torch.randn(1, 1, size, size + 1)
        assert conv(image).shape == (1, 1, out, -(-(size + 1) // stride))
        assert all(torch.equal(program(image), conv(image)) for program in programs)


@pytest.mark.parametrize("name", ["silu", "relu", "relu6", "hard_swish", "gelu"])
def test_every_activation_is_scripted(name: str) -> None:
    layer = activation(name)  # type: ignore[arg-type]
    x = torch.randn(4)
    assert torch.equal(torch.jit.script(layer)(x.clone()), layer(x.clone()))
