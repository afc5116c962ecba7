"""Changing a network into one that 8 bits suit, as EfficientNet-Lite does: bounded activations, no SE.

SiLU has no upper bound and needs two extra operators in int8; ReLU6 needs none, because a quantised convolution clips
for free. A gate of SE is a product of two tensors whose ranges differ from image to image; Lite leaves SE out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from effnet.nn import Network, SqueezeExcite, build
from effnet.spec import Activation, NetworkSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Surgery:
    """What is changed.

    Attributes:
        name: for people.
        activation: put in the place of every activation.
        without_se: leave squeeze-and-excitation out.
    """

    name: str
    activation: Activation
    without_se: bool


SURGERIES = (
    Surgery(name="ReLU6", activation="relu6", without_se=False),
    Surgery(name="hard-swish", activation="hard_swish", without_se=False),
    Surgery(name="Lite (ReLU6, no SE)", activation="relu6", without_se=True),
)
"""From the least change to the greatest."""


def possible(spec: NetworkSpec) -> tuple[Surgery, ...]:
    """Return the surgeries that would change a network."""
    smooth = spec.conventions.activation in ("silu", "gelu")
    gated = any(stage.block.se_ratio for stage in spec.stages)
    if smooth:
        return tuple(one for one in SURGERIES if gated or not one.without_se)
    return tuple(one for one in SURGERIES if one.without_se and one.activation == "relu6") if gated else ()


def operated(network: Network, surgery: Surgery, batches: Iterable[NDArray[np.float32]]) -> Network:
    """Return a copy of a network with the change made; it answers worse until it is fine-tuned.

    Where SE is left out, the mean gate of each channel over the images is multiplied into the convolution behind it, so
    that what is lost is only how gates differ from image to image.

    Args:
        batches: images (N, C, H, W).
    """
    images = list(batches)
    spec = network.spec.with_conventions(activation=surgery.activation)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if surgery.without_se:
        gates = _mean_gates(network, images)
        for number, stage in enumerate(spec.stages, 1):
            if stage.block.se_ratio:
                spec = spec.with_stage(number, se_ratio=0.0)
        state = _without_gates(state, gates)
    changed = build(spec)
    changed.load_state_dict(state)
    changed.preprocess, changed.labels, changed.temperature = network.preprocess, network.labels, network.temperature
    return with_fresh_statistics(changed, images)


@torch.no_grad()
def with_fresh_statistics(network: Network, batches: Iterable[NDArray[np.float32]]) -> Network:
    """Measure every norm's statistics anew, in place: the mean over the batches (N, C, H, W), N at least 2.

    Those that came with the weights are of other activations, and follow a short training too slowly.
    """
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
        norm.train()
    for batch in batches:
        if len(batch) > 1:
            network(torch.from_numpy(batch))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()


@torch.no_grad()
def _mean_gates(network: Network, batches: Iterable[NDArray[np.float32]]) -> dict[str, Tensor]:
    """Return the mean of each gate, (C,) by the name of its SE module."""
    sums: dict[str, Tensor] = {}
    images = 0

    def watcher(name: str) -> torch.utils.hooks.RemovableHandle:
        def add(module: nn.Module, inputs: tuple[Tensor, ...], gate: Tensor) -> None:
            total = gate.sum(0).flatten()  # (N, C, 1, 1) -> (C,)
            sums[name] = sums.get(name, torch.zeros_like(total)) + total

        return modules[name].gate.register_forward_hook(add)

    modules = {name: module for name, module in network.named_modules() if isinstance(module, SqueezeExcite)}
    handles = [watcher(name) for name in modules]
    try:
        network.eval()
        for batch in batches:
            network(torch.from_numpy(batch))
            images += len(batch)
    finally:
        for handle in handles:
            handle.remove()
    return {name: total / images for name, total in sums.items()}


def _without_gates(state: dict[str, Tensor], gates: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the state without SE: `block.I` is the gate of `block.I+1`, which moves to its place."""
    result = dict(state)
    for place, gate in gates.items():
        block, _, index = place.rpartition(".")
        behind = f"{block}.{int(index) + 1}."
        for name in [name for name in result if name.startswith(f"{place}.")]:
            del result[name]
        for name in [name for name in result if name.startswith(behind)]:
            moved = result.pop(name)
            if name == f"{behind}0.weight":
                moved = moved * gate.view(1, -1, 1, 1)  # (O, C, k, k)
            result[f"{place}.{name.removeprefix(behind)}"] = moved
    return result
