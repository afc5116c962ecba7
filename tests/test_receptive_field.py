"""What a value sees, against what its gradient says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from effnet.errors import InputError
from effnet.families import find, names
from effnet.nn import Network, build
from effnet.nn.layers import SqueezeExcite
from effnet.receptive_field import receptive_fields
from effnet.spec import NetworkSpec
from effnet.unrolling import unroll
from tests.strategies import specs


class Opened(nn.Module):
    """A max pool through which every pixel of the window passes a gradient."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(x, 3, 2, 1)


def linear_of(spec: NetworkSpec) -> Network:
    """Return the network with weights of one and nothing that could stop or spread a gradient."""
    network = build(spec).double().eval()
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, SqueezeExcite | nn.BatchNorm2d) or (
                not list(child.modules())[1:] and not isinstance(child, nn.Conv2d | nn.MaxPool2d | nn.Linear)
            ):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.MaxPool2d):
                setattr(module, name, Opened())
            elif isinstance(child, nn.Conv2d):
                nn.init.constant_(child.weight, 1 / child.weight[0].numel())
    return network


def seen(network: Network, place: int, side: int, at: int) -> tuple[int, int]:
    """Return the first and the last input column that the value `at` (row and column) of a part depends on."""
    image = torch.ones(1, network.spec.in_channels, side, side, dtype=torch.float64, requires_grad=True)
    x = image
    for layer in list(network.features)[: place + 1]:
        x = layer(x)
    (gradient,) = torch.autograd.grad(x[0, 0, at, at], image)
    columns = gradient[0].abs().sum((0, 1)).nonzero().flatten().tolist()
    return columns[0], columns[-1]


@given(spec=specs(), side=st.integers(8, 70))
@settings(max_examples=40)
def test_gradients_reach_exactly_as_far(spec: NetworkSpec, side: int) -> None:
    windows = [(spec.stem.kernel, spec.stem.stride), *((s.block.kernel, s.stride) for s in spec.stages)]
    assume(all(kernel >= stride for kernel, stride in windows))  # else the field has holes, also at its ends
    fields, unrolled = receptive_fields(spec, side), unroll(spec, side)
    network = linear_of(spec)
    sides = [unrolled.blocks[0].in_size]
    sides += [[b.out_size for b in unrolled.blocks if b.stage == n][-1] for n in range(1, len(spec.stages) + 1)]
    for place, field in enumerate(fields):
        out = sides[min(place, len(sides) - 1)]
        for at in {0, out // 2, out - 1}:
            begin = field.first + at * field.stride
            expected = max(0, begin), min(side, begin + field.size) - 1
            assert seen(network, place, side, at) == expected, (field, at)


@pytest.mark.parametrize(("name", "size"), [("b0", 851), ("resnet18", 435), ("resnet50", 427), ("resnet101", 971)])
def test_published_networks_see_as_much_as_their_gradients_say(name: str, size: int) -> None:
    spec = find(name)
    assert receptive_fields(spec)[-1].size == size
    if name in ("b0", "resnet18"):  # the others need larger images and take minutes
        stages = tuple(replace(stage, channels=4) for stage in spec.stages)
        thin = spec.replace(stem=replace(spec.stem, channels=4), stages=stages, head=replace(spec.head, channels=4))
        begin, end = seen(linear_of(thin), len(spec.stages), 1024, 16)
        assert end - begin + 1 == size


@pytest.mark.parametrize("name", names())
def test_every_published_network_has_its_parts(name: str) -> None:
    spec = find(name)
    fields = receptive_fields(spec)
    assert [field.part for field in fields][:2] == ["stem", "stage 1"]
    assert len(fields) == 1 + len(spec.stages) + (spec.head.channels is not None)
    assert fields[-1].stride == spec.stride
    sizes = [field.size for field in fields]
    assert sizes == sorted(sizes)
    gated = [stage.block.se_ratio > 0 for stage in spec.stages]
    assert [field.is_global for field in fields[1 : 1 + len(gated)]] == [any(gated[: n + 1]) for n in range(len(gated))]
    assert fields[0].is_global is False


def test_the_strided_convolution_decides_what_resnet_50_sees() -> None:
    """Its paper strides in the 1x1 convolutions: 483. Put the strides into a 1x1 stage of their own to get that."""
    spec = find("resnet50")
    stages = []
    for stage in spec.stages:
        if stage.stride > 1:
            pointwise = replace(stage, block=replace(stage.block, kernel=1), repeats=1)
            stages.append(pointwise)
        stages.append(replace(stage, stride=1))
    assert receptive_fields(spec.replace(stages=tuple(stages)))[-1].size == 483
    assert receptive_fields(spec)[-1].size == 427


def test_impossible_resolutions_are_refused() -> None:
    with pytest.raises(InputError):
        receptive_fields(find("b0"), 0)
