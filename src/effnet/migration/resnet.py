"""torchvision's layer names of ResNet, so that `model.fc = nn.Linear(model.fc.in_features, 10)` works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import torch
from torch import nn

from effnet.errors import InputError
from effnet.migration.faces import Faced, renamed
from effnet.migration.renamed import RenamedNetwork
from effnet.nn import BasicBlock, Bottleneck, Network


class _NamedBasic(Faced, BasicBlock):
    names: ClassVar = {
        "conv1": "block.0.0",
        "bn1": "block.0.1",
        "conv2": "block.1.0",
        "bn2": "block.1.1",
        "relu": "act",
        "downsample": "shortcut",
    }


class _NamedBottleneck(Faced, Bottleneck):
    names: ClassVar = {**_NamedBasic.names, "conv3": "block.2.0", "bn3": "block.2.1"}


class ResNet(RenamedNetwork):
    """ResNet-18 to 152 that answers to `conv1`, `bn1`, `layer1` to `layer4` and `fc`, and so do its blocks.

    `children()`, `named_modules()` and `named_parameters()` have torchvision's names; the state dict has ours, and
    loading takes both.
    """

    layout = "torchvision"
    names: ClassVar = {
        "conv1": "features.0.0",
        "bn1": "features.0.1",
        "relu": "features.0.2",
        "maxpool": "features.0.3",
        **{f"layer{number}": f"features.{number}" for number in (1, 2, 3, 4)},
        "fc": "classifier.1",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for block in self.features.modules():  # the same blocks, answering to more names
            if type(block) is BasicBlock:
                block.__class__ = _NamedBasic
            elif type(block) is Bottleneck:
                block.__class__ = _NamedBottleneck

    def canonical(self) -> Network:
        """Return this network under effnet's layer names; it is made of the very same layers."""
        with torch.device("meta"):
            ours = Network(self.spec)
        ours.features, ours.avgpool, ours.classifier = self.features, self.avgpool, self.classifier
        ours.preprocess, ours.labels, ours.temperature = self.preprocess, self.labels, self.temperature
        ours.gradient_checkpointing, ours.training = self.gradient_checkpointing, self.training
        return ours

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield torchvision's children in its order, then what a person has added."""
        order = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc")
        seen: set[int] = set()
        for name in order:
            module = getattr(self, name, None)
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module
        for name, module in self._modules.items():
            if module is not None and name not in ("features", "avgpool", "classifier"):
                yield name, module

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """Yield every module, under torchvision's name where it has one."""
        return renamed(super().named_modules(memo, prefix, remove_duplicate), prefix, ResNet.names)

    # What torch does to all children goes through our own ones, which hold every layer.

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode."""
        self.training = mode
        for module in self._modules.values():
            if module is not None:
                module.train(mode)
        return self

    def apply(self, fn: Callable[[nn.Module], Any]) -> Self:
        """Apply `fn` to every module."""
        for module in self._modules.values():
            if module is not None:
                module.apply(fn)
        fn(self)
        return self

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        if recurse:
            for module in self._modules.values():
                if module is not None:
                    module._apply(fn)  # type: ignore[no-untyped-call]
        moved: Self = super()._apply(fn, recurse=False)  # type: ignore[no-untyped-call]
        return moved

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Put a module at torchvision's name, or at a new one."""
        if name in type(self).names:
            setattr(self, name, module)
        else:
            super().add_module(name, module)


def dilate(network: Network, flags: Any) -> None:
    """Replace the strides of the stages 2 to 4 that `flags` chooses by dilation.

    Raises:
        InputError: not three flags, or the blocks are basic ones.
    """
    if not isinstance(flags, list | tuple) or len(flags) != 3:
        fix = "give three booleans, for the stages 2, 3 and 4"
        raise InputError(f"replace_stride_with_dilation is {flags!r}", where="replace_stride_with_dilation", fix=fix)
    dilation = 1
    for number, flag in enumerate(flags, 2):
        before = dilation
        dilation *= 2 if flag else 1
        stage: Any = network.features[number]
        for index, block in enumerate(stage):
            rate = before if index == 0 else dilation
            if rate == 1 and not flag:
                continue
            if not isinstance(block, Bottleneck):
                fix = "use resnet50 or deeper"
                raise InputError("a basic block has no dilation", where="replace_stride_with_dilation", fix=fix)
            conv: Any = block.get_submodule("block.1.0")
            conv.dilation = conv.padding = (rate, rate)
            if flag and index == 0:
                shortcut: Any = block.get_submodule("shortcut.0")
                conv.stride = shortcut.stride = (1, 1)


def zero_last_norms(network: Network) -> None:
    """Begin every block as the identity: the weight of its last norm is 0."""
    for block in network.modules():
        if isinstance(block, BasicBlock | Bottleneck):
            norm: Any = block.block[-1][1]  # type: ignore[index]
            nn.init.zeros_(norm.weight)
