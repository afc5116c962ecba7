"""timm's blocks: the functions of `effnet.nn.blocks` in timm's modules.

Code that walks, freezes or replaces layers by timm's names so acts on what computes.

    MBConv                      InvertedResidual        conv_pw bn1 conv_dw bn2 se conv_pwl bn3 drop_path
    MBConv, expand ratio 1      DepthwiseSeparableConv  conv_dw bn1 se conv_pw bn2 drop_path
    Fused-MBConv                EdgeResidual            conv_exp bn1 se conv_pwl bn2 drop_path
    Fused-MBConv, ratio 1       ConvBnAct               conv bn1 drop_path

As in timm, an activation belongs to the norm before it, and a gate or drop path that a block lacks is an identity.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn

from effnet.errors import InputError
from effnet.migration.timm_norms import BatchNormAct2d
from effnet.nn.layers import DropPath, activation, convolution
from effnet.spec import Conventions, NetworkSpec
from effnet.unrolling import Block, unroll


class SqueezeExcite(nn.Module):
    """`effnet.nn.layers.SqueezeExcite` with timm's layers. (N, C, H, W) -> (N, C, H, W)"""

    def __init__(self, channels: int, squeeze_channels: int, conventions: Conventions) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, squeeze_channels, 1)
        self.act1 = activation(conventions.activation)
        self.conv_expand = nn.Conv2d(squeeze_channels, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Gate each channel."""
        mean = x.mean((2, 3), keepdim=True)  # (N, C, H, W) -> (N, C, 1, 1)
        weights: Tensor = self.gate(self.conv_expand(self.act1(self.conv_reduce(mean))))
        return x * weights


class TimmBlock(nn.Module):
    """What the four blocks share: drop path, and whether the input is added."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.drop_path: nn.Module = DropPath(block.drop_path) if block.drop_path else nn.Identity()
        self.has_skip = block.residual


class DepthwiseSeparableConv(TimmBlock):
    """MBConv of expand ratio 1."""

    def __init__(self, block: Block, conventions: Conventions) -> None:
        super().__init__(block)
        mid, out = block.mid_channels, block.out_channels
        self.conv_dw = convolution(mid, mid, block.kernel, block.stride, mid, conventions)
        self.bn1 = BatchNormAct2d(mid, conventions)
        self.se = _gate(block, conventions)
        self.conv_pw = convolution(mid, out, 1, 1, 1, conventions)
        self.bn2 = BatchNormAct2d(out, conventions, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))."""
        out = self.se(self.bn1(self.conv_dw(x)))
        out = self.bn2(self.conv_pw(out))
        if self.has_skip:
            out = self.drop_path(out) + x
        return out  # type: ignore[no-any-return]


class InvertedResidual(TimmBlock):
    """MBConv."""

    def __init__(self, block: Block, conventions: Conventions) -> None:
        super().__init__(block)
        mid, out = block.mid_channels, block.out_channels
        self.conv_pw = convolution(block.in_channels, mid, 1, 1, 1, conventions)
        self.bn1 = BatchNormAct2d(mid, conventions)
        self.conv_dw = convolution(mid, mid, block.kernel, block.stride, mid, conventions)
        self.bn2 = BatchNormAct2d(mid, conventions)
        self.se = _gate(block, conventions)
        self.conv_pwl = convolution(mid, out, 1, 1, 1, conventions)
        self.bn3 = BatchNormAct2d(out, conventions, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))."""
        out = self.bn1(self.conv_pw(x))
        out = self.se(self.bn2(self.conv_dw(out)))
        out = self.bn3(self.conv_pwl(out))
        if self.has_skip:
            out = self.drop_path(out) + x
        return out  # type: ignore[no-any-return]


class EdgeResidual(TimmBlock):
    """Fused-MBConv."""

    def __init__(self, block: Block, conventions: Conventions) -> None:
        super().__init__(block)
        mid, out = block.mid_channels, block.out_channels
        self.conv_exp = convolution(block.in_channels, mid, block.kernel, block.stride, 1, conventions)
        self.bn1 = BatchNormAct2d(mid, conventions)
        self.se = _gate(block, conventions)
        self.conv_pwl = convolution(mid, out, 1, 1, 1, conventions)
        self.bn2 = BatchNormAct2d(out, conventions, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))."""
        out = self.se(self.bn1(self.conv_exp(x)))
        out = self.bn2(self.conv_pwl(out))
        if self.has_skip:
            out = self.drop_path(out) + x
        return out  # type: ignore[no-any-return]


class ConvBnAct(TimmBlock):
    """Fused-MBConv of expand ratio 1."""

    def __init__(self, block: Block, conventions: Conventions) -> None:
        super().__init__(block)
        self.conv = convolution(block.in_channels, block.out_channels, block.kernel, block.stride, 1, conventions)
        self.bn1 = BatchNormAct2d(block.out_channels, conventions)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))."""
        out = self.bn1(self.conv(x))
        if self.has_skip:
            out = self.drop_path(out) + x
        return out  # type: ignore[no-any-return]


def timm_block(block: Block, spec: NetworkSpec) -> TimmBlock:
    """Return timm's module for one block.

    Raises:
        InputError: timm has no such block.
    """
    if block.kind == "mbconv":
        return (InvertedResidual if block.expands else DepthwiseSeparableConv)(block, spec.conventions)
    if block.kind == "fused_mbconv" and (block.expands or not block.squeeze_channels):
        padding = spec.conventions.padding_in("fused_mbconv")
        conventions = dataclasses.replace(spec.conventions, padding=padding)
        return (EdgeResidual if block.expands else ConvBnAct)(block, conventions)
    raise InputError(f"timm has no block like {block.kind} here", where=spec.name, fix="use effnet.create")


def dilate(stages: nn.Sequential, spec: NetworkSpec, output_stride: int) -> list[int]:
    """Turn strides beyond `output_stride` into dilation, as timm does; return the stride after each stage.

    Raises:
        InputError: `output_stride` is not one that a network can have.
    """
    if output_stride not in (8, 16, 32):
        raise InputError(f"output_stride is {output_stride!r}", where="output_stride", fix="use 8, 16 or 32")
    unrolled = unroll(spec).blocks
    stride, dilation, reached = spec.stem.stride, 1, []
    for number, stage in enumerate(spec.stages, 1):
        wide = stride * stage.stride > output_stride
        then = dilation * stage.stride if wide else dilation
        stride = stride if wide else stride * stage.stride
        for block in (block for block in unrolled if block.stage == number):
            module = stages[number - 1][block.index]  # type: ignore[index]
            first = wide and block.index == 0
            if first:
                module.has_skip = stage.block.skip and block.in_channels == block.out_channels
            if first or then > 1:
                _dilate(module, dilation if block.index == 0 else then)
        dilation = then
        reached.append(stride)
    return reached


def _dilate(block: TimmBlock, dilation: int) -> None:
    name = next(name for name in ("conv_dw", "conv_exp", "conv") if hasattr(block, name))
    conv = getattr(block, name)
    kernel = conv.kernel_size[0]
    spread = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        kernel,
        padding=dilation * (kernel - 1) // 2,
        dilation=dilation,
        groups=conv.groups,
        bias=False,
        device=conv.weight.device,
    )
    spread.weight = conv.weight
    setattr(block, name, spread)


def _gate(block: Block, conventions: Conventions) -> nn.Module:
    if not block.squeeze_channels:
        return nn.Identity()
    return SqueezeExcite(block.mid_channels, block.squeeze_channels, conventions)
