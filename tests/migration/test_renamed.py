"""Old checkpoints of a network that answers to another library's names, wherever the network stands."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import effnet
from effnet import models
from effnet.nn import Network
from effnet.weights import layouts

State = dict[str, Tensor]


def lukemelas() -> Network:
    return effnet.EfficientNet.from_name("efficientnet-b0", num_classes=4)


def resnet() -> Network:
    return models.resnet18(num_classes=4)


def theirs(network: Network, prefix: str = "") -> State:
    """Return the state dict of `network` under the other library's names, below `prefix`."""
    native = {name: tensor.clone() for name, tensor in network.canonical().state_dict().items()}
    layout = "lukemelas" if isinstance(network, effnet.EfficientNet) else "torchvision"
    foreign = layouts.from_native(native, network.spec, layout)
    return {prefix + name: tensor for name, tensor in foreign.items()}


class Holder(nn.Module):
    """A client's own module, with a layer beside the network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.net = network
        self.extra = nn.Linear(2, 2)


WRAPPERS: dict[str, tuple[Callable[[nn.Module], nn.Module], str]] = {
    "DataParallel": (nn.DataParallel, "module."),
    "attribute": (Holder, "net."),
    "deep": (lambda network: Holder(nn.Sequential(nn.ModuleDict({"a": network}))), "net.0.a."),
    "copy": (lambda network: copy.deepcopy(Holder(network)), "net."),
    "pickled": (lambda network: pickle.loads(pickle.dumps(Holder(network))), "net."),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("make", [lukemelas, resnet])
@pytest.mark.parametrize("strict", [True, False])
def test_a_wrapped_network_takes_their_checkpoint(make: Callable[[], Network], wrapper: str, strict: bool) -> None:
    source, (wrap, prefix) = make(), WRAPPERS[wrapper]
    whole = wrap(make())
    state = theirs(source, prefix)
    if isinstance(whole, Holder):
        state |= {f"extra.{name}": tensor for name, tensor in whole.extra.state_dict().items()}
    report = whole.load_state_dict(state, strict=strict)
    assert report.missing_keys == report.unexpected_keys == []
    loaded = whole.get_submodule(prefix.removesuffix("."))
    assert isinstance(loaded, Network)
    for name, tensor in theirs(source).items():
        assert torch.equal(theirs(loaded)[name], tensor), name
    if not isinstance(whole, Holder):
        whole.load_state_dict(whole.state_dict())  # our own names too


def test_what_is_missing_is_told_under_their_names() -> None:
    network = lukemelas()
    state = theirs(network, "net.")
    state["net._fc.scale"] = state.pop("net._fc.bias")
    state["net._blocks.3._se_reduce.other"] = torch.zeros(1)
    report = Holder(network).load_state_dict(state, strict=False)
    assert sorted(report.missing_keys) == ["extra.bias", "extra.weight", "net._fc.bias"]
    assert sorted(report.unexpected_keys) == ["net._blocks.3._se_reduce.other", "net._fc.scale"]
    with pytest.raises(RuntimeError, match=r"net\._fc\.bias"):
        Holder(network).load_state_dict(state)


def test_a_layer_that_was_replaced_keeps_its_place() -> None:
    network = lukemelas()
    head = nn.Sequential(nn.Linear(1280, 8), nn.ReLU(), nn.Linear(8, 2))
    state = {name: tensor for name, tensor in theirs(network).items() if not name.startswith("_fc")}
    state |= {f"_fc.{name}": torch.full_like(tensor, 2.0) for name, tensor in head.state_dict().items()}
    network._fc = head
    network.load_state_dict(state)
    assert torch.equal(head[2].weight, torch.full((2, 8), 2.0))
    report = nn.DataParallel(network).load_state_dict({f"module.{name}": t for name, t in state.items()})
    assert report.missing_keys == report.unexpected_keys == []


@pytest.mark.parametrize("prefix", ["", "module.", "encoder."])
def test_nothing_loaded_is_never_silent(prefix: str) -> None:
    holder = Holder(lukemelas())
    with pytest.warns(UserWarning, match="none of this network's tensors"):
        holder.load_state_dict(theirs(lukemelas(), prefix), strict=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        holder.load_state_dict(theirs(lukemelas(), "net."), strict=False)
