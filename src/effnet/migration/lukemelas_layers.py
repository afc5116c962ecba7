"""EfficientNet-PyTorch's layers: its block with its names, and what it exports to pad, activate and drop."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from effnet.errors import InputError
from effnet.migration.lukemelas_params import BlockArgs, GlobalParams, sides, stride_of
from effnet.nn.layers import FixedPadConv2d, SamePadConv2d, convolution, survivors
from effnet.spec import Conventions
from effnet.unrolling import adds_shortcut, inner_channels, squeeze_channels

Swish = nn.SiLU


class MemoryEfficientSwish(nn.SiLU):
    """x * sigmoid(x), which torch's own already computes without keeping more than x."""


class Conv2dDynamicSamePadding(SamePadConv2d):
    """Convolution padded for the map that comes in. (N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))"""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)


class Conv2dStaticSamePadding(FixedPadConv2d):
    """Convolution padded for a map of `image_size`, whatever comes in."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        image_size: int | Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, **kwargs)
        self.fixed = _paddings(self, image_size)


class MaxPool2dDynamicSamePadding(nn.MaxPool2d):
    """Max pool padded with zeros for the map that comes in."""

    def forward(self, x: Tensor) -> Tensor:
        """Pad, then pool."""
        top, bottom = _same(x.shape[-2], self, 0)
        left, right = _same(x.shape[-1], self, 1)
        pooled: Tensor = super().forward(F.pad(x, [left, right, top, bottom]))
        return pooled


class MaxPool2dStaticSamePadding(nn.MaxPool2d):
    """Max pool padded with zeros for a map of `image_size`, whatever comes in."""

    def __init__(
        self, kernel_size: int, stride: int, image_size: int | Sequence[int] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(kernel_size, stride, **kwargs)
        self.fixed = _paddings(self, image_size)

    def forward(self, x: Tensor) -> Tensor:
        """Pad, then pool."""
        (top, bottom), (left, right) = self.fixed
        pooled: Tensor = super().forward(F.pad(x, [left, right, top, bottom]))
        return pooled


def get_same_padding_conv2d(image_size: int | Sequence[int] | None = None) -> Callable[..., nn.Conv2d]:
    """Return the convolution that pads for `image_size`, or for each map where it is None."""
    if image_size is None:
        return Conv2dDynamicSamePadding
    return functools.partial(Conv2dStaticSamePadding, image_size=image_size)


def get_same_padding_maxPool2d(  # noqa: N802
    image_size: int | Sequence[int] | None = None,
) -> Callable[..., nn.MaxPool2d]:
    """Return the max pool that pads for `image_size`, or for each map where it is None."""
    if image_size is None:
        return MaxPool2dDynamicSamePadding
    return functools.partial(MaxPool2dStaticSamePadding, image_size=image_size)


def get_width_and_height_from_size(x: int | Sequence[int]) -> tuple[int, int]:
    """Return both sides of a size.

    Raises:
        InputError: it is no size.
    """
    pair = sides(x)
    if pair is None:
        raise InputError("image_size is None", where="image_size", fix="give pixels, or (height, width)")
    return pair


def calculate_output_image_size(
    input_image_size: int | Sequence[int] | None, stride: int | Sequence[int]
) -> list[int] | None:
    """Return the sides of a map after a convolution with that stride; None where the size is not known."""
    pair = sides(input_image_size)
    step = stride if isinstance(stride, int) else stride[0]
    return None if pair is None else [-(-side // step) for side in pair]


def drop_connect(inputs: Tensor, p: float, training: bool) -> Tensor:
    """Drop each sample of `inputs` (N, C, H, W) with probability `p` in training and divide the others by 1 - p.

    Raises:
        InputError: `p` is no probability.
    """
    if not 0 <= p <= 1:
        raise InputError(f"p is {p!r}", where="p", fix="give a probability from 0 to 1")
    return inputs * survivors(inputs, p) if training and p else inputs


class MBConvBlock(nn.Module):
    """MBConv with the original's layers: the same function as `effnet.nn.MBConv`.

    Args:
        block_args: the block, with its channels after scaling.
        global_params: norms' settings.
        image_size: pad for a map of this size instead of the one that comes in.
    """

    __constants__ = ("expands", "has_se", "residual")  # a script leaves out what is not there

    def __init__(
        self, block_args: BlockArgs, global_params: GlobalParams, image_size: int | Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self._block_args = block_args
        self._bn_mom = round(1 - (global_params.batch_norm_momentum or 0.0), 12)
        self._bn_eps = global_params.batch_norm_epsilon
        fan_in, out = int(block_args.input_filters or 0), int(block_args.output_filters or 0)
        kernel, stride = int(block_args.kernel_size or 0), stride_of(block_args)
        mid = inner_channels("mbconv", float(block_args.expand_ratio or 1), fan_in, out)
        self.expands = mid != fan_in
        self.id_skip = block_args.id_skip is not False
        squeezed = squeeze_channels(block_args.se_ratio or 0.0, fan_in)
        self.has_se = squeezed > 0
        conventions = Conventions(padding="same")
        if self.expands:
            self._expand_conv = convolution(fan_in, mid, 1, 1, 1, conventions)
            self._bn0 = self._norm(mid)
        self._depthwise_conv = convolution(mid, mid, kernel, stride, mid, conventions)
        if image_size is not None and stride > 1:
            self._depthwise_conv = fixed_for(self._depthwise_conv, image_size)
        self._bn1 = self._norm(mid)
        if self.has_se:
            self._se_reduce = nn.Conv2d(mid, squeezed, 1)
            self._se_expand = nn.Conv2d(squeezed, mid, 1)
        self._project_conv = convolution(mid, out, 1, 1, 1, conventions)
        self._bn2 = self._norm(out)
        self._swish: nn.Module = MemoryEfficientSwish()
        self.residual = adds_shortcut("mbconv", self.id_skip, stride, fan_in, out)

    def forward(self, inputs: Tensor, drop_connect_rate: float | None = None) -> Tensor:
        """(N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride)); without a rate nothing is dropped."""
        x: Tensor = inputs
        if self.expands:
            x = self._swish(self._bn0(self._expand_conv(x)))
        x = self._swish(self._bn1(self._depthwise_conv(x)))
        if self.has_se:
            squeezed = F.adaptive_avg_pool2d(x, 1)  # (N, C, H, W) -> (N, C, 1, 1)
            x = torch.sigmoid(self._se_expand(self._swish(self._se_reduce(squeezed)))) * x
        x = self._bn2(self._project_conv(x))
        if self.residual:
            if drop_connect_rate is not None and drop_connect_rate > 0.0 and self.training:
                x = x * survivors(x, drop_connect_rate)
            x = x + inputs
        return x

    def set_swish(self, memory_efficient: bool = True) -> None:
        """Use either of the two activations; both are torch's SiLU."""
        self._swish = MemoryEfficientSwish() if memory_efficient else Swish()

    def _norm(self, channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, eps=self._bn_eps or 1e-3, momentum=self._bn_mom)


def fixed_for(conv: nn.Conv2d, image_size: int | Sequence[int]) -> nn.Conv2d:
    """Return `conv` (it shares its weight) padded for maps of that size."""
    height, width = get_width_and_height_from_size(image_size)
    return FixedPadConv2d.of(conv, height, width)


def _paddings(layer: Any, image_size: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    height, width = get_width_and_height_from_size(image_size)
    return _same(height, layer, 0), _same(width, layer, 1)


def _same(size: int, layer: Any, axis: int) -> tuple[int, int]:
    def along(value: Any) -> int:
        return int(value if isinstance(value, int) else value[axis])

    kernel, stride = (along(layer.kernel_size) - 1) * along(layer.dilation) + 1, along(layer.stride)
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
