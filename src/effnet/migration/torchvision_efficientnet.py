"""torchvision's EfficientNet class and the names that its blocks have there."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from torch import nn

from effnet.migration.faces import Faced
from effnet.nn import DropPath, FusedMBConv, MBConv, Network, set_kernels


class _StochasticDepth(DropPath):
    mode = "row"

    @property
    @torch.jit.unused
    def p(self) -> float:
        return self.rate

    @p.setter
    def p(self, value: float) -> None:
        self.rate = value


class _NamedBlock(Faced):
    names: ClassVar = {"stochastic_depth": "drop_path"}

    @property
    @torch.jit.unused
    def use_res_connect(self) -> bool:
        return bool(self.residual)

    @use_res_connect.setter
    def use_res_connect(self, value: bool) -> None:
        self.residual = value

    @property
    @torch.jit.unused
    def out_channels(self) -> int:
        channels: int = self.block[-1][0].out_channels
        return channels


class _NamedMBConv(_NamedBlock, MBConv):
    pass


class _NamedFusedMBConv(_NamedBlock, FusedMBConv):
    pass


_NAMED: dict[type[nn.Module], type[nn.Module]] = {
    MBConv: _NamedMBConv,
    FusedMBConv: _NamedFusedMBConv,
    DropPath: _StochasticDepth,
}


class EfficientNet(Network):
    """An EfficientNet of `effnet.models`; its blocks answer to `stochastic_depth` and `use_res_connect` too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for module in list(self.modules()):  # the same layers, answering to more names
            module.__class__ = _NAMED.get(type(module), type(module))

    @classmethod
    def of(cls, network: Network) -> Self:
        """Return `network` as one of this class; it shares its tensors and knows what it knows."""
        with torch.device("meta"):
            named = cls(network.spec)
        named.load_state_dict(network.state_dict(), assign=True)
        named.requires_grad_(True)
        named.preprocess, named.labels, named.temperature = network.preprocess, network.labels, network.temperature
        set_kernels(named, "auto")
        return named


def use_norms(network: Network, norm_layer: Any) -> None:
    """Replace every batch norm by `norm_layer(channels)`."""
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, nn.BatchNorm2d):
                parent._modules[name] = norm_layer(child.num_features)
