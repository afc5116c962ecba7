"""The blocks, as the papers draw them: MBConv and Fused-MBConv (V2 Figure 2), and ResNet's two for comparison.

Each is importable on its own: `MBConv(32, 64, expand_ratio=6, stride=2, kernel_size=5, se_ratio=0.25)`.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn
from torch.jit import is_scripting  # type: ignore[attr-defined]

from effnet.nn.layers import DEFAULT, ConvNormAct, DropPath, Fused, SqueezeExcite, activation
from effnet.spec import Conventions
from effnet.unrolling import adds_shortcut, inner_channels, squeeze_channels


class MBConv(nn.Module):
    """Mobile inverted bottleneck (V1 Table 1; arXiv 1801.04381 with squeeze-and-excitation).

        x -> [1x1 expand] -> k x k depthwise -> [SE] -> 1x1 project -> drop path -> + x

    The expansion is left out when the expand ratio is 1; x is added where stride is 1 and channels are kept; the
    projection has no activation. (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))

    Args:
        mid_channels: channels of the depthwise convolution, if not in_channels * expand_ratio.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expand_ratio: float = 6.0,
        stride: int = 1,
        kernel_size: int = 3,
        se_ratio: float = 0.25,
        *,
        skip: bool = True,
        drop_path: float = 0.0,
        mid_channels: int | None = None,
        conventions: Conventions = DEFAULT,
    ) -> None:
        super().__init__()
        mid = mid_channels or inner_channels("mbconv", expand_ratio, in_channels, out_channels)
        squeeze = squeeze_channels(se_ratio, in_channels)
        layers: list[nn.Module] = []
        if mid != in_channels:
            layers.append(ConvNormAct(in_channels, mid, 1, conventions=conventions))
        layers.append(ConvNormAct(mid, mid, kernel_size, stride, groups=mid, conventions=conventions))
        if squeeze:
            layers.append(SqueezeExcite(mid, squeeze, conventions=conventions))
        layers.append(ConvNormAct(mid, out_channels, 1, act=False, conventions=conventions))
        self.block = nn.Sequential(*layers)
        self.drop_path = DropPath(drop_path)
        self.residual = adds_shortcut("mbconv", skip, stride, in_channels, out_channels)
        self.fused: Fused | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        if not is_scripting():  # a script has torch's operators only
            y = None if self.fused is None else self.fused(self, x)
            if y is not None:
                return y
        out: Tensor = self.block(x)
        return self.drop_path(out) + x if self.residual else out


class FusedMBConv(nn.Module):
    """MBConv with the expansion and the depthwise convolution fused into one k x k convolution (V2 section 3.2).

        x -> k x k expand -> [SE] -> 1x1 project -> drop path -> + x
        x -> [SE] -> k x k -> drop path -> + x                        (expand ratio 1; here the activation stays)

    V2 Figure 2 draws an SE unit that no released network has, so its default ratio is 0. Shapes as in MBConv.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expand_ratio: float = 4.0,
        stride: int = 1,
        kernel_size: int = 3,
        se_ratio: float = 0.0,
        *,
        skip: bool = True,
        drop_path: float = 0.0,
        mid_channels: int | None = None,
        conventions: Conventions = DEFAULT,
    ) -> None:
        super().__init__()
        mid = mid_channels or inner_channels("fused_mbconv", expand_ratio, in_channels, out_channels)
        squeeze = squeeze_channels(se_ratio, in_channels)
        conventions = replace(conventions, padding=conventions.padding_in("fused_mbconv"))
        gate = [SqueezeExcite(mid, squeeze, conventions=conventions)] if squeeze else []
        if mid == in_channels:
            fused = ConvNormAct(in_channels, out_channels, kernel_size, stride, conventions=conventions)
            self.block = nn.Sequential(*gate, fused)
        else:
            expand = ConvNormAct(in_channels, mid, kernel_size, stride, conventions=conventions)
            project = ConvNormAct(mid, out_channels, 1, act=False, conventions=conventions)
            self.block = nn.Sequential(expand, *gate, project)
        self.drop_path = DropPath(drop_path)
        self.residual = adds_shortcut("fused_mbconv", skip, stride, in_channels, out_channels)
        self.fused: Fused | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        if not is_scripting():  # a script has torch's operators only
            y = None if self.fused is None else self.fused(self, x)
            if y is not None:
                return y
        out: Tensor = self.block(x)
        return self.drop_path(out) + x if self.residual else out


class _ResidualBlock(nn.Module):
    """What ResNet's two blocks share: act(drop_path(block(x)) + shortcut(x)), the shortcut projected on a new shape."""

    def __init__(
        self,
        layers: list[nn.Module],
        in_channels: int,
        out_channels: int,
        stride: int,
        skip: bool,
        drop_path: float,
        conventions: Conventions,
    ) -> None:
        super().__init__()
        self.block = nn.Sequential(*layers)
        self.drop_path = DropPath(drop_path)
        self.residual = skip
        self.shortcut: nn.Module = nn.Identity()
        if skip and (stride != 1 or in_channels != out_channels):
            self.shortcut = ConvNormAct(in_channels, out_channels, 1, stride, act=False, conventions=conventions)
        self.act = activation(conventions.activation)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        out: Tensor = self.drop_path(self.block(x))
        if self.residual:
            out = out + self.shortcut(x)
        result: Tensor = self.act(out)
        return result


class BasicBlock(_ResidualBlock):
    """ResNet-18/34: two k x k convolutions (arXiv 1512.03385 Figure 5, left). Shapes as in MBConv.

    `expand_ratio` is inner over *output* channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expand_ratio: float = 1.0,
        stride: int = 1,
        kernel_size: int = 3,
        *,
        skip: bool = True,
        drop_path: float = 0.0,
        conventions: Conventions = DEFAULT,
    ) -> None:
        mid = inner_channels("basic", expand_ratio, in_channels, out_channels)
        layers: list[nn.Module] = [
            ConvNormAct(in_channels, mid, kernel_size, stride, conventions=conventions),
            ConvNormAct(mid, out_channels, kernel_size, act=False, conventions=conventions),
        ]
        super().__init__(layers, in_channels, out_channels, stride, skip, drop_path, conventions)


class Bottleneck(_ResidualBlock):
    """ResNet-50/101/152: 1x1 reduce, k x k with the stride, 1x1 restore (arXiv 1512.03385 Figure 5, right).

    `expand_ratio` is inner over *output* channels. Shapes as in MBConv.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expand_ratio: float = 0.25,
        stride: int = 1,
        kernel_size: int = 3,
        *,
        skip: bool = True,
        drop_path: float = 0.0,
        conventions: Conventions = DEFAULT,
    ) -> None:
        mid = inner_channels("bottleneck", expand_ratio, in_channels, out_channels)
        layers: list[nn.Module] = [
            ConvNormAct(in_channels, mid, 1, conventions=conventions),
            ConvNormAct(mid, mid, kernel_size, stride, conventions=conventions),
            ConvNormAct(mid, out_channels, 1, act=False, conventions=conventions),
        ]
        super().__init__(layers, in_channels, out_channels, stride, skip, drop_path, conventions)
