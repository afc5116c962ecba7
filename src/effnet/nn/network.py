"""The network a spec describes. Nothing here decides a width, a size or a rate: `unroll` has decided them all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.jit import is_scripting  # type: ignore[attr-defined]
from torch.utils.checkpoint import checkpoint

from effnet.errors import InputError
from effnet.nn.blocks import BasicBlock, Bottleneck, FusedMBConv, MBConv
from effnet.nn.layers import ConvNormAct
from effnet.spec import NetworkSpec
from effnet.unrolling import Block, unroll

if TYPE_CHECKING:
    from effnet.preprocessing import Preprocess


class Network(nn.Module):
    """Stem, stages, head convolution, pool, dropout and classifier, with torchvision's state dict names.

        features.0            stem: convolution, norm, activation (and max pool in ResNet)
        features.S.J          block J (from 0) of stage S (from 1)
        features.{stages+1}   head convolution (not in ResNet)
        classifier.1          linear

    Attributes:
        spec: what was built; it follows a linear layer put in by hand (`model.classifier[1] = nn.Linear(1280, 10)`).
        preprocess: how images become inputs for the loaded weights; None until weights with that knowledge are loaded.
        labels: class names in output order, when known.
        temperature: what logits are divided by before the softmax, so that confidence is honest; 1 until fitted.
        pyramid: (stride, channels) of each level that `forward_pyramid` returns.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self._describe(spec)
        unrolled = unroll(spec)
        layers: list[nn.Module] = [_stem(spec)]
        for number in range(1, len(spec.stages) + 1):
            layers.append(nn.Sequential(*(_module(b, spec) for b in unrolled.blocks if b.stage == number)))
        if spec.head.channels is not None:
            head = ConvNormAct(unrolled.head_in_channels, spec.head.channels, 1, conventions=spec.conventions)
            layers.append(head)
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        linear = nn.Linear(unrolled.features, spec.classes) if spec.classes else nn.Identity()
        self.classifier = nn.Sequential(nn.Dropout(spec.head.dropout), linear)

    def _describe(self, spec: NetworkSpec) -> None:
        """Set what is known besides the layers."""
        self._spec = spec
        self.preprocess: Preprocess | None = None
        self.labels: tuple[str, ...] | None = None
        self.temperature = 1.0
        self.gradient_checkpointing = False
        self.pyramid = _pyramid(spec)

    def canonical(self) -> Network:
        """Return this network with our layer names, sharing its layers; itself, unless another door gave it others."""
        return self

    @property
    @torch.jit.unused
    def spec(self) -> NetworkSpec:
        """What this network is now, its first and last layers counted as they are.

        Labels and temperature of a linear layer that was replaced are forgotten.
        """
        linear = self._last_layer()
        if isinstance(linear, nn.Linear) and linear.out_features != self._spec.classes:
            self._spec = self._spec.replace(classes=linear.out_features)
            self.temperature = 1.0
            if self.labels is not None and len(self.labels) != linear.out_features:
                self.labels = None
        stem = self._stem_convolution()
        if isinstance(stem, nn.Conv2d) and stem.in_channels != self._spec.in_channels:
            self._spec = self._spec.replace(in_channels=stem.in_channels)
        return self._spec

    @spec.setter
    def spec(self, spec: NetworkSpec) -> None:
        self._spec = spec

    def _stem_convolution(self) -> nn.Module | None:
        features = self._modules.get("features")  # networks of other doors have theirs elsewhere
        unit = features[0] if isinstance(features, nn.Sequential) and len(features) else None
        return unit[0] if isinstance(unit, nn.Sequential) and len(unit) else None

    def _last_layer(self) -> nn.Module | None:
        layer: nn.Module = self.classifier
        return layer[1] if isinstance(layer, nn.Sequential) and len(layer) == 2 else layer

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> logits (N, classes); pooled features (N, C) when the spec has no classes."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> last feature map (N, C, H / stride, W / stride), after the head convolution."""
        if is_scripting():  # a script knows no checkpointing
            mapped: Tensor = self.features(x)
            return mapped
        for layer in self.features:
            x = self._run(layer, x)
        return x

    def forward_head(self, x: Tensor) -> Tensor:
        """Last feature map (N, C, H, W) -> logits (N, classes)."""
        x = self.avgpool(x)  # (N, C, H, W) -> (N, C, 1, 1)
        x = torch.flatten(x, 1)  # (N, C, 1, 1) -> (N, C)
        logits: Tensor = self.classifier(x)
        return logits

    def forward_pyramid(self, x: Tensor) -> list[Tensor]:
        """Return the last map at each stride, finest first: (N, C_i, ceil(H / s_i), ceil(W / s_i)).

        `pyramid` names the strides and channels: 2, 4, 8, 16, 32 (V1: outputs of stages 1, 2, 3, 5, 7). The head
        convolution is not part of it.
        """
        wanted = {stride for stride, _ in self.pyramid}
        levels: dict[int, Tensor] = {}
        stem = list(self.features[0].children())
        for layer in stem[:3]:
            x = layer(x)
        stride = self.spec.stem.stride
        levels[stride] = x
        for layer in stem[3:]:
            x, stride = layer(x), stride * 2
        for number, stage in enumerate(self.spec.stages, 1):
            x = self._run(self.features[number], x)
            stride *= stage.stride
            levels[stride] = x
        return [levels[stride] for stride in sorted(wanted)]

    def set_gradient_checkpointing(self, enabled: bool = True) -> None:
        """Keep only block inputs for the backward pass and compute the rest again: less memory, about 1/3 more time."""
        self.gradient_checkpointing = enabled

    def reset_classifier(self, classes: int) -> None:
        """Replace the linear layer by a fresh one for `classes` (0: none), and say so in `spec`."""
        spec = self.spec.replace(classes=classes)
        self.labels = None
        self.temperature = 1.0
        reference = next(self.parameters())
        linear: nn.Module = nn.Identity()
        if classes:
            linear = nn.Linear(unroll(spec).features, classes, device=reference.device, dtype=reference.dtype)
            initialise(linear)
        self.classifier[1] = linear
        self.spec = spec

    def _run(self, layer: nn.Module, x: Tensor) -> Tensor:
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled() and layer is not self.features[0]:
            for block in layer if isinstance(layer, nn.Sequential) and not isinstance(layer, ConvNormAct) else [layer]:
                x = checkpointed(block, x)
            return x
        result: Tensor = layer(x)
        return result


def build(spec: NetworkSpec, *, weights: bool = True) -> Network:
    """Return the torch network of `spec`, initialised as in the papers.

    Args:
        weights: False leaves the parameters on the meta device, to be given by `load_state_dict(..., assign=True)`.

    Raises:
        InputError: `spec` is not a NetworkSpec.
    """
    if not isinstance(spec, NetworkSpec):
        raise InputError(f"build takes a NetworkSpec, not {type(spec).__name__}", fix="use effnet.create for a name")
    with torch.device("meta"):
        network = Network(spec)
    if weights:
        network.to_empty(device=torch.get_default_device())
        network.apply(initialise)
    return network


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Initialise one layer as the released code does (facts 1.6).

    Convolutions draw from normal(0, sqrt(2 / (k * k * out))). For a depthwise kernel the fan is k * k: PyTorch's
    `kaiming_normal_(fan_out)` would count the channels and start these layers sqrt(C) too small. The classifier
    draws from uniform(+-1 / sqrt(classes)); biases are 0; norms start as the identity.
    """
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
    elif isinstance(module, nn.Linear):
        bound = 1.0 / math.sqrt(module.out_features)
        nn.init.uniform_(module.weight, -bound, bound)
    elif isinstance(module, nn.BatchNorm2d):
        module.reset_parameters()
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def _stem(spec: NetworkSpec) -> nn.Sequential:
    stem = spec.stem
    layers = ConvNormAct(spec.in_channels, stem.channels, stem.kernel, stem.stride, conventions=spec.conventions)
    if stem.pool:
        layers.append(nn.MaxPool2d(3, 2, 1))
    return layers


def _module(block: Block, spec: NetworkSpec) -> nn.Module:
    design = spec.stages[block.stage - 1].block
    if block.kind in ("basic", "bottleneck"):
        residual = BasicBlock if block.kind == "basic" else Bottleneck
        return residual(
            block.in_channels,
            block.out_channels,
            design.expand_ratio,
            block.stride,
            design.kernel,
            skip=design.skip,
            drop_path=block.drop_path,
            conventions=spec.conventions,
        )
    inverted = MBConv if block.kind == "mbconv" else FusedMBConv
    return inverted(
        block.in_channels,
        block.out_channels,
        design.expand_ratio,
        block.stride,
        design.kernel,
        design.se_ratio,
        skip=design.skip,
        drop_path=block.drop_path,
        mid_channels=block.mid_channels,
        conventions=spec.conventions,
    )


def _pyramid(spec: NetworkSpec) -> tuple[tuple[int, int], ...]:
    stride = spec.stem.stride
    levels = {stride: spec.stem.channels}
    if spec.stem.pool:
        stride *= 2
    for stage in spec.stages:
        stride *= stage.stride
        levels[stride] = stage.channels
    return tuple(sorted((s, c) for s, c in levels.items() if s > 1)) or tuple(levels.items())


def checkpointed(block: nn.Module, x: Tensor, *arguments: Any) -> Tensor:
    """Return `block(x, *arguments)`, computed again in the backward pass; norms count the batch once."""

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _norms_do_not_track(block)

    recompute: Callable[[], tuple[AbstractContextManager[None], AbstractContextManager[None]]] = contexts
    result: Tensor = checkpoint(block, x, *arguments, use_reentrant=False, context_fn=recompute)
    return result


@contextmanager
def _norms_do_not_track(block: nn.Module) -> Iterator[None]:
    # The second forward pass of checkpointing must not count the same batch twice in the running statistics.
    kind = nn.modules.batchnorm._BatchNorm  # synchronised ones too
    norms = [m for m in block.modules() if isinstance(m, kind) and m.training and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.sub_(1)
