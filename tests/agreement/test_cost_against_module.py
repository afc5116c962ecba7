"""The closed forms of `cost` against the modules that torch runs: every count, every byte, no tolerance."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from effnet.cost import NetworkCost, cost
from effnet.families import find, names
from effnet.nn import Network, SqueezeExcite, build, fold_norms
from effnet.spec import NetworkSpec
from tests.strategies import specs

VARIED = ["b0", "b8", "v2-s", "v2-b3", "lite3", "edgetpu-m", "mnasnet_a1", "resnet18", "resnet50"]


class LiveMemory(TorchDispatchMode):
    """Watches every storage that operators create and records the most bytes alive at once."""

    def __init__(self, images: Tensor, weights: set[int]) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.weights = weights
        self.now = self.peak = 0
        self._see(images)

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.weights or key in self.alive:
            return
        self.alive[key] = storage.nbytes()
        self.now += storage.nbytes()
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.now -= self.alive.pop(key)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._see(leaf)
        self.peak = max(self.peak, self.now)
        return result


def storages(tensors: Iterable[Tensor]) -> set[int]:
    return {tensor.untyped_storage()._cdata for tensor in tensors}


def live_bytes(network: Network, images: Tensor) -> int:
    network = fold_norms(network)
    memory = LiveMemory(images, storages(network.parameters()))
    with torch.inference_mode(), memory:
        network(images)
    return memory.peak


def saved_bytes(network: Network, images: Tensor) -> int:
    """Bytes of the distinct storages, weights apart, that autograd keeps."""
    weights = storages([*network.parameters(), *network.buffers()])
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage()._cdata not in weights:
            saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network.train()(images)
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def hooked(network: Network, images: Tensor) -> tuple[dict[str, int], dict[str, int]]:
    """MACs and output elements of each convolution and linear layer, from outputs that torch computed."""
    macs: dict[str, int] = defaultdict(int)
    outputs: dict[str, int] = defaultdict(int)

    def counter(name: str) -> Any:
        def count(module: nn.Module, _: Any, output: Tensor) -> None:
            assert isinstance(module, nn.Conv2d | nn.Linear)
            macs[name] += module.weight[0].numel() * output.numel()
            outputs[name] += output.numel()

        return count

    hooks = [
        module.register_forward_hook(counter(name))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    network.eval()(images)
    for hook in hooks:
        hook.remove()
    return macs, outputs


def images_for(spec: NetworkSpec, side: int, batch: int = 1, device: str = "meta") -> Tensor:
    return torch.zeros(batch, spec.in_channels, side, side, device=device)


def check_counts(network: Network, counted: NetworkCost) -> None:
    """Every row against the module of its name, and the totals against the whole."""
    macs, outputs = hooked(network, images_for(network.spec, counted.resolution))
    statistics = ("running_mean", "running_var")
    for layer in counted.layers:
        module = network.get_submodule(layer.name)
        assert layer.params == sum(p.numel() for p in module.parameters()), layer.name
        assert layer.buffers == sum(b.numel() for n, b in module.named_buffers() if n.endswith(statistics)), layer.name
        inside = [name for name in macs if name == layer.name or name.startswith(f"{layer.name}.")]
        assert layer.macs == sum(macs[name] for name in inside), layer.name
        assert layer.activations == sum(outputs[name] for name in inside), layer.name
        if layer.kind == "squeeze_excite":
            assert isinstance(module, SqueezeExcite)
    assert counted.params == sum(p.numel() for p in network.parameters())
    assert counted.buffers == sum(b.numel() for n, b in network.named_buffers() if n.endswith(statistics))
    assert counted.macs == sum(macs.values())
    assert counted.activations == sum(outputs.values())


@given(spec=specs())
@settings(max_examples=40)
def test_random_networks_count_alike(spec: NetworkSpec) -> None:
    check_counts(build(spec, weights=False), cost(spec))


@pytest.mark.parametrize("name", names())
def test_published_networks_count_alike(name: str) -> None:
    spec = find(name)
    check_counts(build(spec, weights=False), cost(spec))


def norms_see_one_value(spec: NetworkSpec) -> bool:
    """Whether training would fail: torch refuses batch statistics of a single value a channel."""
    return any(layer.buffers and layer.out_shape[1] == 1 for layer in cost(spec).layers)


@given(spec=specs(), batch=st.integers(1, 3))
@settings(max_examples=40)
def test_random_networks_hold_and_save_alike(spec: NetworkSpec, batch: int) -> None:
    network, images = build(spec, weights=False), images_for(spec, spec.resolution, batch)
    counted = cost(spec, batch=batch)
    assert live_bytes(network, images) == counted.peak_inference_bytes
    if batch > 1 or not norms_see_one_value(spec):
        assert saved_bytes(network, images) == counted.training_bytes


@pytest.mark.parametrize("name", VARIED)
def test_published_networks_hold_and_save_alike(name: str) -> None:
    spec, side, batch = find(name), 97, 2
    network, images = build(spec, weights=False), images_for(spec, side, batch)
    counted = cost(spec, side, batch)
    assert live_bytes(network, images) == counted.peak_inference_bytes
    assert saved_bytes(network, images) == counted.training_bytes


@pytest.mark.parametrize("name", ["b0", "resnet18"])
def test_real_tensors_hold_and_save_alike(name: str) -> None:
    """The meta device stands in for others: here the same on tensors with values."""
    spec = find(name)
    network, images = build(spec), images_for(spec, 64, 2, device="cpu")
    counted = cost(spec, 64, 2)
    assert live_bytes(network, images) == counted.peak_inference_bytes
    assert saved_bytes(network, images) == counted.training_bytes


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_holds_and_saves_alike(dtype: str) -> None:
    spec = find("b0")
    kind = getattr(torch, dtype)
    network = build(spec, weights=False).to(kind)
    images = images_for(spec, 64, 2).to(kind)
    counted = cost(spec, 64, 2, dtype)  # type: ignore[arg-type]
    assert live_bytes(network, images) == counted.peak_inference_bytes
    assert saved_bytes(network, images) == counted.training_bytes
