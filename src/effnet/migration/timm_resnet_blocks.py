"""timm's blocks of ResNet: those of `effnet.nn.blocks` in timm's modules."""

from __future__ import annotations

from torch import Tensor, nn

from effnet.nn.layers import DropPath, activation, convolution
from effnet.spec import Conventions, NetworkSpec
from effnet.unrolling import Block


class _Residual(nn.Module):
    """What both blocks share: drop path, and the shortcut, projected where the block changes shape."""

    def _finish(self, block: Block, conventions: Conventions) -> None:
        self.drop_path: nn.Module = DropPath(block.drop_path) if block.drop_path else nn.Identity()
        self.downsample = _projection(block, conventions)


class BasicBlock(_Residual):
    """ResNet-18/34's. (N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))"""

    def __init__(self, block: Block, spec: NetworkSpec) -> None:
        super().__init__()
        conventions, mid, out = spec.conventions, block.mid_channels, block.out_channels
        self.conv1 = convolution(block.in_channels, mid, block.kernel, block.stride, 1, conventions)
        self.bn1 = _norm(mid, conventions)
        self.act1 = activation(conventions.activation)
        self.conv2 = convolution(mid, out, block.kernel, 1, 1, conventions)
        self.bn2 = _norm(out, conventions)
        self.act2 = activation(conventions.activation)
        self._finish(block, conventions)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.act1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        result: Tensor = self.act2(self.drop_path(out) + shortcut)
        return result


class Bottleneck(_Residual):
    """ResNet-50/101/152's. (N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))"""

    def __init__(self, block: Block, spec: NetworkSpec) -> None:
        super().__init__()
        conventions, mid, out = spec.conventions, block.mid_channels, block.out_channels
        self.conv1 = convolution(block.in_channels, mid, 1, 1, 1, conventions)
        self.bn1 = _norm(mid, conventions)
        self.act1 = activation(conventions.activation)
        self.conv2 = convolution(mid, mid, block.kernel, block.stride, 1, conventions)
        self.bn2 = _norm(mid, conventions)
        self.act2 = activation(conventions.activation)
        self.conv3 = convolution(mid, out, 1, 1, 1, conventions)
        self.bn3 = _norm(out, conventions)
        self.act3 = activation(conventions.activation)
        self._finish(block, conventions)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.act1(self.bn1(self.conv1(x)))
        out = self.act2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        result: Tensor = self.act3(self.drop_path(out) + shortcut)
        return result


def activations(block: BasicBlock | Bottleneck) -> list[nn.Module]:
    """Return the activations of a block in order; the last follows the sum."""
    return [block.act1, block.act2] if isinstance(block, BasicBlock) else [block.act1, block.act2, block.act3]


def _projection(block: Block, conventions: Conventions) -> nn.Sequential | None:
    if not block.projects_shortcut:
        return None
    conv = convolution(block.in_channels, block.out_channels, 1, block.stride, 1, conventions)
    return nn.Sequential(conv, _norm(block.out_channels, conventions))


def _norm(channels: int, conventions: Conventions) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=conventions.norm_eps, momentum=conventions.norm_momentum)
