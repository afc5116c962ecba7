"""Whether a network's layers are those of its spec: what is described, counted and certified is the spec's."""

from __future__ import annotations

import torch
from torch import nn

from effnet.errors import InputError
from effnet.nn import Network, build


def require_own_layers(network: Network) -> None:
    """Refuse a network whose convolutions and linear layers are not those that its spec builds.

    Other activations, pools and dropout are the network's own affair: the graph has them, and parity proves it.

    Raises:
        InputError: a layer was added, removed or replaced by another kind; the first one is named.
    """
    spec = network.spec
    with torch.device("meta"):
        wanted = _layers(build(spec, weights=False))
    found = _layers(network)
    for name in [*wanted, *found]:
        if wanted.get(name) != found.get(name):
            now = found.get(name, "nothing")
            what = f"was changed by hand: {name} is {now}, its spec has {wanted.get(name, 'nothing')} there"
            fix = (
                "put what comes after the network around the exported graph, or change the spec and build it "
                "(effnet.build(spec.replace(...))), or export this one with torch.onnx.export"
            )
            raise InputError(what, where=spec.name, fix=fix)


def _layers(module: nn.Module, name: str = "") -> dict[str, str]:
    """Describe every convolution and linear layer by our name, whatever other names a door lets it answer to."""
    if isinstance(module, nn.Conv2d):
        channels = f"{module.in_channels} -> {module.out_channels}"
        window = f"kernel {module.kernel_size}, stride {module.stride}, groups {module.groups}"
        return {name: f"a convolution {channels}, {window}, padding {module.padding}, dilation {module.dilation}"}
    if isinstance(module, nn.Linear):
        # A classifier put in bare, without our dropout before it, is the same layer.
        name = "classifier.1" if name == "classifier" else name
        return {name: f"a linear layer {module.in_features} -> {module.out_features}"}
    layers = {}
    for part, inner in module._modules.items():
        if inner is not None:
            layers.update(_layers(inner, f"{name}.{part}".lstrip(".")))
    return layers
