"""One set of weights for many networks: a candidate's tensors are slices of larger ones.

A tensor's role is what it does, whatever its place in a Sequential: `features.3.0.mbconv.expand.0.weight`. Of a larger
tensor of the same role, a smaller one is the leading channels, and of a 5x5 kernel the centre 3x3 (arXiv 1908.09791).
Weights are inherited and the supernet is trained with this one rule.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from effnet.nn import Network, build
from effnet.nn.layers import ConvNormAct, SqueezeExcite
from effnet.spec import NetworkSpec

Shape = tuple[int, ...]


def roles(network: Network) -> dict[str, str]:
    """Return the role of every parameter and buffer, by its name in the state dict."""
    prefixes: dict[str, str] = {}
    for number, stage in enumerate(network.spec.stages, 1):
        for index, block in enumerate(network.features[number].children()):
            inner = block.get_submodule("block")
            for position, name in enumerate(_names(inner)):
                place = f"features.{number}.{index}"
                prefixes[f"{place}.block.{position}"] = f"{place}.{stage.block.kind}.{name}"
    result = {}
    for name in network.state_dict():
        parts = name.split(".")
        prefix = ".".join(parts[:5])
        result[name] = ".".join([prefixes[prefix], *parts[5:]]) if prefix in prefixes else name
    return result


def slice_of(larger: Tensor, shape: Shape) -> Tensor:
    """Return the view of `larger` that a tensor of `shape` and the same role uses.

    Raises:
        ValueError: `shape` is larger in some dimension.
    """
    view = larger
    for axis, size in enumerate(shape):
        have = view.shape[axis]
        if size > have:
            raise ValueError(f"{shape} out of {tuple(larger.shape)}")
        kernel = axis >= 2
        view = view.narrow(axis, (have - size) // 2 if kernel else 0, size)
    return view


@torch.no_grad()
def inherit(network: Network, donor: Mapping[str, Tensor], donor_spec: NetworkSpec) -> float:
    """Copy into a fresh network what it shares with a trained one; return the share of its parameters that this is.

    Channels or kernel rows that the donor does not have stay fresh, and so does everything in blocks of another kind.

    Args:
        donor: the trained network's state dict.
        donor_spec: its spec.
    """
    theirs = {role: donor[name] for name, role in roles(build(donor_spec, weights=False)).items()}
    parameters = {name for name, _ in network.named_parameters()}
    shared = total = 0
    mine = network.state_dict()
    for name, role in roles(network).items():
        tensor = mine[name]
        total += tensor.numel() if name in parameters else 0
        given = theirs.get(role)
        if given is None or given.dim() != tensor.dim():
            continue
        common = tuple(min(a, b) for a, b in zip(tensor.shape, given.shape, strict=True))
        slice_of(tensor, common).copy_(slice_of(given, common))
        if name in parameters:
            size = 1
            for side in common:
                size *= side
            shared += size
    return shared / total


def _names(block: nn.Module) -> list[str]:
    """Return what each layer of a block's Sequential is for."""
    layers = list(block.children())
    kinds = ["squeeze" if isinstance(layer, SqueezeExcite) else "conv" for layer in layers]
    convolutions = [place for place, layer in enumerate(layers) if isinstance(layer, ConvNormAct)]
    names = list(kinds)
    for order, place in enumerate(convolutions):
        convolution = layers[place].get_submodule("0")
        assert isinstance(convolution, nn.Conv2d)
        if convolution.groups > 1:
            names[place] = "depthwise"
        elif order == len(convolutions) - 1 and len(convolutions) > 1:
            names[place] = "project"
        elif convolution.kernel_size[0] > 1:
            names[place] = "fused" if len(convolutions) > 1 else "single"
        else:
            names[place] = "expand"
    return names
