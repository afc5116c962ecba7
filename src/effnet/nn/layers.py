"""The layers every block is made of."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.jit import is_scripting  # type: ignore[attr-defined]

from effnet.spec import Activation, Conventions

DEFAULT = Conventions()
"""Conventions of blocks built on their own."""


Fused = Callable[[nn.Module, Tensor], Tensor | None]
"""What `effnet.nn.set_kernels` gives a module: computes it with fewer passes, or returns None where it cannot."""


def activation(name: Activation) -> nn.Module:
    """Return the activation module of that name; in place where torch can, since its input is never used again."""
    if name == "gelu":
        return nn.GELU()
    modules = {"silu": nn.SiLU, "relu": nn.ReLU, "relu6": nn.ReLU6, "hard_swish": nn.Hardswish}
    return modules[name](inplace=True)


class SamePadConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding, for strides above 1.

    out = ceil(n / stride); total padding = max((out - 1) * stride + k - n, 0), the smaller half first. With stride
    2 and even n that is (0, 1) for a 3x3 kernel where symmetric padding is (1, 1). (N, C, H, W) -> (N, C', H', W')
    """

    def forward(self, x: Tensor) -> Tensor:
        """Pad for this input's size, then convolve without padding."""
        top, bottom = self.sides(x.shape[-2], 0)
        left, right = self.sides(x.shape[-1], 1)
        padded = F.pad(x, [left, right, top, bottom])
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)

    def sides(self, size: int, axis: int) -> tuple[int, int]:
        """Return the rows (axis 0) or columns (axis 1) of zeros before and after an input of `size`."""
        kernel, stride = (self.kernel_size[axis] - 1) * self.dilation[axis] + 1, self.stride[axis]
        # (out - 1) * stride + kernel - size: the last kernel begins where a rest of 1..stride values is left. Written
        # without comparing sizes, so that torch.fx can trace it.
        total = kernel - 1 - (size - 1) % stride
        if kernel == 1:
            total = 0
        elif kernel < stride:
            total = (total + abs(total)) // 2
        return total // 2, total - total // 2


def convolution(
    in_channels: int, out_channels: int, kernel_size: int, stride: int, groups: int, conventions: Conventions
) -> nn.Conv2d:
    """Return a bias-free convolution with the padding of `conventions`.

    With stride 1 and an odd kernel the two paddings are the same, so only strided layers pay for SAME.
    """
    if conventions.padding == "same" and stride > 1:
        return SamePadConv2d(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False)
    padding = (kernel_size - 1) // 2
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)


class ConvNormAct(nn.Sequential):
    """Convolution (0), batch norm (1) and, unless `act` is false, activation (2).

    (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        groups: int = 1,
        *,
        act: bool = True,
        conventions: Conventions = DEFAULT,
    ) -> None:
        layers: list[nn.Module] = [
            convolution(in_channels, out_channels, kernel_size, stride, groups, conventions),
            nn.BatchNorm2d(out_channels, eps=conventions.norm_eps, momentum=conventions.norm_momentum),
        ]
        if act:
            layers.append(activation(conventions.activation))
        super().__init__(*layers)
        self.fused: Fused | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers."""
        if not is_scripting():  # a script has torch's operators only
            y = None if self.fused is None else self.fused(self, x)
            if y is not None:
                return y
        for layer in self:
            x = layer(x)
        return x


class FixedPadConv2d(SamePadConv2d):
    """Convolution with the SAME padding of one image size, whatever comes in, as old ports pad.

    Attributes:
        fixed: rows before and after, columns before and after.
    """

    fixed = ((0, 0), (0, 0))

    @classmethod
    def of(cls, conv: nn.Conv2d, height: int, width: int) -> FixedPadConv2d:
        """Return `conv` (it shares its weight) with the SAME padding of a map of that size."""
        kernel, stride = (conv.kernel_size[0], conv.kernel_size[1]), (conv.stride[0], conv.stride[1])
        fixed = cls(conv.in_channels, conv.out_channels, kernel, stride, groups=conv.groups, bias=False, device="meta")
        rows, columns = SamePadConv2d.sides(fixed, height, 0), SamePadConv2d.sides(fixed, width, 1)
        fixed.weight, fixed.fixed = conv.weight, (rows, columns)
        return fixed

    def sides(self, size: int, axis: int) -> tuple[int, int]:
        """Return the same whatever `size` is."""
        return self.fixed[axis]


class SqueezeExcite(nn.Module):
    """Weigh channels by what the whole image says (arXiv 1709.01507; V1 section 4).

    x * sigmoid(fc2(act(fc1(mean(x))))): (N, C, H, W) -> (N, C, 1, 1) -> (N, S, 1, 1) -> (N, C, 1, 1) -> (N, C, H, W)

    Args:
        channels: C, channels of the input.
        squeeze_channels: S, a quarter of the *block's* input channels in every published EfficientNet.
    """

    def __init__(self, channels: int, squeeze_channels: int, *, conventions: Conventions = DEFAULT) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeeze_channels, 1)
        self.act = activation(conventions.activation)
        self.fc2 = nn.Conv2d(squeeze_channels, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Gate each channel."""
        weights: Tensor = self.gate(self.fc2(self.act(self.fc1(self.pool(x)))))
        return x * weights


class DropPath(nn.Module):
    """Stochastic depth (arXiv 1603.09382): in training, drop a sample's whole residual branch with probability `rate`.

    Kept branches are divided by the survival probability, so the expectation is unchanged. Shape is unchanged.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Drop samples of the batch (dimension 0)."""
        kept = self.draw(x)
        return x if kept is None else x * kept

    def draw(self, x: Tensor) -> Tensor | None:
        """Draw what each sample of `x` is multiplied by, (N, 1, 1, 1): 0 or 1 / survival; None where nothing drops."""
        return survivors(x, self.rate) if self.training and self.rate != 0 else None

    def extra_repr(self) -> str:
        """Show the rate."""
        return f"rate={self.rate:g}"


def survivors(x: Tensor, rate: float) -> Tensor:
    """Draw 0, or 1 / (1 - rate) with that probability, for each sample of `x` (N, ...): (N, 1, 1, 1)."""
    survival = 1 - rate
    return x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(survival).div_(survival)
