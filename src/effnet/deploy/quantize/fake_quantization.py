"""Training with the rounding of int8 in the forward pass (arXiv 1712.05877), so that weights learn to live with it.

The network's norms are folded first, as in the graph. Weights are rounded per channel with the very steps that the
graph's weights get; activations per tensor, with ranges that follow the batches as a moving average and stand still in
evaluation. Gradients pass straight through the rounding, and not where a value was clipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from effnet.deploy.quantize.ranges import Range
from effnet.nn import ConvNormAct, MBConv, Network, SqueezeExcite, fold_norms
from effnet.nn.blocks import BasicBlock, Bottleneck, FusedMBConv

_BOUNDED = (nn.ReLU, nn.ReLU6)
_DECAY = 0.95
_CLOSE = 2e-3


class RoundedActivation(nn.Module):
    """x as 8 bits leave it: 256 equal steps from `low` to `high`, one of them 0."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Round; in training, let the range follow the batch first."""
        if self.training:
            self._follow(x.detach())
        low, high = min(float(self.low), 0.0), max(float(self.high), 0.0)
        step = max((high - low) / 255, 1e-8)
        first = -min(max(round(-low / step), 0), 255)
        rounded: Tensor = _Rounding.apply(x, step, first)  # type: ignore[no-untyped-call]
        return rounded

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        # torch.aminmax would copy a tensor in channels-last order first.
        for bound, seen in ((self.low, x.amin()), (self.high, x.amax())):
            bound.lerp_(seen.to(bound.dtype), 1 - _DECAY)


class _Rounding(torch.autograd.Function):
    """x in 256 steps, `first` to `first + 255`; the gradient passes where nothing was cut off.

    `torch.fake_quantize_per_tensor_affine` is the same function, but its kernel for processors is not vectorised: it
    took a third of a training step, the passes here take a tenth.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: float, first: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = ((first - 0.5) * step, (first + 255.5) * step)
        return (x * (1 / step)).round_().clamp_(first, first + 255).mul_(step)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        passed: Tensor = torch.ops.aten.hardtanh_backward(gradients[0], x, *ctx.bounds)
        return passed, None, None


class RoundedWeight(nn.Module):
    """Weights as `bits` bits leave them: symmetric steps for each output channel."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.most = 2 ** (bits - 1) - 1 if bits == 8 else 2 ** (bits - 1)

    def forward(self, weight: Tensor) -> Tensor:
        """Round."""
        channels = weight.shape[0]
        step = (weight.detach().reshape(channels, -1).abs().amax(1) / self.most).clamp(min=1e-12)
        zero = torch.zeros(channels, dtype=torch.int32, device=weight.device)
        return torch.fake_quantize_per_channel_affine(weight, step, zero, 0, -self.most, self.most)


def with_rounding(network: Network, *, reduce_range: bool) -> Network:
    """Return a copy with folded norms whose forward pass rounds as the int8 graph will; it can be trained.

    Its ranges are empty until `settle` has seen images.
    """
    rounded = fold_norms(network).requires_grad_(True)
    for module in list(rounded.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            depthwise = isinstance(module, nn.Conv2d) and module.groups > 1 and module.weight.shape[1] == 1
            bits = 7 if reduce_range and not depthwise else 8
            parametrize.register_parametrization(module, "weight", RoundedWeight(bits))
    points = _points(rounded)
    roundings = nn.ModuleDict({_key(name): RoundedActivation() for name in (ENTRY, *points)})
    rounded.add_module("roundings", roundings)
    rounded.features[0].register_forward_pre_hook(lambda module, inputs: roundings[ENTRY](inputs[0]))
    for name, module in points.items():
        _round_outputs(module, roundings[_key(name)])
    return rounded


ENTRY = "images"
"""The name of the network's input among its points."""


def _round_outputs(module: nn.Module, rounding: nn.Module) -> None:
    module.register_forward_hook(lambda module, inputs, output: rounding(output))


def _key(name: str) -> str:
    return name.replace(".", "/")  # names of modules have no points


@torch.no_grad()
def settle(rounded: Network, batches: list[Tensor]) -> None:
    """Set every range to the extremes of some images (N, C, H, W), all of them seen without rounding."""
    roundings = [module for module in rounded.modules() if isinstance(module, RoundedActivation)]
    handles = []
    for rounding in roundings:
        rounding.low.zero_()
        rounding.high.zero_()

        def widen(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            assert isinstance(module, RoundedActivation)
            module.low.copy_(torch.minimum(module.low, inputs[0].amin()))
            module.high.copy_(torch.maximum(module.high, inputs[0].amax()))
            return inputs[0]

        handles.append(rounding.register_forward_hook(widen))
    rounded.eval()
    for batch in batches:
        rounded(batch)
    for handle in handles:
        handle.remove()


@torch.no_grad()
def plain(rounded: Network, like: Network) -> tuple[Network, dict[str, Range]]:
    """Return the trained network without the rounding, and each point's range by name.

    Args:
        like: the network that `with_rounding` was given.
    """
    network = fold_norms(like)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            trained = rounded.get_submodule(name)
            original = trained.parametrizations["weight"].original  # type: ignore[union-attr, index]
            module.weight.copy_(original)
            if module.bias is not None:
                assert isinstance(trained.bias, Tensor)
                module.bias.copy_(trained.bias)
    ranges: dict[str, Range] = {}
    for name in (ENTRY, *_points(network)):
        rounding = rounded.get_submodule(f"roundings.{_key(name)}")
        assert isinstance(rounding, RoundedActivation)
        ranges[name] = Range(low=min(float(rounding.low), 0.0), high=max(float(rounding.high), 0.0))
    return network, ranges


@torch.no_grad()
def traced(network: Network, images: Tensor) -> dict[str, NDArray[np.float32]]:
    """Return what each point of a `plain` network holds for some images, under the names of its ranges."""
    held = {ENTRY: images.numpy()}

    def keep(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def store(module: nn.Module, inputs: tuple[Tensor, ...], value: Tensor) -> None:
            held[name] = value.numpy().copy()

        return module.register_forward_hook(store)

    handles = [keep(name, module) for name, module in _points(network).items()]
    try:
        network.eval()(images)
    finally:
        for handle in handles:
            handle.remove()
    return held


def matched(
    ranges: Mapping[str, Range],
    torch_values: Mapping[str, NDArray[np.float32]],
    graph_values: Mapping[str, NDArray[np.float32]],
) -> tuple[dict[str, Range], tuple[str, ...]]:
    """Return ranges by the names that a graph has for the same tensors, and the points whose tensors it does not have.

    Names of tensors are the exporter's business and change with every pass over the graph; what they hold for a given
    image does not, and no two tensors of a network hold the same by chance.
    """
    found: dict[str, Range] = {}
    missing = []
    for point, values in torch_values.items():
        scale = float(np.abs(values).max()) or 1.0
        same = [
            name
            for name, theirs in graph_values.items()
            if theirs.shape == values.shape and float(np.abs(theirs - values).max()) <= _CLOSE * scale
        ]
        found |= dict.fromkeys(same, ranges[point])
        if not same:
            missing.append(point)
    return found, tuple(missing)


def _points(network: Network) -> dict[str, nn.Module]:
    """Return the modules whose outputs the graph holds in 8 bits, by name.

    A bounded activation is part of its convolution; a smooth one is an operator of its own between two roundings. The
    logits are not among them: they stay in float.
    """
    points: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        if isinstance(module, ConvNormAct):
            bounded = len(module) < 3 or isinstance(module[2], _BOUNDED)
            if not bounded:
                points[f"{name}.0"] = module[0]
            points[name] = module
        elif isinstance(module, SqueezeExcite):
            for part in ("pool", "fc1", "act", "fc2", "gate"):
                points[f"{name}.{part}"] = module.get_submodule(part)
            points[name] = module
        elif isinstance(module, MBConv | FusedMBConv | BasicBlock | Bottleneck) and module.residual:
            points[name] = module
    points["avgpool"] = network.avgpool
    return points
